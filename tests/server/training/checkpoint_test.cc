#include "server/training/checkpoint.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "server/base/files.h"
#include "server/base/strings.h"
#include "tests/server/training/golden.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;

class CheckpointTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::remove_all(job_);
    fs::create_directories(job_);
    auto model = TextModel::Load(GoldenPath("tiny_bert"));
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
    optimizer_ = std::make_unique<AdamW>(model_->Parameters(), AdamWOptions{.weight_decay = 0.01});
  }

  void Save(const TrainerState& state) {
    const absl::Status status = checkpoints_.Save(state, *model_, *optimizer_);
    ASSERT_TRUE(status.ok()) << status;
  }
  bool Exists(const std::string& name) const { return fs::exists(job_ / name); }

  const fs::path job_ = fs::path(testing::TempDir()) / "checkpoint_test";
  const CheckpointDirectory checkpoints_{job_, GoldenPath("tiny_bert")};
  std::unique_ptr<TextModel> model_;
  std::unique_ptr<AdamW> optimizer_;
};

TrainerState State(int64_t step, int64_t best_step = 0) {
  TrainerState state = {
      .step = step, .epoch = 2, .position = step + 1, .validated_step = step - 1, .validations_since_best = 2};
  ValidationResult result{.loss = 0.5};
  result.metrics.retrieval = RetrievalMetrics{.ndcg_at_10 = 0.75, .queries = 3};
  if (best_step > 0) state.best = BestWeights{best_step, {result, {{"cosine", {0.25, 1.0 / 3}}}}, true};
  return state;
}

TEST_F(CheckpointTest, StateWeightsAndOptimizerComeBack) {
  ASSERT_TRUE(checkpoints_.SaveBest(3, *model_).ok());
  Save(State(5, 3));
  std::vector<std::string> problems;
  const auto found = checkpoints_.FindNewest(problems);
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_TRUE(found->has_value());
  EXPECT_TRUE(problems.empty());
  EXPECT_EQ((*found)->state.step, 5);
  EXPECT_EQ((*found)->state.epoch, 2);
  EXPECT_EQ((*found)->state.position, 6);
  EXPECT_EQ((*found)->state.validated_step, 4);
  EXPECT_EQ((*found)->state.validations_since_best, 2);
  ASSERT_TRUE((*found)->state.best.has_value());
  EXPECT_EQ((*found)->state.best->step, 3);
  EXPECT_EQ((*found)->state.best->validation.result.metrics.retrieval->ndcg_at_10, 0.75);
  EXPECT_EQ((*found)->state.best->validation.values.at("cosine"), (std::vector<double>{0.25, 1.0 / 3}));
  EXPECT_TRUE(optimizer_->Load((*found)->optimizer_file()).ok());
  const auto loaded = TextModel::Load((*found)->model_directory());
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const auto before = model_->Parameters(), after = (*loaded)->Parameters();
  ASSERT_EQ(before.size(), after.size());
  for (size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(torch::equal(before[i].value, after[i].value));
}

TEST_F(CheckpointTest, NewestTwoAndTheBestWeightsThatTheyNameAreKept) {
  for (const int64_t step : {2, 4, 6}) {
    ASSERT_TRUE(checkpoints_.SaveBest(step - 1, *model_).ok());
    Save(State(step, step - 1));
  }
  EXPECT_FALSE(Exists("checkpoint-2"));
  EXPECT_FALSE(Exists("best-1"));
  for (const char* name : {"checkpoint-4", "checkpoint-6", "best-3", "best-5"}) EXPECT_TRUE(Exists(name)) << name;
}

TEST_F(CheckpointTest, SaveBestRemovesSupersededWeightsThatNoCheckpointNames) {
  ASSERT_TRUE(checkpoints_.SaveBest(1, *model_).ok());
  Save(State(2, 1));
  ASSERT_TRUE(checkpoints_.SaveBest(3, *model_).ok());
  ASSERT_TRUE(checkpoints_.SaveBest(5, *model_).ok());
  EXPECT_FALSE(Exists("best-3"));
  for (const char* name : {"checkpoint-2", "best-1", "best-5"}) EXPECT_TRUE(Exists(name)) << name;
}

TEST_F(CheckpointTest, EachKindOfDamageLeavesTheOlderOne) {
  const std::vector<std::pair<std::string, bool>> damages = {
      // Path below the newest checkpoint; removed or changed.
      {"checkpoint.json", true}, {"checkpoint.json", false},  {"optimizer.bin", true},
      {"optimizer.bin", false},  {"model/config.json", true}, {"model/model.safetensors", false}};
  for (const auto& [name, removed] : damages) {
    SetUp();
    Save(State(2));
    Save(State(4));
    const fs::path file = job_ / "checkpoint-4" / name;
    ASSERT_TRUE(fs::exists(file)) << name;
    if (removed) {
      fs::remove(file);
    } else {
      std::string bytes = ReadFile(file).value_or("");
      bytes[bytes.size() / 2] ^= 0x20;
      ASSERT_TRUE(WriteFileDurably(file, bytes.substr(0, bytes.size() - 1)).ok());
    }
    std::vector<std::string> problems;
    const auto found = checkpoints_.FindNewest(problems);
    ASSERT_TRUE(found.ok()) << found.status();
    ASSERT_TRUE(found->has_value()) << name;
    EXPECT_EQ((*found)->state.step, 2) << name;
    EXPECT_EQ(problems.size(), 1u) << name;
    EXPECT_FALSE(Exists("checkpoint-4"));
  }
}

TEST_F(CheckpointTest, MissingBestWeightsMakeACheckpointUnusable) {
  ASSERT_TRUE(checkpoints_.SaveBest(3, *model_).ok());
  Save(State(5, 3));
  fs::remove_all(checkpoints_.BestPath(3));
  std::vector<std::string> problems;
  const auto found = checkpoints_.FindNewest(problems);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_FALSE(found->has_value());
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_NE(problems[0].find("best-3"), std::string::npos) << problems[0];
}

TEST_F(CheckpointTest, UnpublishedCheckpointIsNotFound) {
  fs::create_directories(job_ / ".staging-checkpoint-9");
  std::vector<std::string> problems;
  const auto found = checkpoints_.FindNewest(problems);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_FALSE(found->has_value());
}

}  // namespace
}  // namespace tandem
