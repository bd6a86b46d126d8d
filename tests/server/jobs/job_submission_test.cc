// What a submission writes and refuses, by the form of the examples.

#include <fstream>
#include <string>
#include <vector>

#include "server/base/files.h"
#include "server/base/status.h"
#include "tests/server/jobs/training_jobs_fixture.h"

namespace tandem {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class JobSubmissionTest : public TrainingJobsFixture {
 protected:
  void SetUp() override {
    TrainingJobsFixture::SetUp();
    jobs_ = std::make_unique<TrainingJobs>(OptionsFor(data_), store_.get(), bodies_);  // Not started: jobs stay QUEUED.
  }

  void Add(const std::string& dataset, const std::vector<Example>& examples) {
    ASSERT_TRUE(store_->CreateDataset("t", dataset, "", nullptr).ok());
    ASSERT_TRUE(store_->AppendExamples("t", dataset, {}, examples, "").ok());
  }

  static TrainingJobRequest With(const std::string& dataset, decltype(LossOptions::kind) loss) {
    TrainingJobRequest request = RequestFor(dataset);
    request.options.objectives[0].loss.kind = loss;
    return request;
  }

  std::string Refusal(const TrainingJobRequest& request) {
    const absl::Status status = jobs_->Submit(request, nullptr).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_EQ(jobs_->Estimate(request).status(), status) << "an estimate refuses what the job would";
    return std::string(status.message());
  }

