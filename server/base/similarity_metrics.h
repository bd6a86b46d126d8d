#pragma once
// How well similarities follow the scores that people gave to the same pairs: the numbers of scipy.stats.spearmanr and
// pearsonr, hence of sentence-transformers' EmbeddingSimilarityEvaluator (6.2.0).

#include <span>
#include <vector>

namespace tandem {

struct SimilarityMetrics {
  double spearman = 0;
  double pearson = 0;
};

// Ranks from 1; equal values share the mean of their ranks.
std::vector<double> AverageRanks(std::span<const double> values);

// In [-1, 1]. Of fewer than two pairs, or when one side is constant, a correlation is not defined: 0.
// REQUIRES: as many values on both sides, all finite.
double Pearson(std::span<const double> x, std::span<const double> y);
double Spearman(std::span<const double> x, std::span<const double> y);  // Pearson of the average ranks.

SimilarityMetrics MeasureSimilarity(std::span<const double> similarities, std::span<const double> scores);

}  // namespace tandem
