#include "server/training/model_comparison.h"

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "server/base/pair_metrics.h"

namespace tandem {
namespace {

class ModelComparisonTest : public testing::Test {
 protected:
  TrainingExample& Add(const std::string& first, const std::string& second = "") {
    TrainingExample example{.anchor = texts_.Intern(first)};
    if (!second.empty()) example.positives = {texts_.Intern(second)};
    set_.examples.push_back(std::move(example));
    return set_.examples.back();
  }
  TrainingComparison Run(const std::map<std::string, std::vector<double>>& before,
                         const std::map<std::string, std::vector<double>>& after) {
    ValidationOutcomes from{.result = {}, .values = before}, to{.result = {}, .values = after};
    from.result.loss = 3;
    to.result.loss = 2;
    return Compare(ItemsOf(set_, texts_), from, to, 40);
  }

  TextTable texts_;
  ExampleSet set_;
};

TEST_F(ModelComparisonTest, QueriesThatLostAreNamedTheLargestLossFirst) {
  for (const char* query : {"a", "b", "a", "c", "d"}) Add(query, "x");  // "a" is one query.
  const std::vector<double> rest(4, 0.5);
  const auto comparison = Run({{"ndcg_at_10", {1, 1, 0.5, 0.25}}, {"recall_at_10", rest}, {"map", rest}},
                              {{"ndcg_at_10", {0.75, 0.25, 0.5, 1}}, {"recall_at_10", rest}, {"map", rest}});
  EXPECT_EQ(comparison.step, 40);
  EXPECT_EQ(*comparison.before.loss, 3);
  EXPECT_EQ(*comparison.after.loss, 2);
  ASSERT_EQ(comparison.metrics.size(), 3u) << "what neither validation has is left out";
  EXPECT_EQ(comparison.metrics[0].name, "ndcg_at_10");
  EXPECT_DOUBLE_EQ(comparison.metrics[0].figure.before.value, 0.6875);
  EXPECT_DOUBLE_EQ(comparison.metrics[0].figure.difference.value, 0.625 - 0.6875);
  EXPECT_EQ(comparison.metrics[1].figure.difference.upper, 0);
  ASSERT_EQ(comparison.changes.fell.size(), 2u);
  EXPECT_EQ(comparison.changes.fell[0].text, "b");
  EXPECT_EQ(comparison.changes.fell[0].before, 1);
  EXPECT_EQ(comparison.changes.fell[0].after, 0.25);
  EXPECT_EQ(comparison.changes.fell[1].text, "a");
  ASSERT_EQ(comparison.changes.rose.size(), 1u);
  EXPECT_EQ(comparison.changes.rose[0].text, "d");
}

TEST_F(ModelComparisonTest, AScoredPairIsJudgedByHowFarItsRankIsFromThatOfItsScore) {
  set_.form = ExampleForm::kScoredPair;
  const float scores[] = {0, 0.5f, 0.75f, 1};
  for (int i = 0; i < 4; ++i) Add("first " + std::to_string(i), "second " + std::to_string(i)).score = scores[i];
  const auto comparison = Run({{"cosine", {0.1, 0.2, 0.3, 0.4}}}, {{"cosine", {0.9, 0.2, 0.3, 0.4}}});
  ASSERT_EQ(comparison.metrics.size(), 2u);
  EXPECT_EQ(comparison.metrics[0].name, "spearman");
  EXPECT_NEAR(comparison.metrics[0].figure.before.value, 1, 1e-12);
  EXPECT_NEAR(comparison.metrics[0].figure.after.value, -0.2, 1e-12);  // 1 - 6 * (9 + 1 + 1 + 1) / (4 * 15)
  EXPECT_EQ(comparison.metrics[1].name, "pearson");
  ASSERT_EQ(comparison.changes.fell.size(), 4u);
  EXPECT_EQ(comparison.changes.fell[0].text, "first 0 ↔ second 0");
  EXPECT_EQ(comparison.changes.fell[0].before, 1);
  EXPECT_EQ(comparison.changes.fell[0].after, 0);  // The lowest score has the highest cosine.
  EXPECT_NEAR(comparison.changes.fell[1].after, 1 - 1 / 3.0, 1e-12);
}

TEST_F(ModelComparisonTest, ALabelledPairIsJudgedByThePairsOfTheOtherKind) {
  set_.form = ExampleForm::kLabelledPair;
  const bool similar[] = {true, true, false, false, false};
  for (int i = 0; i < 5; ++i) Add("f" + std::to_string(i), "s" + std::to_string(i)).similar = similar[i];
  const std::vector<double> before = {0.9, 0.3, 0.3, 0.2, 0.1}, after = {0.9, 0.8, 0.95, 0.2, 0.1};
  const auto comparison = Run({{"cosine", before}}, {{"cosine", after}});
  ASSERT_EQ(comparison.metrics.size(), 1u);
  const char labels[] = {1, 1, 0, 0, 0};
  EXPECT_DOUBLE_EQ(comparison.metrics[0].figure.before.value, AveragePrecision(before, labels));
  EXPECT_DOUBLE_EQ(comparison.metrics[0].figure.after.value, AveragePrecision(after, labels));
  ASSERT_EQ(comparison.changes.fell.size(), 3u);
  EXPECT_EQ(comparison.changes.fell[0].text, "f2 ↔ s2");
  EXPECT_EQ(comparison.changes.fell[0].before, 0.75);  // Below one similar pair, as high as the other.
  EXPECT_EQ(comparison.changes.fell[0].after, 0);
  EXPECT_EQ(comparison.changes.fell[1].text, "f0 ↔ s0");
  EXPECT_NEAR(comparison.changes.fell[1].after, 2 / 3.0, 1e-12);
  EXPECT_EQ(comparison.changes.fell[2].text, "f1 ↔ s1");
  EXPECT_NEAR(comparison.changes.fell[2].before, 2.5 / 3, 1e-12);
  EXPECT_TRUE(comparison.changes.rose.empty());
}

TEST_F(ModelComparisonTest, LabelledTextsAreHitsAndMisses) {
  set_.form = ExampleForm::kLabelledText;
  for (const char* text : {"one", "two", "one"}) Add(text);
  const auto comparison = Run({{"knn_accuracy", {1, 1, 0}}}, {{"knn_accuracy", {1, 0, 1}}});
  EXPECT_DOUBLE_EQ(comparison.metrics[0].figure.after.value, 2 / 3.0);
  EXPECT_EQ(comparison.changes.fell[0].text, "two");
  EXPECT_EQ(comparison.changes.rose[0].text, "one");
}

TEST_F(ModelComparisonTest, PlainTextsAndOutcomesOfOtherExamplesHaveNoMetric) {
  set_.form = ExampleForm::kText;
  Add("text");
  EXPECT_TRUE(Run({}, {}).metrics.empty());
  set_.form = ExampleForm::kLabelledText;
  const auto comparison = Run({{"knn_accuracy", {1, 0}}}, {{"knn_accuracy", {1}}});
  EXPECT_TRUE(comparison.metrics.empty());
  EXPECT_TRUE(comparison.changes.fell.empty());
}

TEST_F(ModelComparisonTest, BothTextsOfALongPairAreShown) {
  set_.form = ExampleForm::kScoredPair;
  Add(std::string(5000, 'a'), std::string(5000, 'b'));
  const std::string text = ItemsOf(set_, texts_).texts[0];
  EXPECT_LE(text.size(), kMostQueryChangeBytes);
  EXPECT_NE(text.find("aaaa… ↔ bbbb"), std::string::npos) << text;
}

TEST(ValidationOutcomesTest, ABaselineComesBackBitByBit) {
  const std::filesystem::path directory = testing::TempDir();
  ValidationOutcomes outcomes{.result = {}, .values = {{"cosine", {1.0 / 3, -0.1, 1e-300}}}};
  outcomes.result.metrics.pairs = PairMetrics{.average_precision = 0.7, .best_f1_threshold = 1.0 / 7};
  ASSERT_TRUE(SaveBaseline(directory, outcomes).ok());
  const auto back = LoadBaseline(directory);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->values, outcomes.values);
  EXPECT_EQ(back->result.metrics.pairs->best_f1_threshold, 1.0 / 7);
}

}  // namespace
}  // namespace tandem
