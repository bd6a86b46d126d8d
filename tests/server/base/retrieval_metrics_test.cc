#include "server/base/retrieval_metrics.h"

#include <cmath>

#include <gtest/gtest.h>

namespace tandem {
namespace {

constexpr double kTolerance = 1e-12;

TEST(RetrievalMetricsTest, GradedRankingEqualsHandComputedValues) {
  // Hits with grades 3, 0, 1; judged are 3, 2, 1.
  const int gains[] = {3, 0, 1};
  const int judged[] = {1, 3, 2};
  const QueryMetrics metrics = MeasureQuery(gains, judged);
  const double dcg = 3 / std::log2(2) + 1 / std::log2(4);
  const double ideal = 3 / std::log2(2) + 2 / std::log2(3) + 1 / std::log2(4);
  EXPECT_NEAR(metrics.ndcg_at_10, dcg / ideal, kTolerance);
  EXPECT_NEAR(metrics.recall_at_10, 2.0 / 3, kTolerance);
  EXPECT_NEAR(metrics.recall_at_1, 1.0 / 3, kTolerance);
  EXPECT_NEAR(metrics.mrr_at_10, 1, kTolerance);
}

// trec_eval's ndcg_cut_10, recall_10 and recip_rank for a run whose relevant documents (grades 1, 2) stand at 2 and 4.
TEST(RetrievalMetricsTest, EqualsTrecEval) {
  const int gains[] = {0, 1, 0, 2, 0};
  const int judged[] = {1, 2};
  const QueryMetrics metrics = MeasureQuery(gains, judged);
  EXPECT_NEAR(metrics.ndcg_at_10, 0.567207, 1e-6);
  EXPECT_NEAR(metrics.recall_at_10, 1, kTolerance);
  EXPECT_NEAR(metrics.mrr_at_10, 0.5, kTolerance);
  EXPECT_EQ(metrics.recall_at_1, 0);
}

TEST(RetrievalMetricsTest, OnlyTheFirstTenHitsCount) {
  std::vector<int> gains(11, 0);
  gains[10] = 1;
  const int judged[] = {1};
  const QueryMetrics late = MeasureQuery(gains, judged);
  EXPECT_EQ(late.ndcg_at_10, 0);
  EXPECT_EQ(late.recall_at_10, 0);
  EXPECT_EQ(late.mrr_at_10, 0);
  // Twelve relevant documents, ten found in the best order: the ideal is cut at ten, recall is not.
  const std::vector<int> all(10, 1), twelve(12, 1);
  const QueryMetrics full = MeasureQuery(all, twelve);
  EXPECT_NEAR(full.ndcg_at_10, 1, kTolerance);
  EXPECT_NEAR(full.recall_at_10, 10.0 / 12, kTolerance);
}

TEST(RetrievalMetricsTest, NothingFoundOrNothingJudgedIsZero) {
  const int judged[] = {2};
  EXPECT_EQ(MeasureQuery({}, judged).ndcg_at_10, 0);
  EXPECT_EQ(MeasureQuery({}, {}).ndcg_at_10, 0);
  const int gains[] = {1};
  EXPECT_EQ(MeasureQuery(gains, {}).recall_at_10, 0);
}

TEST(RetrievalMetricsTest, AverageIsTheMeanOverQueries) {
  const QueryMetrics queries[] = {{1, 0.5, 1, 0.5}, {0, 0.25, 0.5, 0}};
  const RetrievalMetrics average = Average(queries);
  EXPECT_EQ(average.queries, 2);
  EXPECT_NEAR(average.ndcg_at_10, 0.5, kTolerance);
  EXPECT_NEAR(average.recall_at_10, 0.375, kTolerance);
  EXPECT_NEAR(average.mrr_at_10, 0.75, kTolerance);
  EXPECT_NEAR(average.recall_at_1, 0.25, kTolerance);
  EXPECT_EQ(Average({}).queries, 0);
}

TEST(PairedBootstrapTest, EqualSystemsDifferByNothing) {
  const double a[] = {0.1, 0.5, 0.9};
  const PairedDifference difference = PairedBootstrap(a, a);
  EXPECT_EQ(difference.mean, 0);
  EXPECT_EQ(difference.lower, 0);
  EXPECT_EQ(difference.upper, 0);
}

TEST(PairedBootstrapTest, ConstantDifferenceHasNoSpread) {
  const double a[] = {0.75, 0.5, 1}, b[] = {0.5, 0.25, 0.75};
  const PairedDifference difference = PairedBootstrap(a, b);
  EXPECT_NEAR(difference.lower, 0.25, kTolerance);
  EXPECT_NEAR(difference.upper, 0.25, kTolerance);
}

TEST(PairedBootstrapTest, IntervalEqualsTheNormalApproximation) {
  std::vector<double> a(400), b(400, 0.0);
  for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<double>(i % 20) / 20;  // Mean 0.475.
  double variance = 0;
  for (double value : a) variance += (value - 0.475) * (value - 0.475) / a.size();
  const double half_width = 1.96 * std::sqrt(variance / a.size());
  const PairedDifference difference = PairedBootstrap(a, b);
  EXPECT_NEAR(difference.mean, 0.475, 1e-9);
  EXPECT_NEAR(difference.lower, 0.475 - half_width, 0.003);
  EXPECT_NEAR(difference.upper, 0.475 + half_width, 0.003);
}

TEST(PairedBootstrapTest, SwappingSystemsMirrorsAndSeedsRepeat) {
  std::vector<double> a(50), b(50);
  for (size_t i = 0; i < a.size(); ++i) {
    a[i] = std::sin(i) * 0.5 + 0.5;
    b[i] = std::cos(3.0 * i) * 0.5 + 0.5;
  }
  const PairedDifference one = PairedBootstrap(a, b, 2000, 7), again = PairedBootstrap(a, b, 2000, 7);
  EXPECT_EQ(one.lower, again.lower);
  EXPECT_EQ(one.upper, again.upper);
  EXPECT_LE(one.lower, one.mean);
  EXPECT_GE(one.upper, one.mean);
  const PairedDifference swapped = PairedBootstrap(b, a, 2000, 7);
  EXPECT_NEAR(swapped.lower, -one.upper, 1e-12);
  EXPECT_NEAR(swapped.upper, -one.lower, 1e-12);
  EXPECT_NE(PairedBootstrap(a, b, 2000, 8).lower, one.lower);
}

}  // namespace
}  // namespace tandem