  std::vector<std::string> LinesOf(const std::string& id, const std::string& file) const {
    std::ifstream in(DirectoryOf(id) / file);
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }
};

std::vector<Example> LabelledTexts(const std::vector<std::string>& labels) {
  std::vector<Example> examples;
  for (const std::string& label : labels) {
    examples.push_back(
        {.kind = ExampleKind::kLabelledText, .anchor = "t" + std::to_string(examples.size()), .label = label});
  }
  return examples;
}

const std::vector<Example> kScored = {
    {.kind = ExampleKind::kScoredPair, .anchor = "a", .positives = {"b"}, .score = 0.5f},
    {.kind = ExampleKind::kScoredPair, .anchor = "c", .positives = {"d"}, .score = 0}};
const std::vector<Example> kLabelled = {
    {.kind = ExampleKind::kLabelledPair, .anchor = "a", .positives = {"b"}, .similar = true},
    {.kind = ExampleKind::kLabelledPair, .anchor = "c", .positives = {"d"}}};
const std::vector<Example> kTexts = {{.kind = ExampleKind::kText, .anchor = "a"},
                                     {.kind = ExampleKind::kText, .anchor = "\xE6\xA3\x80"}};

TEST_F(JobSubmissionTest, ExamplesAreWrittenByTheirForm) {
  Add("scored", kScored);
  Add("labelled", kLabelled);
  Add("classes", LabelledTexts({"x", "x", "y", "y"}));
  Add("texts", kTexts);
  const auto lines = [&](const std::string& dataset, decltype(LossOptions::kind) loss) {
    const absl::StatusOr<JobRecord> job = jobs_->Submit(With(dataset, loss), nullptr);
    EXPECT_TRUE(job.ok()) << job.status();
    return job.ok() ? LinesOf(job->id, "examples-0.jsonl") : std::vector<std::string>();
  };
  EXPECT_THAT(lines("scored", CosentOptions()),
              ElementsAre(R"({"first":"a","score":0.5,"second":"b"})", R"({"first":"c","score":0.0,"second":"d"})"));
  EXPECT_THAT(lines("labelled", ContrastiveOptions()), ElementsAre(R"({"first":"a","second":"b","similar":true})",
                                                                   R"({"first":"c","second":"d","similar":false})"));
  EXPECT_EQ(lines("classes", SupConOptions()).front(), R"({"label":"x","text":"t0"})");
  EXPECT_THAT(lines("texts", SimCseOptions()), ElementsAre(R"({"text":"a"})", "{\"text\":\"\xE6\xA3\x80\"}"));
  EXPECT_EQ(lines("scored", SimCseOptions()).size(), 2u) << "SimCSE takes the first text of any form";
}

TEST_F(JobSubmissionTest, ALossThatDoesNotTakeTheFormNamesDatasetCommitFormAndLoss) {
  Add("scored", kScored);
  const std::string message = Refusal(With("scored", TripletOptions()));
  EXPECT_THAT(message, HasSubstr("dataset: datasets/scored: the example of commit 1 is a scored pair"));
  EXPECT_THAT(message, HasSubstr("loss triplet does not take"));
}

TEST_F(JobSubmissionTest, ExamplesOfTwoFormsAreRefused) {
  std::vector<Example> mixed = kTexts;
  mixed.push_back(kScored[0]);
  Add("mixed", mixed);
  EXPECT_THAT(Refusal(With("mixed", SimCseOptions())),
              HasSubstr("the example of commit 3 is a scored pair, and each before it is a text"));
}

TEST_F(JobSubmissionTest, ExplicitTripletsNeedANegativeInEachExample) {
  Add("pairs", {{.anchor = "a", .positives = {"p"}, .negatives = {"n"}}, {.anchor = "b", .positives = {"q"}}});
  TrainingJobRequest request = With("pairs", TripletOptions());
  EXPECT_THAT(Refusal(request), HasSubstr("the example of commit 2 is a pair without negatives"));
  request.options.mining.emplace();
  EXPECT_TRUE(jobs_->Submit(request, nullptr).ok()) << "training finds them";
  EXPECT_THAT(Refusal(With("pairs", TripletOptions{.mining = TripletOptions::Mining::kBatchHard})),
              HasSubstr("is a pair, which loss triplet does not take"));
}

TEST_F(JobSubmissionTest, LossesOnClassesNeedTwoClassesWithTwoTexts) {
  Add("one", LabelledTexts({"x", "x", "y", "z"}));
  EXPECT_THAT(Refusal(With("one", SupConOptions())), HasSubstr("has 1 classes with at least 2 texts up to commit 4"));
  Add("two", LabelledTexts({"x", "x", "y", "y"}));
  TrainingJobRequest request = With("two", SupConOptions());
  EXPECT_TRUE(jobs_->Submit(request, nullptr).ok());
  request.sources[0].commit = 3;
  EXPECT_THAT(Refusal(request), HasSubstr("up to commit 3"));
  request.sources[0].commit.reset();
  request.options.batch_size = 6;
  EXPECT_THAT(Refusal(request), HasSubstr("options.texts_per_class: 4: a batch of options.batch_size 6"));
}

TEST_F(JobSubmissionTest, BalancedBatchesAreForClassesOnly) {
  AddPairs(*store_, "d", "succeed");
  TrainingJobRequest request = RequestFor("d");
  request.options.batch_sampler = BatchSampler::kBalanced;
  EXPECT_THAT(Refusal(request), HasSubstr("options.batch_sampler: BALANCED"));
}

TEST_F(JobSubmissionTest, WhatTheModelDoesNotHaveIsRefused) {
  AddPairs(*store_, "d", "succeed");
  const std::filesystem::path base = data_ / "models/t/base/r1";
  std::filesystem::create_directories(base);
  std::ofstream(base / "config.json") << R"({"num_hidden_layers": 6})";
  TrainingJobRequest request = RequestFor("d");
  request.options.freeze_layers = 6;
  EXPECT_THAT(Refusal(request), HasSubstr("options.freeze_layers: 6: must be less than the 6 layers"));
  request.options.freeze_layers = 5;
  request.options.objectives[0].loss.matryoshka.dimensions = {128, 385};  // The contract has 384.
  EXPECT_THAT(Refusal(request), HasSubstr("loss.matryoshka.dimensions[1]"));
  request.options.objectives[0].loss.matryoshka.dimensions = {384, 128};
  EXPECT_TRUE(jobs_->Submit(request, nullptr).ok());
}

TEST_F(JobSubmissionTest, SeveralObjectivesHaveTheirFilesAndTheirFieldsInErrors) {
  AddPairs(*store_, "d", "succeed");
  Add("scored", kScored);
  Add("held", kLabelled);
  TrainingJobRequest request = RequestFor("d");
  request.sources.push_back({"scored", std::nullopt});
  request.options.objectives.resize(2);
  EXPECT_THAT(Refusal(request), HasSubstr("objectives[1].dataset: datasets/scored: the example of commit 1"));
  request.options.objectives[1].loss.kind = CosentOptions();
  request.sources[1].commit = 9;
  EXPECT_THAT(Refusal(request), HasSubstr("objectives[1].dataset_commit: 9"));
  request.sources[1].commit.reset();
  request.validation_dataset = "held";
  const JobRecord job = jobs_->Submit(request, nullptr).value();
  EXPECT_EQ(LinesOf(job.id, "examples-0.jsonl").size(), 2u);
  EXPECT_EQ(LinesOf(job.id, "examples-1.jsonl").size(), 2u);
  EXPECT_EQ(LinesOf(job.id, kValidationFile).front(), R"({"first":"a","second":"b","similar":true})");
  EXPECT_EQ(job.dataset, "d");
  EXPECT_THAT(job.datasets, ElementsAre("d", "scored", "held"));
  for (const char* dataset : {"d", "scored", "held"}) {
    EXPECT_TRUE(absl::IsFailedPrecondition(store_->DeleteDataset("t", dataset))) << dataset;
  }
  ASSERT_TRUE(jobs_->Start().ok());
  ASSERT_EQ(FinishedJob(job.id).state, JobState::kSucceeded);
  const ModelRevisionRecord revision = store_->GetModelRevision("t", "tuned", job.id).value();
  EXPECT_EQ(revision.dataset, "d");
  EXPECT_EQ(revision.dataset_commit, 2);
  EXPECT_THAT(revision.sources, ElementsAre(DatasetCommit{"d", 2}, DatasetCommit{"scored", 2}));
  EXPECT_EQ(nlohmann::json::parse(revision.options_json)["objectives"].size(), 2u);
  ASSERT_TRUE(revision.comparison.has_value());
  EXPECT_EQ(revision.comparison->before.loss, 0.8);
  EXPECT_TRUE(revision.comparison->changes.fell.empty()) << "a text of a dataset, which may be deleted";
  EXPECT_TRUE(store_->DeleteDataset("t", "held").ok());
}

TEST_F(JobSubmissionTest, AnEstimateCountsAsTheTrainerDoesAndLeavesNothing) {
  std::vector<Example> pairs;
  for (int i = 0; i < 200; ++i) {
    pairs.push_back({.anchor = "anchor " + std::to_string(i), .positives = {"p" + std::to_string(i), "q"}});
  }
  Add("many", pairs);
  TrainingJobRequest request = RequestFor("many");
  request.options.validation_fraction = 0;
  request.options.epochs = 3;
  TrainingEstimate estimate = jobs_->Estimate(request).value();
  ASSERT_EQ(estimate.objectives.size(), 1u);
  EXPECT_EQ(estimate.objectives[0].commit, 200);
  EXPECT_EQ(estimate.objectives[0].examples, 400) << "each positive makes a pair";
  EXPECT_EQ(estimate.objectives[0].batches_per_epoch, 13);  // 12 of 32 and one of 16.
  EXPECT_EQ(estimate.total_steps, 39);
  EXPECT_EQ(estimate.validation_examples, 0);
  EXPECT_EQ(estimate.job, "");
  EXPECT_GT(estimate.time, absl::ZeroDuration());
  const int64_t memory = estimate.peak_memory_bytes;
  request.options.objectives[0].loss.kind = InfoNceOptions{.several_positives = true};
  request.options.validation_fraction = 0.25;
  request.options.max_steps = 5;
  request.options.micro_batch_size = 4;
  estimate = jobs_->Estimate(request).value();
  EXPECT_EQ(estimate.objectives[0].examples + estimate.validation_examples, 200);
  EXPECT_NEAR(static_cast<double>(estimate.validation_examples), 50, 20);
  EXPECT_EQ(estimate.total_steps, 5);
  EXPECT_LT(estimate.peak_memory_bytes, memory);
  EXPECT_THAT(store_->ListJobs("t", {}).value(), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(data_ / "jobs"));
}

TEST_F(JobSubmissionTest, AnEstimateCountsMining) {
  std::vector<Example> pairs;
  for (int i = 0; i < 64; ++i) {
    pairs.push_back({.anchor = "anchor " + std::to_string(i), .positives = {"twelve bytes" + std::to_string(i)}});
  }
  Add("many", pairs);
  TrainingJobRequest request = RequestFor("many");
  request.options.validation_fraction = 0;
  request.options.epochs = 4;
  const TrainingEstimate plain = jobs_->Estimate(request).value();
  request.options.mining.emplace().options.negatives = 3;
  const TrainingEstimate each = jobs_->Estimate(request).value();
  request.options.mining->refresh_epochs = 4;
  const TrainingEstimate once = jobs_->Estimate(request).value();
  EXPECT_EQ(each.total_steps, plain.total_steps);
  // 32 examples a step, each with three more texts of 2 + 4 tokens.
  EXPECT_EQ(each.tokens_per_step, plain.tokens_per_step + 32 * 3 * 6);
  EXPECT_GT(each.peak_memory_bytes, plain.peak_memory_bytes);
  EXPECT_GT(once.time, plain.time);
  EXPECT_GT(each.time, once.time);
  request.options.max_steps = 2;  // Of the first epoch.
  const absl::Duration first = jobs_->Estimate(request)->time;
  request.options.mining->refresh_epochs = 1;
  EXPECT_EQ(jobs_->Estimate(request)->time, first);
}

TEST_F(JobSubmissionTest, AnEstimateTakesTheRateOfTheNewestJobOfTheSameModelAndLoss) {
  ASSERT_TRUE(jobs_->Start().ok());
  const std::string id = SubmitBehaviour("succeed");
  ASSERT_EQ(FinishedJob(id).state, JobState::kSucceeded);
  TrainingJobRequest request = RequestFor("d");
  request.options.validation_fraction = 0;
  const TrainingEstimate estimate = jobs_->Estimate(request).value();
  EXPECT_EQ(estimate.job, id);
  // The fake trainer says that it has 32 tokens a second.
  EXPECT_EQ(estimate.total_steps, 1);
  EXPECT_NEAR(absl::ToDoubleSeconds(estimate.time), static_cast<double>(estimate.tokens_per_step) / 32, 1e-6);
  request.options.lora.rank = 8;  // Adapters need no gradients of the weights.
  EXPECT_LT(jobs_->Estimate(request)->time, estimate.time * 0.8);
  request.options.lora = {};
  request.options.objectives[0].loss.kind = NtXentOptions();
  EXPECT_EQ(jobs_->Estimate(request)->job, "");
}

TEST_F(JobSubmissionTest, AnEstimateNeedsABatchBesideTheValidation) {
  AddPairs(*store_, "d", "a2");  // The validation dataset has the other anchor.
  Add("held", {{.anchor = "a2", .positives = {"p"}}});
  TrainingJobRequest request = RequestFor("d");
  request.validation_dataset = "held";
  EXPECT_THAT(std::string(jobs_->Estimate(request).status().message()),
              HasSubstr("has 0 examples that are not validated on"));
}

}  // namespace
}  // namespace tandem
