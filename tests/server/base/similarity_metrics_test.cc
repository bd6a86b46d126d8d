#include "server/base/similarity_metrics.h"

#include <vector>

#include <gtest/gtest.h>

#include "tests/server/base/metrics_golden.h"

namespace tandem {
namespace {

TEST(SimilarityMetricsTest, EqualsScipy) {
  const nlohmann::json cases = test::MetricsGolden("scored");
  ASSERT_EQ(cases.size(), 4u);
  for (const nlohmann::json& golden : cases) {
    const auto x = golden["x"].get<std::vector<double>>(), y = golden["y"].get<std::vector<double>>();
    EXPECT_EQ(AverageRanks(x), golden["ranks"].get<std::vector<double>>());
    const SimilarityMetrics metrics = MeasureSimilarity(x, y);
    EXPECT_NEAR(metrics.spearman, golden["spearman"].get<double>(), 1e-12);
    EXPECT_NEAR(metrics.pearson, golden["pearson"].get<double>(), 1e-12);
  }
}

TEST(SimilarityMetricsTest, TiesShareTheMeanOfTheirRanks) {
  EXPECT_EQ(AverageRanks(std::vector<double>{3, 1, 3, 2, 3}), (std::vector<double>{4, 1, 4, 2, 4}));
}

TEST(SimilarityMetricsTest, WhatIsNotDefinedIsZero) {
  const std::vector<double> constant = {0.5, 0.5, 0.5}, rising = {1, 2, 3}, one = {1};
  EXPECT_EQ(Spearman(constant, rising), 0);
  EXPECT_EQ(Pearson(rising, constant), 0);
  EXPECT_EQ(Spearman(one, one), 0);
  EXPECT_EQ(Spearman({}, {}), 0);
}

TEST(SimilarityMetricsTest, OrderAloneDecidesSpearman) {
  const std::vector<double> x = {1, 2, 3, 4}, steep = {0, 1, 100, 10000}, falling = {4, 3, 2, 1};
  EXPECT_NEAR(Spearman(x, steep), 1, 1e-12);
  EXPECT_LT(Pearson(x, steep), 0.9);
  EXPECT_NEAR(Spearman(x, falling), -1, 1e-12);
}

}  // namespace
}  // namespace tandem
