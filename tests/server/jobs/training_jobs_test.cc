#include "server/jobs/training_jobs.h"

#include <atomic>
#include <thread>

#include "server/base/status.h"
#include "tests/server/jobs/training_jobs_fixture.h"

namespace tandem {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class TrainingJobsTest : public TrainingJobsFixture {};

TEST_F(TrainingJobsTest, AJobThatSucceedsMakesARevisionWithItsLineage) {
  StartJobs();
  const std::string id = SubmitBehaviour("succeed");
  const JobRecord job = FinishedJob(id);
  ASSERT_EQ(job.state, JobState::kSucceeded) << job.error_message;
  EXPECT_EQ(job.attempt, 1);
  EXPECT_TRUE(job.start_time && job.end_time);
  EXPECT_EQ(job.result_revision, "models/tuned/revisions/" + id);
  const ModelRevisionRecord revision = store_->GetModelRevision("t", "tuned", id).value();
  EXPECT_EQ(revision.parent, "models/base/revisions/r1");
  EXPECT_EQ(revision.dataset, "d");
  EXPECT_EQ(revision.dataset_commit, 2);
  EXPECT_EQ(revision.job, id);
  EXPECT_EQ(revision.parameters, 22713216);
  EXPECT_EQ(revision.architecture, "BertModel");
  EXPECT_EQ(revision.contract.dimensions, 384);
  EXPECT_EQ(revision.validation->ndcg_at_10, 0.75);
  EXPECT_EQ(revision.sha256.size(), 64u);
  EXPECT_EQ(nlohmann::json::parse(revision.options_json)["seed"], 42);
  EXPECT_THAT(revision.options_json, testing::Not(HasSubstr(data_.string())));
  EXPECT_TRUE(std::filesystem::exists(data_ / "models/t/tuned" / id / "model.safetensors"));
  EXPECT_FALSE(std::filesystem::exists(DirectoryOf(id) / kResultDirectory));
}

TEST_F(TrainingJobsTest, TheTrainerRunsAtIdlePriorityInItsOwnGroup) {
  StartJobs();
  const std::vector<nlohmann::json> events = EventsOf(SubmitBehaviour("succeed"));
  std::string text;
  for (const nlohmann::json& event : events) {
    if (event["type"] == "message") text = event["text"];
  }
  EXPECT_EQ(text, "nice 19, wait passive, threads 2, own group");
}

TEST_F(TrainingJobsTest, ACrashedTrainerStartsAgainAndSequencesHaveNoGaps) {
  StartJobs();
  const std::string id = SubmitBehaviour("crash once");
  const std::vector<nlohmann::json> events = EventsOf(id);
  EXPECT_THAT(StatesOf(events), ElementsAre(1, 2, 2, 3));
  for (size_t i = 0; i < events.size(); ++i) EXPECT_EQ(events[i]["sequence"], i + 1);
  EXPECT_EQ(events.back()["attempt"], 2);
  EXPECT_EQ(store_->GetJob("t", id)->attempt, 2);
  const auto death = std::find_if(events.begin(), events.end(), [](const auto& e) { return e.contains("death"); });
  ASSERT_NE(death, events.end());
  EXPECT_THAT((*death)["text"].get<std::string>(), HasSubstr("was ended by signal 9"));
}

TEST_F(TrainingJobsTest, ATrainerThatAlwaysDiesFailsAfterMaxAttempts) {
  StartJobs();
  const JobRecord job = FinishedJob(SubmitBehaviour("crash"));
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_EQ(job.attempt, 3);
  EXPECT_EQ(job.error_code, static_cast<int>(absl::StatusCode::kInternal));
  EXPECT_THAT(job.error_message, HasSubstr("died 3 times"));
  EXPECT_THAT(job.error_message, HasSubstr("behaves as crash"));
}

TEST_F(TrainingJobsTest, AFailedEventBecomesTheErrorOfTheJobWithoutRetry) {
  StartJobs();
  const JobRecord job = FinishedJob(SubmitBehaviour("fail"));
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_EQ(job.attempt, 1);
  EXPECT_EQ(job.error_code, static_cast<int>(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(job.error_message, "max_length 600: the model has 512 positions");
}

TEST_F(TrainingJobsTest, ATrainerThatEndsWithoutAResultFails) {
  StartJobs();
  const JobRecord job = FinishedJob(SubmitBehaviour("exit without result"));
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_THAT(job.error_message, HasSubstr("result.json"));
}

TEST_F(TrainingJobsTest, ATrainerThatHangsIsKilledAndCountsAsDead) {
  TrainingJobsOptions options = OptionsFor(data_);
  options.hang_limit = absl::Milliseconds(1500);
  options.max_attempts = 1;
  StartJobs(options);
  const JobRecord job = FinishedJob(SubmitBehaviour("hang"));
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_THAT(job.error_message, HasSubstr("wrote no event for 1.5s"));
}

TEST_F(TrainingJobsTest, ATrainerOverItsMemoryLimitIsKilledWithTheFigures) {
  TrainingJobsOptions options = OptionsFor(data_);
  options.trainer_memory_bytes = int64_t{128} << 20;
  StartJobs(options);
  const JobRecord job = FinishedJob(SubmitBehaviour("eat memory"));
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_EQ(job.attempt, 1);
  EXPECT_EQ(job.error_code, static_cast<int>(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(job.error_message, HasSubstr("limit 128 MiB"));
}

TEST_F(TrainingJobsTest, ABinaryThatCannotRunFailsTheJobAndNamesIt) {
  TrainingJobsOptions options = OptionsFor(data_);
  options.trainer_binary = data_ / "no-trainer";
  StartJobs(options);
  const JobRecord job = FinishedJob(SubmitBehaviour("succeed"));
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_THAT(job.error_message, HasSubstr("no-trainer: No such file"));
}

TEST_F(TrainingJobsTest, CancelStopsARunningTrainer) {
  StartJobs();
  const std::string id = SubmitBehaviour("run");
  ASSERT_TRUE(WaitForStep(id));
  ASSERT_TRUE(jobs_->Cancel("t", id).ok());
  const std::vector<nlohmann::json> events = EventsOf(id);
  EXPECT_THAT(StatesOf(events), ElementsAre(1, 2, 5));
  EXPECT_EQ(store_->GetJob("t", id)->state, JobState::kCancelled);
  EXPECT_EQ(jobs_->Cancel("t", id)->state, JobState::kCancelled);
}

TEST_F(TrainingJobsTest, CancelKillsATrainerThatIgnoresSigterm) {
  TrainingJobsOptions options = OptionsFor(data_);
  options.stop_grace = absl::Milliseconds(300);
  StartJobs(options);
  const std::string id = SubmitBehaviour("ignore SIGTERM");
  ASSERT_TRUE(WaitForStep(id));
  ASSERT_TRUE(jobs_->Cancel("t", id).ok());
  EXPECT_EQ(FinishedJob(id).state, JobState::kCancelled);
}

TEST_F(TrainingJobsTest, CancelOfAQueuedJobEndsItWithoutARun) {
  StartJobs();
  const std::string running = SubmitBehaviour("run");
  ASSERT_TRUE(WaitForStep(running));
  AddPairs(*store_, "second", "succeed");
  const std::string queued = jobs_->Submit(RequestFor("second"), nullptr).value().id;
  EXPECT_EQ(jobs_->Cancel("t", queued)->state, JobState::kCancelled);
  EXPECT_THAT(StatesOf(EventsOf(queued)), ElementsAre(1, 5));
  ASSERT_TRUE(jobs_->Cancel("t", running).ok());
  EXPECT_EQ(FinishedJob(running).state, JobState::kCancelled);
}

TEST_F(TrainingJobsTest, WatchGoesOnAfterTheSequenceThatWasSeen) {
  StartJobs();
  const std::string id = SubmitBehaviour("succeed");
  const std::vector<nlohmann::json> all = EventsOf(id);
  ASSERT_GT(all.size(), 3u);
  const std::vector<nlohmann::json> rest = EventsOf(id, 3);
  ASSERT_EQ(rest.size(), all.size() - 3);
  EXPECT_EQ(rest.front()["sequence"], 4);
  EXPECT_TRUE(EventsOf(id, static_cast<int64_t>(all.size())).empty());
  EXPECT_TRUE(absl::IsNotFound(jobs_->Watch("t", "none", 0, [](const auto&) { return true; })));
}

TEST_F(TrainingJobsTest, WatchEndsWhenSendRefusesAndWhenTheServerShutsDown) {
  StartJobs();
  const std::string id = SubmitBehaviour("run");
  ASSERT_TRUE(WaitForStep(id));
  EXPECT_TRUE(jobs_->Watch("t", id, 0, [](const auto&) { return false; }).ok());
  absl::Status ended;
  std::atomic<int> seen = 0;
  std::thread watcher([&] {
    ended = jobs_->Watch("t", id, 0, [&](const auto&) {
      ++seen;
      return true;
    });
  });
  while (seen == 0) absl::SleepFor(absl::Milliseconds(10));
  jobs_->Shutdown();
  watcher.join();
  EXPECT_TRUE(absl::IsUnavailable(ended)) << ended;
}

TEST_F(TrainingJobsTest, SubmitRefusesWhatCannotBeTrained) {
  StartJobs();
  AddPairs(*store_, "d", "succeed");
  TrainingJobRequest request = RequestFor("none");
  EXPECT_TRUE(absl::IsNotFound(jobs_->Submit(request, nullptr).status()));
  request = RequestFor("d");
  request.base_revision = "r9";
  EXPECT_TRUE(absl::IsNotFound(jobs_->Submit(request, nullptr).status()));
  request = RequestFor("d");
  request.dataset_commit = 3;
  EXPECT_EQ(FieldPath(jobs_->Submit(request, nullptr).status()), "dataset_commit");
  request.dataset_commit = 1;
  EXPECT_THAT(jobs_->Submit(request, nullptr).status().message(), HasSubstr("has 1 pairs up to commit 1"));
  request = RequestFor("d");
  request.options.batch_size = 1;
  EXPECT_TRUE(absl::IsInvalidArgument(jobs_->Submit(request, nullptr).status()));
  const std::vector<Example> texts = {{.kind = ExampleKind::kLabelledText, .anchor = "x", .label = "l"}};
  ASSERT_TRUE(store_->AppendExamples("t", "d", "", 0, texts, "").ok());
  EXPECT_THAT(jobs_->Submit(RequestFor("d"), nullptr).status().message(),
              HasSubstr("the example of commit 3 is a labelled text"));
  EXPECT_TRUE(std::filesystem::is_empty(data_ / "jobs" / "t"));
}

TEST_F(TrainingJobsTest, SubmitStoresTheAnswerOfARequestId) {
  StartJobs();
  AddPairs(*store_, "d", "succeed");
  MetaStore::Request request{"t", "Train", "req", "print", ""};
  const std::string id = jobs_->Submit(RequestFor("d"), &request).value().id;
  EXPECT_EQ(store_->FindAnswer(request).value(), "jobs/" + id);
  FinishedJob(id);
}

TEST_F(TrainingJobsTest, DeleteRemovesAFinishedJobAndKeepsItsRevision) {
  StartJobs();
  const std::string id = SubmitBehaviour("succeed");
  FinishedJob(id);
  ASSERT_TRUE(jobs_->Delete("t", id).ok());
  EXPECT_FALSE(std::filesystem::exists(DirectoryOf(id)));
  EXPECT_TRUE(store_->GetModelRevision("t", "tuned", id).ok());
  AddPairs(*store_, "second", "run");
  const std::string running = jobs_->Submit(RequestFor("second"), nullptr).value().id;
  EXPECT_TRUE(absl::IsFailedPrecondition(jobs_->Delete("t", running)));
}

}  // namespace
}  // namespace tandem
