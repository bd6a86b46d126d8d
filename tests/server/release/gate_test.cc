#include "server/release/gate.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tandem {
namespace {

using testing::HasSubstr;

MeasuredRelease Measured(double ndcg, double recall = 1, int queries = 100) {
  MeasuredRelease measured;
  measured.evaluation.evaluation_set = "e";
  measured.evaluation.metrics.ndcg_at_10 = ndcg;
  measured.evaluation.metrics.queries = queries;
  measured.evaluation.index_recall_at_10 = recall;
  measured.ndcg_at_10.assign(static_cast<size_t>(queries), ndcg);
  return measured;
}

const std::vector<EvaluationQuery>& Queries() {
  static const auto* queries = [] {
    auto* made = new std::vector<EvaluationQuery>(100);
    for (size_t i = 0; i < made->size(); ++i) (*made)[i].text = "query " + std::to_string(i);
    return made;
  }();
  return *queries;
}

GatePolicy Policy() {
  GatePolicy policy;
  policy.evaluation_set = "e";
  return policy;
}

TEST(GateTest, FirstReleaseIsJudgedByTheFloorsAlone) {
  GatePolicy policy = Policy();
  policy.min_ndcg = 0.5;
  EXPECT_TRUE(AskGate(policy, Queries(), Measured(0.5), nullptr).passed);
  const GateReport refused = AskGate(policy, Queries(), Measured(0.4), nullptr);
  EXPECT_FALSE(refused.passed);
  EXPECT_THAT(refused.reason, HasSubstr("nDCG@10 on evaluation set \"e\" is 0.4000, its floor is 0.5000"));
  EXPECT_FALSE(refused.live.has_value());
}

TEST(GateTest, IndexRecallBelowItsFloorIsRefusedWithAndWithoutEvaluationSet) {
  const GateReport refused = AskGate(Policy(), Queries(), Measured(0.9, 0.85), nullptr);
  EXPECT_FALSE(refused.passed);
  EXPECT_THAT(refused.reason, HasSubstr("recall@10 is 0.8500, its floor is 0.9000"));
  EXPECT_FALSE(AskGate(GatePolicy{}, {}, Measured(0, 0.85, 0), nullptr).passed);
  EXPECT_TRUE(AskGate(GatePolicy{}, {}, Measured(0, 0.95, 0), nullptr).passed);
}

TEST(GateTest, QueriesThatFellAndRoseMostAreNamed) {
  const MeasuredRelease live = Measured(0.5);
  MeasuredRelease candidate = live;
  candidate.ndcg_at_10[7] = 0;
  candidate.ndcg_at_10[3] = 0.25;
  candidate.ndcg_at_10[42] = 1;
  const GateReport report = AskGate(Policy(), Queries(), candidate, &live);
  ASSERT_EQ(report.changes.fell.size(), 2u);
  EXPECT_EQ(report.changes.fell[0].text, "query 7");
  EXPECT_EQ(report.changes.fell[0].before, 0.5);
  EXPECT_EQ(report.changes.fell[0].after, 0);
  EXPECT_EQ(report.changes.fell[1].text, "query 3");
  ASSERT_EQ(report.changes.rose.size(), 1u);
  EXPECT_EQ(report.changes.rose[0].text, "query 42");
}

TEST(GateTest, AsGoodAsTheLiveReleasePasses) {
  const MeasuredRelease live = Measured(0.7);
  const GateReport report = AskGate(Policy(), Queries(), Measured(0.7), &live);
  EXPECT_TRUE(report.passed);
  EXPECT_EQ(report.ndcg.mean, 0);
  EXPECT_EQ(report.live->metrics.ndcg_at_10, 0.7);
  EXPECT_EQ(report.candidate->metrics.ndcg_at_10, 0.7);
}

TEST(GateTest, WorseThanTheMarginIsRefusedWithTheFigures) {
  const MeasuredRelease live = Measured(0.75);
  const GateReport report = AskGate(Policy(), Queries(), Measured(0.5), &live);
  EXPECT_FALSE(report.passed);
  EXPECT_NEAR(report.ndcg.mean, -0.25, 1e-12);
  EXPECT_THAT(report.reason, HasSubstr("is 0.5000 against 0.7500 of the live release"));
  EXPECT_THAT(report.reason, HasSubstr("must be above -0.0100"));
}

TEST(GateTest, TheLowerEndOfTheIntervalDecidesNotTheMean) {
  // Better on average, but by a few queries only: the interval reaches below -margin.
  MeasuredRelease live = Measured(0.5, 1, 20), candidate = Measured(0.5, 1, 20);
  for (size_t i = 0; i < 20; ++i) candidate.ndcg_at_10[i] = i < 3 ? 1.0 : 0.45;
  const GateReport report = AskGate(Policy(), Queries(), candidate, &live);
  EXPECT_GT(report.ndcg.mean, 0);
  EXPECT_LT(report.ndcg.lower, -0.01);
  EXPECT_FALSE(report.passed);
  GatePolicy lenient = Policy();
  lenient.margin = 0.2;
  EXPECT_TRUE(AskGate(lenient, Queries(), candidate, &live).passed);
}

TEST(GateTest, ADifferenceOfExactlyTheMarginIsRefused) {
  GatePolicy policy = Policy();
  policy.margin = 0;
  const MeasuredRelease live = Measured(0.5);
  EXPECT_FALSE(AskGate(policy, Queries(), Measured(0.5), &live).passed) << "the lower end 0 is not above -0";
}

TEST(GateTest, ReplacingNeedsAnEvaluationSetAndSoDoesAFloor) {
  GatePolicy policy;
  EXPECT_TRUE(LacksEvaluationSet(policy, /*replaces_live=*/true));
  EXPECT_FALSE(LacksEvaluationSet(policy, /*replaces_live=*/false));
  policy.min_ndcg = 0.1;
  EXPECT_TRUE(LacksEvaluationSet(policy, /*replaces_live=*/false));
  EXPECT_FALSE(LacksEvaluationSet(Policy(), /*replaces_live=*/true));
  EXPECT_FALSE(GateWithoutEvaluationSet().passed);
  EXPECT_THAT(GateWithoutEvaluationSet().reason, HasSubstr("gate.evaluation_set"));
}

}  // namespace
}  // namespace tandem
