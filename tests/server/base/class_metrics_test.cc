#include "server/base/class_metrics.h"

#include <vector>

#include <gtest/gtest.h>

namespace tandem {
namespace {

TEST(ClassMetricsTest, CountsTextsWhoseNearestHasTheirLabel) {
  const std::vector<int32_t> labels = {0, 0, 1, 1};
  const std::vector<int64_t> nearest = {1, 0, 0, 2};
  const ClassMetrics metrics = MeasureClasses(labels, nearest);
  EXPECT_EQ(metrics.knn_accuracy, 0.75);
  EXPECT_EQ(metrics.texts, 4);
  EXPECT_EQ(MeasureClasses({}, {}).knn_accuracy, 0);
}

}  // namespace
}  // namespace tandem
