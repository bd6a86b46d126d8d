#include "server/training/validation.h"

#include <cmath>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/server/training/golden.h"

namespace tandem {
namespace {

absl::Status GoOn(int64_t, int64_t) { return absl::OkStatus(); }

class ValidatorTest : public testing::Test {
 protected:
  void SetUp() override {
    auto model = TextModel::Load(GoldenPath("tiny_bert"));
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
  }

  TrainingExample& Add(const std::string& anchor, const std::vector<std::string>& positives,
                       const std::vector<std::string>& negatives = {}) {
    TrainingExample example{.anchor = texts_.Intern(anchor)};
    for (const std::string& text : positives) example.positives.push_back(texts_.Intern(text));
    for (const std::string& text : negatives) example.negatives.push_back(texts_.Intern(text));
    set_.examples.push_back(std::move(example));
    return set_.examples.back();
  }

  absl::StatusOr<ValidationResult> Run(const LossOptions& loss = {},
                                       const std::function<absl::Status(int64_t, int64_t)>& proceed = GoOn) {
    absl::StatusOr<ValidationOutcomes> outcomes = RunWithOutcomes(loss, proceed);
    if (!outcomes.ok()) return outcomes.status();
    return outcomes->result;
  }

  absl::StatusOr<ValidationOutcomes> RunWithOutcomes(
      const LossOptions& loss = {}, const std::function<absl::Status(int64_t, int64_t)>& proceed = GoOn) {
    const ExampleSet* const sets[] = {&set_};
    auto tokens = TokenCache::Make(texts_, sets, model_->tokenizer(), model_->contract(), 64, GoOn);
    if (!tokens.ok()) return tokens.status();
    TrainerOptions options;
    options.batch_size = 8;
    options.objectives[0].loss = loss;
    return Validator(set_, &*tokens, options).Run(*model_, proceed);
  }

  std::unique_ptr<TextModel> model_;
  TextTable texts_;
  ExampleSet set_;
};

TEST_F(ValidatorTest, PositiveEqualToItsAnchorIsFoundFirst) {
  for (const char* text : {"search index", "bird and fish", "music video"}) Add(text, {text}, {"letter number"});
  const auto result = Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->metrics.retrieval->queries, 3);
  EXPECT_EQ(result->metrics.retrieval->recall_at_1, 1);
  EXPECT_EQ(result->metrics.retrieval->ndcg_at_10, 1);
  EXPECT_EQ(result->metrics.retrieval->mrr_at_10, 1);
  EXPECT_EQ(result->metrics.retrieval->map, 1);
  EXPECT_EQ(result->metrics.score(), 1);
  EXPECT_NEAR(*result->metrics.alignment, 0, 1e-9);
  EXPECT_LT(*result->metrics.uniformity, 0);
}

TEST_F(ValidatorTest, NegativeEqualToTheAnchorOutranksThePositive) {
  Add("search index", {"metal stone"}, {"search index"});
  Add("bird and fish", {"letter number"}, {"bird and fish"});
  const auto result = Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->metrics.retrieval->recall_at_1, 0);
  EXPECT_EQ(result->metrics.retrieval->recall_at_10, 1);
  EXPECT_LE(result->metrics.retrieval->mrr_at_10, 0.5);
  EXPECT_GT(*result->loss, 0);
}

TEST_F(ValidatorTest, AllPositivesOfAnAnchorAreRelevant) {
  Add("search index", {"search index"});
  Add("search index", {"search index."});
  Add("bird", {"bird"});
  const auto result = Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->metrics.retrieval->queries, 2);
  EXPECT_EQ(result->metrics.retrieval->recall_at_1, 0.75);  // One of two, and one of one.
  EXPECT_EQ(result->metrics.retrieval->recall_at_10, 1);
}

TEST_F(ValidatorTest, StopsWhenAskedTo) {
  Add("search", {"index"});
  Add("bird", {"fish"});
  EXPECT_TRUE(absl::IsCancelled(Run({}, [](int64_t, int64_t) { return absl::CancelledError(); }).status()));
}

TEST_F(ValidatorTest, SeveralPositivesOfOneExampleMeasureLikeExamplesOfOneEach) {
  Add("search index", {"search tool", "index code"}, {"metal"});
  Add("bird", {"fish"});
  const auto together = Run({.kind = InfoNceOptions{.several_positives = true}});
  set_ = OnePositiveEach(set_);
  const auto apart = Run();
  ASSERT_TRUE(together.ok() && apart.ok()) << together.status() << apart.status();
  EXPECT_EQ(together->metrics.retrieval->queries, 2);
  EXPECT_EQ(together->metrics.retrieval->ndcg_at_10, apart->metrics.retrieval->ndcg_at_10);
  EXPECT_EQ(together->metrics.retrieval->map, apart->metrics.retrieval->map);
  EXPECT_DOUBLE_EQ(*together->metrics.alignment, *apart->metrics.alignment);
  EXPECT_TRUE(together->loss.has_value());
}

TEST_F(ValidatorTest, ScoredPairsAreMeasuredByCorrelation) {
  set_.form = ExampleForm::kScoredPair;
  Add("search index", {"search index"}).score = 1;
  Add("bird and fish", {"bird and the fish"}).score = 0.75f;
  Add("music video", {"letter in a number"}).score = 0;
  const auto result = Run({.kind = CosentOptions()});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_GT(result->metrics.similarity->spearman, 0);
  EXPECT_EQ(result->metrics.score(), result->metrics.similarity->spearman);
  EXPECT_TRUE(result->loss.has_value());
  EXPECT_FALSE(result->metrics.alignment.has_value()) << "a score says not which pairs are positive";
  EXPECT_FALSE(result->metrics.retrieval.has_value());
  for (TrainingExample& example : set_.examples) example.score = 1 - example.score;
  EXPECT_NEAR(Run()->metrics.similarity->spearman, -result->metrics.similarity->spearman, 1e-12);
}

