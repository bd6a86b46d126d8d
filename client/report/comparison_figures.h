#pragma once
// A model before and after a training, on the validation examples.

#include <cstdint>
#include <string>
#include <vector>

#include "client/report/page.h"
#include "client/report/query_changes.h"

namespace tandem::report {

struct Estimate {
  double value = 0, lower = 0, upper = 0;  // With its 95% interval.
};

struct ComparedMetric {
  std::string name;
  Estimate before, after, difference;
};

struct Comparison {
  int64_t step = 0;                     // Of the weights that are the result.
  std::string verdict;                  // A sentence without its stop; empty without metrics.
  std::vector<ComparedMetric> metrics;  // The first decides which weights are best.
  std::string changes;                  // What the numbers of the lists are of: "nDCG@10 of the query".
  std::vector<QueryChange> rose, fell;  // The largest change first.
};

Tile TileOf(const Comparison& comparison);  // REQUIRES: metrics.

// The verdict, a picture and a table of the metrics with their intervals, and the lists. REQUIRES: metrics.
std::string DrawComparison(const Comparison& comparison);

}  // namespace tandem::report
