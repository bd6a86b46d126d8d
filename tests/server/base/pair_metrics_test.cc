#include "server/base/pair_metrics.h"

#include <vector>

#include <gtest/gtest.h>

#include "tests/server/base/metrics_golden.h"

namespace tandem {
namespace {

TEST(PairMetricsTest, EqualsSentenceTransformers) {
  const nlohmann::json cases = test::MetricsGolden("labelled");
  ASSERT_EQ(cases.size(), 6u);
  for (const nlohmann::json& golden : cases) {
    const auto similarities = golden["similarities"].get<std::vector<double>>();
    const auto similar = golden["similar"].get<std::vector<char>>();
    const PairMetrics metrics = MeasurePairs(similarities, similar);
    EXPECT_NEAR(metrics.average_precision, golden["average_precision"].get<double>(), 1e-12);
    EXPECT_NEAR(metrics.best_accuracy, golden["best_accuracy"].get<double>(), 1e-12);
    EXPECT_NEAR(metrics.best_accuracy_threshold, golden["best_accuracy_threshold"].get<double>(), 1e-12);
    EXPECT_NEAR(metrics.best_f1, golden["best_f1"].get<double>(), 1e-12);
    EXPECT_NEAR(metrics.best_f1_threshold, golden["best_f1_threshold"].get<double>(), 1e-12);
    EXPECT_EQ(AveragePrecision(similarities, similar), metrics.average_precision);
  }
}

TEST(PairMetricsTest, ThresholdLiesBetweenThePairsThatItParts) {
  const std::vector<double> similarities = {0.25, 0.75, 0.5};
  const std::vector<char> similar = {0, 1, 0};
  const PairMetrics metrics = MeasurePairs(similarities, similar);
  EXPECT_EQ(metrics.best_accuracy, 1);
  EXPECT_EQ(metrics.best_accuracy_threshold, 0.625);
  EXPECT_EQ(metrics.best_f1, 1);
  EXPECT_EQ(metrics.average_precision, 1);
}

TEST(PairMetricsTest, EqualSimilaritiesAreNeverParted) {
  const std::vector<double> similarities = {0.5, 0.5};
  for (const std::vector<char>& similar : {std::vector<char>{1, 0}, std::vector<char>{0, 1}}) {
    const PairMetrics metrics = MeasurePairs(similarities, similar);
    EXPECT_EQ(metrics.best_accuracy, 0.5);
    EXPECT_EQ(metrics.average_precision, 0.5);
  }
}

TEST(PairMetricsTest, NothingIsZero) {
  EXPECT_EQ(MeasurePairs({}, {}).best_accuracy, 0);
  EXPECT_EQ(MeasurePairs({}, {}).average_precision, 0);
}

}  // namespace
}  // namespace tandem
