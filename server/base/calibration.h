#pragma once
// What a score means: Platt scaling (Platt 1999), with the targets of that paper and the Newton iteration of Lin, Lin
// and Weng (2007), "A note on Platt's probabilistic outputs for support vector machines". Deterministic.

#include <cstdint>
#include <optional>
#include <span>

namespace tandem {

// Probability = 1 / (1 + exp(-(slope * score + intercept))).
struct PlattScaling {
  double slope = 0, intercept = 0;

  double Probability(double score) const;
  // The score whose probability is `probability`, which is in (0, 1). REQUIRES: slope is not 0.
  double Score(double probability) const;
};

struct JudgedScore {
  double score = 0;
  bool relevant = false;
  int64_t query = 0;  // Scores of one query are never on both sides of a cross-validation.
};

// REQUIRES: at least one relevant and one other score.
PlattScaling FitPlatt(std::span<const JudgedScore> scores);

// Expected calibration error over ten bins of equal width (Naeini, Cooper and Hauskrecht 2015): the mean over scores of
// |mean probability - share of relevant ones| of their bin. REQUIRES: at least one score.
double CalibrationError(std::span<const JudgedScore> scores, std::span<const double> probabilities);

struct Calibration {
  PlattScaling scaling;
  int64_t scores = 0;  // That it was fitted to.
  double expected_error =
      0;  // CalibrationError of probabilities that were fitted without the query's fifth of queries.
};

// nullopt where there is too little to learn from: fewer than 20 scores of either kind, or of any four fifths of the
// queries none; or where higher scores do not mean more relevant.
std::optional<Calibration> Calibrate(std::span<const JudgedScore> scores);

}  // namespace tandem
