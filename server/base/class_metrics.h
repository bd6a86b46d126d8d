#pragma once
// How well texts of a class lie together: the accuracy of a classifier that gives each text the class of the text
// nearest to it, the text itself left out (1-nearest-neighbour, leave one out).

#include <cstdint>
#include <span>

namespace tandem {

struct ClassMetrics {
  double knn_accuracy = 0;
  int texts = 0;
};

// `nearest[i]` is the index of the text nearest to text i, other than i. REQUIRES: as many labels as neighbours.
ClassMetrics MeasureClasses(std::span<const int32_t> labels, std::span<const int64_t> nearest);

}  // namespace tandem
