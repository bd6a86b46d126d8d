#include "server/base/class_metrics.h"

#include <cstddef>

namespace tandem {

ClassMetrics MeasureClasses(std::span<const int32_t> labels, std::span<const int64_t> nearest) {
  if (labels.empty()) return {};
  int64_t right = 0;
  for (size_t i = 0; i < labels.size(); ++i) right += labels[i] == labels[static_cast<size_t>(nearest[i])] ? 1 : 0;
  return {.knn_accuracy = static_cast<double>(right) / static_cast<double>(labels.size()),
          .texts = static_cast<int>(labels.size())};
}

}  // namespace tandem
