#include "server/training/hard_negatives.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "server/base/files.h"
#include "server/training/job_examples.h"
#include "server/training/trainer.h"
#include "tests/server/training/every_loss.h"
#include "tests/server/training/job.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;

TrainerOptions Mining(int epochs, int refresh_epochs) {
  TrainerOptions options = QuickOptions();
  options.epochs = epochs;
  options.mining = {.options = {.negatives = 3}, .refresh_epochs = refresh_epochs};
  return options;
}

absl::Status Train(const Job& job) {
  const std::atomic<bool> stop = false;
  return RunTrainer(job.directory, stop).status();
}

std::vector<std::string> Minings(const Job& job) {
  std::vector<std::string> texts;
  for (const nlohmann::json& event : job.EventsOf("message")) {
    const std::string text = event["text"];
    if (text.starts_with("hard negatives, mined before")) texts.push_back(text);
  }
  return texts;
}

TEST(HardNegativesTest, AreMinedBeforeTheFirstEpochAndEverySoMany) {
  const Job job("mining_epochs", Mining(5, 2)), plain("no_mining", [] {
    TrainerOptions options = QuickOptions();
    options.epochs = 5;
    return options;
  }());
  ASSERT_TRUE(Train(job).ok());
  ASSERT_TRUE(Train(plain).ok());
  const std::vector<std::string> minings = Minings(job);
  ASSERT_EQ(minings.size(), 3);
  EXPECT_TRUE(minings[0].starts_with("hard negatives, mined before epoch 1: 192 for 64 of 64 examples, in "))
      << minings[0];
  EXPECT_TRUE(minings[1].starts_with("hard negatives, mined before epoch 3: ")) << minings[1];
  EXPECT_TRUE(minings[2].starts_with("hard negatives, mined before epoch 5: ")) << minings[2];
  // The steps are those of the plan without mining, and each sees more negatives: the loss is higher.
  const auto losses = job.Losses(), plain_losses = plain.Losses();
  ASSERT_EQ(losses.size(), plain_losses.size());
  EXPECT_GT(losses.at(1), plain_losses.at(1));
  EXPECT_TRUE(job.ResultWeights() != plain.ResultWeights());
}

TEST(HardNegativesTest, OnlyDocumentsOfTrainingExamplesAreMined) {
  TrainerOptions options = Mining(1, 1);
  options.validation_fraction = 0.4;
  options.mining->options = {.negatives = 64, .max_rank = 1000};
  const Job job("mining_documents", options);
  ASSERT_TRUE(Train(job).ok());
  const auto examples = ReadJobExamples(job.directory, options);
  ASSERT_TRUE(examples.ok()) << examples.status();
  ASSERT_GT(examples->validation.size(), 10);
  std::set<TextId> documents;
  for (const TrainingExample& example : examples->training[0].examples) {
    documents.insert(example.positives.begin(), example.positives.end());
    documents.insert(example.negatives.begin(), example.negatives.end());
  }
  const auto mined = LoadMinedNegatives(MinedNegativesFile(job.directory, 0), 0, ChecksumOf(examples->texts));
  ASSERT_TRUE(mined.ok()) << mined.status();
  const std::vector<TextId>& texts = (*mined)[0].texts;
  EXPECT_EQ(std::set<TextId>(texts.begin(), texts.end()), documents);
}

TEST(HardNegativesTest, ExplicitTripletsNeedNoNegativesOfTheirOwnThen) {
  TrainerOptions options = Mining(2, 1);
  options.objectives[0].loss.kind = TripletOptions();
  const Job job("mined_triplets", options);
  ASSERT_TRUE(Train(job).ok());
  EXPECT_GT(job.Losses().at(1), 0);
  options.mining.reset();
  EXPECT_EQ(Train(Job("unmined_triplets", options)).code(), absl::StatusCode::kFailedPrecondition);
}

TEST(HardNegativesTest, AnchorsWithoutCandidatesTrainWithoutThem) {
  for (const LossOptions& loss : {LossOptions{InfoNceOptions(), {}}, LossOptions{TripletOptions(), {}}}) {
    TrainerOptions options = Mining(1, 1);
    options.mining->options.max_score = -1;
    options.objectives[0].loss = loss;
    const Job job("mining_nothing", options);
    job.WriteExamples(0, ExampleLines(ExampleForm::kPair, 64, /*negatives_everywhere=*/false));
    const absl::Status status = Train(job);
    EXPECT_TRUE(status.ok()) << status;
    ASSERT_EQ(Minings(job).size(), 1);
    EXPECT_NE(Minings(job)[0].find(": 0 for 0 of 64 examples"), std::string::npos) << Minings(job)[0];
  }
}

TEST(HardNegativesTest, OfSeveralObjectivesThoseThatTakeNegativesAreMined) {
  TrainerOptions options = Mining(2, 1);
  options.objectives.resize(3);
  options.objectives[1].loss.kind = CosentOptions();
  options.objectives[2].loss.kind = NPairOptions();
  const Job job("mining_several", options);
  job.WriteExamples(1, ExampleLines(ExampleForm::kScoredPair, 32));
  job.WriteExamples(2, ExampleLines(ExampleForm::kPair, 16));
  ASSERT_TRUE(Train(job).ok());
  ASSERT_EQ(Minings(job).size(), 2);
  EXPECT_NE(Minings(job)[0].find("objective 0: 192 for 64 of 64 examples"), std::string::npos) << Minings(job)[0];
  EXPECT_EQ(Minings(job)[0].find("objective 1"), std::string::npos) << Minings(job)[0];
  EXPECT_NE(Minings(job)[0].find("; objective 2: 48 for 16 of 16 examples"), std::string::npos) << Minings(job)[0];
}

TEST(HardNegativesTest, FilesThatNoCheckpointNeedsAreRemoved) {
  TrainerOptions options = Mining(6, 1);
  options.checkpoint_steps = 5;  // Of 48 steps, 8 an epoch: the last ones are of the steps 40 and 45, epochs 5 and 5.
  const Job job("mining_files", options);
  ASSERT_TRUE(Train(job).ok());
  std::vector<std::string> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(job.directory)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(kNegativesPrefix)) files.push_back(name);
  }
  EXPECT_EQ(files, std::vector<std::string>{"negatives-5"});
}

TEST(HardNegativesTest, LostOrDamagedOnesAreMinedAgainAndSaidSo) {
  for (const bool lost : {true, false}) {
    const Job job("mining_lost", Mining(4, 2));
    ASSERT_TRUE(Train(job).ok());
    // As after a kill: the last checkpoint is of step 28, in epoch 3, whose negatives are those of epoch 2.
    fs::remove_all(job.directory / kResultDirectory);
    const fs::path file = MinedNegativesFile(job.directory, 2);
    ASSERT_TRUE(fs::exists(file));
    if (lost) {
      fs::remove(file);
    } else {
      std::string bytes = ReadFile(file).value();
      bytes[bytes.size() / 2] ^= 1;
      ASSERT_TRUE(WriteFileDurably(file, bytes).ok());
    }
    ASSERT_TRUE(Train(job).ok());
    std::string all;
    for (const nlohmann::json& event : job.EventsOf("message")) all += event["text"].get<std::string>() + "\n";
    EXPECT_NE(all.find("hard negatives are mined again, with the weights after step 28: "), std::string::npos) << all;
    EXPECT_EQ(all.find("checksum") == std::string::npos, lost) << all;
    EXPECT_EQ(Minings(job).size(), 3);
    EXPECT_FALSE(job.ResultWeights().empty());
  }
}

}  // namespace
}  // namespace tandem