TEST_F(ValidatorTest, LossThatDoesNotTakeTheFormIsLeftOut) {
  set_.form = ExampleForm::kScoredPair;
  Add("search index", {"search index"}).score = 1;
  Add("music video", {"letter"}).score = 0;
  const auto result = Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_FALSE(result->loss.has_value());
  EXPECT_TRUE(result->metrics.similarity.has_value());
}

TEST_F(ValidatorTest, LabelledPairsAreMeasuredByThreshold) {
  set_.form = ExampleForm::kLabelledPair;
  Add("search index", {"search index"}).similar = true;
  Add("bird and fish", {"bird and fish"}).similar = true;
  Add("music video", {"letter in a number"});
  Add("python data", {"water stone"});
  const auto result = Run({.kind = ContrastiveOptions()});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->metrics.pairs->average_precision, 1);
  EXPECT_EQ(result->metrics.pairs->best_accuracy, 1);
  EXPECT_EQ(result->metrics.pairs->best_f1, 1);
  EXPECT_LT(result->metrics.pairs->best_f1_threshold, 1);
  EXPECT_NEAR(*result->metrics.alignment, 0, 1e-9) << "of the similar pairs";
  EXPECT_TRUE(result->loss.has_value());
}

TEST_F(ValidatorTest, LabelledTextsAreMeasuredByTheirNeighbours) {
  set_.form = ExampleForm::kLabelledText;
  for (const char* text : {"bird", "bird bird", "the bird", "a bird"}) Add(text, {}).label = 0;
  for (const char* text : {"search index", "search the index", "a search index", "search index tool"}) {
    Add(text, {}).label = 1;
  }
  const auto result = Run({.kind = SupConOptions()});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->metrics.classes->texts, 8);
  EXPECT_EQ(result->metrics.classes->knn_accuracy, 1);
  EXPECT_GT(*result->loss, 0) << "both classes are in the batch, though the examples come class by class";
  for (size_t i = 0; i < set_.examples.size(); ++i) set_.examples[i].label = static_cast<int32_t>(i);
  EXPECT_EQ(Run()->metrics.classes->knn_accuracy, 0);
}

TEST_F(ValidatorTest, TextsHaveLossAndUniformityOnly) {
  set_.form = ExampleForm::kText;
  for (const char* text : {"bird", "search index", "music video"}) Add(text, {});
  const auto result = Run({.kind = SimCseOptions()});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_GT(*result->loss, 0);
  EXPECT_LT(*result->metrics.uniformity, 0);
  EXPECT_FALSE(result->metrics.alignment.has_value());
  EXPECT_EQ(result->metrics.score(), 0);
}

double MeanOf(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

TEST_F(ValidatorTest, TheOutcomesOfTheQueriesStandBehindTheMeans) {
  for (const char* text : {"bird", "search index", "music video", "bird", "letter"})
    Add(text, {"the code of a " + std::string(text)}, {text});
  const auto outcomes = RunWithOutcomes();
  ASSERT_TRUE(outcomes.ok()) << outcomes.status();
  const RetrievalMetrics& metrics = *outcomes->result.metrics.retrieval;
  const std::pair<const char*, double> means[] = {{"ndcg_at_10", metrics.ndcg_at_10},
                                                  {"recall_at_10", metrics.recall_at_10},
                                                  {"mrr_at_10", metrics.mrr_at_10},
                                                  {"recall_at_1", metrics.recall_at_1},
                                                  {"map", *metrics.map}};
  EXPECT_EQ(outcomes->values.size(), std::size(means));
  for (const auto& [name, mean] : means) {
    ASSERT_EQ(outcomes->values.at(name).size(), 4u) << name;
    EXPECT_NEAR(MeanOf(outcomes->values.at(name)), mean, 1e-12) << name;
  }
}

TEST_F(ValidatorTest, TheOutcomesOfPairsAreCosinesAndThoseOfTextsAreHits) {
  set_.form = ExampleForm::kScoredPair;
  Add("search index", {"search index"}).score = 1;
  Add("music video", {"letter"}).score = 0;
  const auto pairs = RunWithOutcomes();
  ASSERT_TRUE(pairs.ok()) << pairs.status();
  ASSERT_EQ(pairs->values.at("cosine").size(), 2u);
  EXPECT_NEAR(pairs->values.at("cosine")[0], 1, 1e-6);
  EXPECT_LT(pairs->values.at("cosine")[1], 0.999);
  set_ = {.form = ExampleForm::kLabelledText, .examples = {}};
  for (const char* text : {"bird", "bird bird", "search index", "a search index"}) Add(text, {}).label = text[0] == 'b';
  set_.examples[3].label = 2;
  const auto texts = RunWithOutcomes();
  ASSERT_TRUE(texts.ok()) << texts.status();
  EXPECT_EQ(texts->values.at("knn_accuracy"), (std::vector<double>{1, 1, 0, 0}));
  EXPECT_EQ(texts->result.metrics.classes->knn_accuracy, 0.5);
}

TEST_F(ValidatorTest, EveryRunMeasuresTheSame) {
  for (const char* text : {"bird", "search index", "music video", "paper", "letter"}) Add(text, {"the code"});
  const auto one = Run(), again = Run();
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_EQ(ToJson(*one), ToJson(*again));
}

TEST_F(ValidatorTest, EmbeddingThatIsNotFiniteIsAnError) {
  Add("search", {"index"});
  Add("bird", {"fish"});
  {
    const torch::NoGradGuard no_grad;
    model_->Parameters()[0].value.fill_(NAN);
  }
  EXPECT_EQ(Run().status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace tandem
