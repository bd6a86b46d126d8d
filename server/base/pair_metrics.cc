#include "server/base/pair_metrics.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <vector>

namespace tandem {
namespace {

// What a threshold that takes the most similar pairs down to `similarity` does.
struct Cut {
  double similarity;  // Of the last pair taken.
  double next;        // Of the first pair left out; `similarity` itself when none is.
  double taken;       // Pairs.
  double true_taken;  // Similar pairs among them.

  // Half-way to the next similarity, unless rounding would let that in as well.
  double threshold() const {
    const double middle = (similarity + next) / 2;
    return middle == next ? similarity : middle;
  }
};

// One cut for each different similarity, from the highest down.
std::vector<Cut> Cuts(std::span<const double> similarities, std::span<const char> similar) {
  std::vector<size_t> order(similarities.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return similarities[a] > similarities[b]; });
  std::vector<Cut> cuts;
  double taken = 0, true_taken = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    const double similarity = similarities[order[i]];
    ++taken;
    true_taken += similar[order[i]] ? 1 : 0;
    const bool last = i + 1 == order.size();
    const double next = last ? similarity : similarities[order[i + 1]];
    if (last || next != similarity) cuts.push_back({similarity, next, taken, true_taken});
  }
  return cuts;
}

double AveragePrecisionOf(std::span<const Cut> cuts) {
  const double all_true = cuts.empty() ? 0 : cuts.back().true_taken;
  if (all_true == 0) return 0;
  double sum = 0, before = 0;
  for (const Cut& cut : cuts) {
    sum += (cut.true_taken - before) / all_true * (cut.true_taken / cut.taken);
    before = cut.true_taken;
  }
  return sum;
}

}  // namespace

double AveragePrecision(std::span<const double> similarities, std::span<const char> similar) {
  return AveragePrecisionOf(Cuts(similarities, similar));
}

PairMetrics MeasurePairs(std::span<const double> similarities, std::span<const char> similar) {
  const std::vector<Cut> cuts = Cuts(similarities, similar);
  if (cuts.empty()) return {};
  const double all = cuts.back().taken, all_true = cuts.back().true_taken, all_false = all - all_true;
  PairMetrics metrics;
  metrics.average_precision = AveragePrecisionOf(cuts);
  // To begin with, a threshold above every pair.
  metrics.best_accuracy = all_false / all;
  metrics.best_accuracy_threshold = std::nextafter(cuts.front().similarity, std::numeric_limits<double>::infinity());
  for (const Cut& cut : cuts) {
    const double false_taken = cut.taken - cut.true_taken;
    const double accuracy = (cut.true_taken + all_false - false_taken) / all;
    if (accuracy > metrics.best_accuracy) {
      metrics.best_accuracy = accuracy;
      metrics.best_accuracy_threshold = cut.threshold();
    }
    const double f1 = 2 * cut.true_taken / (cut.taken + all_true);
    if (f1 > metrics.best_f1) {
      metrics.best_f1 = f1;
      metrics.best_f1_threshold = cut.threshold();
    }
  }
  return metrics;
}

}  // namespace tandem
