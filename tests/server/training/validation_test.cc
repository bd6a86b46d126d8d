#include "server/training/validation.h"

#include <string>
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

  void Add(const std::string& anchor, const std::string& positive, const std::vector<std::string>& negatives = {}) {
    pairs_.push_back({texts_.Intern(anchor), texts_.Intern(positive), {}});
    for (const std::string& text : negatives) pairs_.back().negatives.push_back(texts_.Intern(text));
  }

  absl::StatusOr<ValidationResult> Run(const std::function<absl::Status(int64_t, int64_t)>& proceed = GoOn) {
    const std::vector<TrainingPair>* const sets[] = {&pairs_};
    auto tokens = TokenCache::Make(texts_, sets, model_->tokenizer(), model_->contract(), 64, GoOn);
    if (!tokens.ok()) return tokens.status();
    return Validator(pairs_, &*tokens, TrainerOptions()).Run(*model_, proceed);
  }

  std::unique_ptr<TextModel> model_;
  TextTable texts_;
  std::vector<TrainingPair> pairs_;
};

TEST_F(ValidatorTest, PositiveEqualToItsAnchorIsFoundFirst) {
  for (const char* text : {"search index", "bird and fish", "music video"}) Add(text, text, {"letter number"});
  const auto result = Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->metrics.queries, 3);
  EXPECT_EQ(result->metrics.recall_at_1, 1);
  EXPECT_EQ(result->metrics.ndcg_at_10, 1);
  EXPECT_EQ(result->metrics.mrr_at_10, 1);
}

TEST_F(ValidatorTest, NegativeEqualToTheAnchorOutranksThePositive) {
  Add("search index", "metal stone", {"search index"});
  Add("bird and fish", "letter number", {"bird and fish"});
  const auto result = Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->metrics.recall_at_1, 0);
  EXPECT_EQ(result->metrics.recall_at_10, 1);
  EXPECT_LE(result->metrics.mrr_at_10, 0.5);
  EXPECT_GT(result->loss, 0);
}

TEST_F(ValidatorTest, AllPositivesOfAnAnchorAreRelevant) {
  Add("search index", "search index");
  Add("search index", "search index.");
  Add("bird", "bird");
  const auto result = Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->metrics.queries, 2);
  EXPECT_EQ(result->metrics.recall_at_1, 0.75);  // One of two, and one of one.
  EXPECT_EQ(result->metrics.recall_at_10, 1);
}

TEST_F(ValidatorTest, StopsWhenAskedTo) {
  Add("search", "index");
  Add("bird", "fish");
  EXPECT_TRUE(absl::IsCancelled(Run([](int64_t, int64_t) { return absl::CancelledError(); }).status()));
}

}  // namespace
}  // namespace tandem
