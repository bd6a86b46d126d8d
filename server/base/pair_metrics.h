#pragma once
// How well similarities tell similar pairs from dissimilar ones: the numbers of sentence-transformers'
// BinaryClassificationEvaluator (6.2.0).

#include <span>

namespace tandem {

struct PairMetrics {
  double average_precision = 0;
  // A pair counts as similar when its similarity is at or above the threshold.
  double best_accuracy = 0;
  double best_accuracy_threshold = 0;
  double best_f1 = 0;
  double best_f1_threshold = 0;
};

// `similar[i]` is 1 or 0. REQUIRES: as many of both, all similarities finite. Of no pairs: zeros.
PairMetrics MeasurePairs(std::span<const double> similarities, std::span<const char> similar);

// Average precision, sum over thresholds of (recall_n - recall_{n-1}) * precision_n, where equal similarities share a
// threshold (sklearn.metrics.average_precision_score). Without a similar pair: 0.
double AveragePrecision(std::span<const double> similarities, std::span<const char> similar);

}  // namespace tandem
