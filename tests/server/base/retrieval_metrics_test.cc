#include "server/base/retrieval_metrics.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "tests/server/base/metrics_golden.h"

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

TEST(RetrievalMetricsTest, EqualsSentenceTransformersAtEveryK) {
  const nlohmann::json golden = test::MetricsGolden("retrieval");
  const auto gains = golden["gains"].get<std::vector<std::vector<int>>>();
  ASSERT_EQ(golden["at"].size(), 4u);
  for (const nlohmann::json& at : golden["at"]) {
    const size_t k = at["k"];
    double ndcg = 0, recall = 0, mrr = 0, map = 0;
    for (size_t query = 0; query < gains.size(); ++query) {
      const std::vector<int> judged(golden["relevant"][query].get<size_t>(), 1);
      ndcg += NdcgAt(k, gains[query], judged) / gains.size();
      recall += RecallAt(k, gains[query], judged) / gains.size();
      mrr += ReciprocalRankAt(k, gains[query]) / gains.size();
      map += AveragePrecisionAt(k, gains[query], judged) / gains.size();
    }
    EXPECT_NEAR(ndcg, at["ndcg"].get<double>(), kTolerance) << k;
    EXPECT_NEAR(recall, at["recall"].get<double>(), kTolerance) << k;
    EXPECT_NEAR(mrr, at["mrr"].get<double>(), kTolerance) << k;
    EXPECT_NEAR(map, at["map"].get<double>(), kTolerance) << k;
  }
}

}  // namespace
}  // namespace tandem
