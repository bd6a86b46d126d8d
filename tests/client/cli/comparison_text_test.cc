#include "client/cli/comparison_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tandem::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

void Set(v1::EstimatedFigure* figure, double value, double lower, double upper) {
  figure->set_value(value);
  figure->set_lower(lower);
  figure->set_upper(upper);
}

v1::TrainingComparison Comparison(double difference, double lower, double upper) {
  v1::TrainingComparison comparison;
  comparison.set_step(1200);
  comparison.mutable_before()->mutable_retrieval()->set_ndcg_at_10(0.5);
  comparison.mutable_before()->set_loss(2);
  comparison.mutable_after()->mutable_retrieval()->set_ndcg_at_10(0.5 + difference);
  comparison.mutable_after()->set_loss(1.5);
  comparison.mutable_after()->set_uniformity(-2);
  v1::TrainingComparison::Metric* const metric = comparison.add_metrics();
  metric->set_name("ndcg_at_10");
  Set(metric->mutable_before(), 0.5, 0.4, 0.6);
  Set(metric->mutable_after(), 0.5 + difference, 0.5, 0.75);
  Set(metric->mutable_difference(), difference, lower, upper);
  return comparison;
}

TEST(ComparisonTextTest, FiguresStandWithTheirIntervalsAndTheVerdictFirst) {
  v1::TrainingComparison comparison = Comparison(0.125, 0.0625, 0.25);
  v1::QueryChange* const change = comparison.add_fell();
  change->set_text("where is it");
  change->set_before(1);
  change->set_after(0.25);
  EXPECT_EQ(DescribeComparison(comparison),
            "before and after training (step 1,200), on the validation examples: nDCG@10 rose by 0.1250, 95% interval "
            "[+0.0625, +0.2500]\n"
            "METRIC                    BEFORE                    AFTER                      CHANGE\n"
            "nDCG@10  0.5000 [0.4000, 0.6000]  0.6250 [0.5000, 0.7500]  +0.1250 [+0.0625, +0.2500]\n"
            "loss                      2.0000                   1.5000                     -0.5000\n"
            "\n"
            "BEFORE   AFTER  QUERIES WHOSE nDCG@10 FELL MOST\n"
            "1.0000  0.2500  where is it\n");
}

TEST(ComparisonTextTest, ATrainingThatHarmsIsSaidToHarm) {
  EXPECT_EQ(ComparisonVerdict(Comparison(-0.125, -0.25, -0.0625)),
            "nDCG@10 FELL by 0.1250, 95% interval [-0.2500, -0.0625]: the base is better");
  EXPECT_EQ(ComparisonVerdict(Comparison(0.125, -0.0625, 0.25)),
            "nDCG@10 did not change for sure: +0.1250, 95% interval [-0.0625, +0.2500]");
}

TEST(ComparisonTextTest, WhatFellIsCalledByTheFormOfTheExamples) {
  v1::TrainingComparison comparison;
  comparison.add_fell()->set_text("x");
  comparison.mutable_after()->mutable_similarity();
  EXPECT_THAT(DescribeComparison(comparison), HasSubstr("PAIRS THAT MOVED AWAY FROM THEIR SCORES MOST"));
  comparison.mutable_after()->mutable_labelled_pairs();
  EXPECT_THAT(DescribeComparison(comparison), HasSubstr("PAIRS THAT PASSED MOST PAIRS OF THE OTHER KIND"));
  comparison.mutable_after()->mutable_classes();
  EXPECT_THAT(DescribeComparison(comparison), HasSubstr("TEXTS WHOSE NEIGHBOUR IS OF ANOTHER CLASS NOW"));
}

TEST(ComparisonTextTest, PlainTextsHaveTheirLossAlone) {
  v1::TrainingComparison comparison;
  comparison.mutable_before()->set_loss(1);
  comparison.mutable_after()->set_loss(0.5);
  EXPECT_EQ(ComparisonVerdict(comparison), "");
  EXPECT_THAT(DescribeComparison(comparison), HasSubstr("loss    1.0000  0.5000  -0.5000"));
  EXPECT_THAT(DescribeComparison(comparison), Not(HasSubstr("interval")));
}

}  // namespace
}  // namespace tandem::cli
