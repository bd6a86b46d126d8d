#include "server/jobs/training_jobs.h"

#include <signal.h>

#include <atomic>
#include <thread>

#include "server/base/files.h"
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
  EXPECT_EQ(revision.validation->metrics.retrieval->ndcg_at_10, 0.75);
  EXPECT_EQ(revision.sha256.size(), 64u);
  EXPECT_EQ(nlohmann::json::parse(revision.options_json)["seed"], 42);
  EXPECT_THAT(revision.options_json, testing::Not(HasSubstr(data_.string())));
  EXPECT_TRUE(std::filesystem::exists(data_ / "models/t/tuned" / id / "model.safetensors"));
  EXPECT_FALSE(std::filesystem::exists(DirectoryOf(id) / kResultDirectory));
}

TEST_F(TrainingJobsTest, WeightsInASubfolderAreHashedWhereTheTrainerSaysTheyLie) {
  StartJobs();
  const std::string id = SubmitBehaviour("succeed in a subfolder");
  const JobRecord job = FinishedJob(id);
  ASSERT_EQ(job.state, JobState::kSucceeded) << job.error_message;
  const std::filesystem::path weights = data_ / "models/t/tuned" / id / "0_Transformer/model.safetensors";
  EXPECT_EQ(store_->GetModelRevision("t", "tuned", id)->sha256, FileSha256(weights).value());
}

// Anything but a directory where the target model's belongs: no result can be moved there.
TEST_F(TrainingJobsTest, AResultThatCannotBePublishedIsTriedAgain) {
  std::filesystem::create_directories(data_ / "models/t");
  std::ofstream(data_ / "models/t/tuned") << "in the way";
  StartJobs();
  const std::string id = SubmitBehaviour("succeed");
  ASSERT_TRUE(Comes([&] { return std::filesystem::exists(DirectoryOf(id) / kResultDirectory); }));
  absl::SleepFor(absl::Milliseconds(300));
  EXPECT_EQ(StateOf(id), JobState::kRunning);
  jobs_->Shutdown();
  EXPECT_EQ(StateOf(id), JobState::kRunning);
  StartJobs();
  absl::SleepFor(absl::Milliseconds(300));
  EXPECT_THAT(StateOf(id), testing::AnyOf(JobState::kQueued, JobState::kRunning));
  std::filesystem::remove(data_ / "models/t/tuned");
  EXPECT_EQ(FinishedJob(id).state, JobState::kSucceeded);
  EXPECT_TRUE(std::filesystem::exists(data_ / "models/t/tuned" / id / "model.safetensors"));
}

TEST_F(TrainingJobsTest, CancelEndsAJobWhoseResultCannotBePublished) {
  std::filesystem::create_directories(data_ / "models/t");
  std::ofstream(data_ / "models/t/tuned") << "in the way";
  StartJobs();
  const std::string id = SubmitBehaviour("succeed");
  ASSERT_TRUE(Comes([&] { return std::filesystem::exists(DirectoryOf(id) / kResultDirectory); }));
  ASSERT_TRUE(jobs_->Cancel("t", id).ok());
  EXPECT_EQ(FinishedJob(id).state, JobState::kCancelled);
}

TEST_F(TrainingJobsTest, AJobThatCannotBeStartedForNowStaysQueued) {
  jobs_ = std::make_unique<TrainingJobs>(OptionsFor(data_), store_.get(), bodies_);  // Not started.
  const std::string id = SubmitBehaviour("succeed");
  const std::filesystem::path events = DirectoryOf(id) / kEventsFile, aside = DirectoryOf(id) / "aside";
  std::filesystem::rename(events, aside);
  std::filesystem::create_directory(events);
  StartJobs();
  absl::SleepFor(absl::Milliseconds(300));
  EXPECT_EQ(StateOf(id), JobState::kQueued);
  EXPECT_EQ(store_->GetJob("t", id)->attempt, 0);
  std::filesystem::remove(events);
  std::filesystem::rename(aside, events);
  AddPairs(*store_, "second", "succeed");
  ASSERT_TRUE(jobs_->Submit(RequestFor("second"), nullptr).ok());  // Wakes the supervisor.
  EXPECT_EQ(FinishedJob(id).state, JobState::kSucceeded);
}

TEST_F(TrainingJobsTest, AQueuedJobWhoseDirectoryIsGoneFailsAndTheNextOneRuns) {
  jobs_ = std::make_unique<TrainingJobs>(OptionsFor(data_), store_.get(), bodies_);  // Not started.
  const std::string gone = SubmitBehaviour("succeed");
  std::filesystem::remove_all(DirectoryOf(gone));
  AddPairs(*store_, "second", "succeed");
  const std::string next = jobs_->Submit(RequestFor("second"), nullptr).value().id;
  StartJobs();
  EXPECT_EQ(FinishedJob(next).state, JobState::kSucceeded);
  EXPECT_EQ(StateOf(gone), JobState::kFailed);
}

TEST_F(TrainingJobsTest, ATrainerThatSomebodyElseStopsIsQueuedAgain) {
  StartJobs();
  const std::string id = SubmitBehaviour("stop, then succeed");
  ASSERT_TRUE(WaitForStep(id));
  std::ifstream lock(DirectoryOf(id) / "lock");
  pid_t trainer = 0;
  ASSERT_TRUE(lock >> trainer);
  ASSERT_EQ(kill(trainer, SIGTERM), 0);
  const std::vector<nlohmann::json> events = EventsOf(id);
  EXPECT_THAT(StatesOf(events), ElementsAre(1, 2, 1, 2, 3));
  for (const nlohmann::json& event : events) EXPECT_FALSE(event.contains("death")) << event;
}

TEST_F(TrainingJobsTest, AFinishedJobKeepsNoCheckpoints) {
  StartJobs();
  const std::string id = SubmitBehaviour("run");
  ASSERT_TRUE(WaitForStep(id));
  std::filesystem::create_directories(DirectoryOf(id) / "best-1");
  ASSERT_TRUE(jobs_->Cancel("t", id).ok());
  EXPECT_EQ(FinishedJob(id).state, JobState::kCancelled);
  EXPECT_TRUE(Comes([&] { return !std::filesystem::exists(DirectoryOf(id) / "checkpoint-1"); }));
  EXPECT_TRUE(Comes([&] { return !std::filesystem::exists(DirectoryOf(id) / "best-1"); }));
  EXPECT_TRUE(std::filesystem::exists(DirectoryOf(id) / kTrainerLog));
}

// Each call reads a row that the supervisor may finish before it is written.
TEST_F(TrainingJobsTest, CancelThatComesTooLateReturnsTheFinishedJob) {
  StartJobs();
  AddPairs(*store_, "d", "succeed");
  for (int i = 0; i < 20; ++i) {
    const std::string id = jobs_->Submit(RequestFor("d"), nullptr).value().id;
    ASSERT_TRUE(Comes([&] { return StateOf(id) != JobState::kQueued; }));
    while (true) {
      const absl::StatusOr<JobRecord> job = jobs_->Cancel("t", id);
      ASSERT_TRUE(job.ok()) << job.status();
      if (job->state != JobState::kRunning) break;
    }
  }
}

TEST_F(TrainingJobsTest, TheTrainerRunsAtIdlePriorityInItsOwnGroup) {
  StartJobs();
  const std::vector<nlohmann::json> events = EventsOf(SubmitBehaviour("succeed"));
  std::string text;
  for (const nlohmann::json& event : events) {
    if (event["type"] == "message") text = event["text"];
  }
  EXPECT_EQ(text, "nice 19, wait passive, threads 2, own group, out of memory score 1000");
  std::string own;
  std::ifstream("/proc/self/oom_score_adj") >> own;
  EXPECT_NE(own, "1000");
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

TEST_F(TrainingJobsTest, AMaxLengthAboveThePositionsOfTheBaseIsRefused) {
  StartJobs();
  AddPairs(*store_, "d", "succeed");
  TrainingJobRequest request = RequestFor("d");
  request.options.max_length = 513;
  for (const char* folder : {"", "0_Transformer"}) {
    const std::filesystem::path base = data_ / "models/t/base/r1";
    std::filesystem::remove_all(base);
    std::filesystem::create_directories(base / folder);
    std::ofstream(base / folder / "config.json") << R"({"max_position_embeddings": 512})";
    const absl::Status status = jobs_->Submit(request, nullptr).status();
    EXPECT_EQ(FieldPath(status), "options.max_length") << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("512 positions"));
  }
  request.options.max_length = 512;
  EXPECT_TRUE(jobs_->Submit(request, nullptr).ok());
}

TEST_F(TrainingJobsTest, WarmupStepsAreLessThanTheMostStepsThereCanBe) {
  StartJobs();
  AddPairs(*store_, "d", "succeed");  // Two pairs: one batch an epoch.
  TrainingJobRequest request = RequestFor("d");
  request.options.epochs = 3;
  request.options.warmup_steps = 3;
  EXPECT_EQ(FieldPath(jobs_->Submit(request, nullptr).status()), "options.warmup_steps");
  request.options.batch_sampler = BatchSampler::kPlain;
  EXPECT_EQ(FieldPath(jobs_->Submit(request, nullptr).status()), "options.warmup_steps");
  request.options.warmup_steps = 2;
  EXPECT_TRUE(jobs_->Submit(request, nullptr).ok());
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
  options.hang_limit = absl::Milliseconds(400);
  options.max_attempts = 1;
  StartJobs(options);
  const JobRecord job = FinishedJob(SubmitBehaviour("hang"));
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_THAT(job.error_message, HasSubstr("wrote no event and used no CPU time for 1.2s"));
}

TEST_F(TrainingJobsTest, ATrainerThatSpinsIsKilledByItsCpuTime) {
  TrainingJobsOptions options = OptionsFor(data_);
  options.hang_limit = absl::Seconds(1);  // Of CPU time; a machine that gives it none for 3 s would end it otherwise.
  options.max_attempts = 1;
  StartJobs(options);
  const JobRecord job = FinishedJob(SubmitBehaviour("spin"));
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_THAT(job.error_message, HasSubstr("wrote no event for 1s of CPU time"));
}

TEST_F(TrainingJobsTest, ATrainerThatTheMachineKeepsWaitingIsNotHung) {
  TrainingJobsOptions options = OptionsFor(data_);
  options.hang_limit = absl::Seconds(2);  // It runs for 2.5 s, of which 0.5 s are CPU time.
  options.max_attempts = 1;
  StartJobs(options);
  const JobRecord job = FinishedJob(SubmitBehaviour("hardly run, then succeed"));
  EXPECT_EQ(job.state, JobState::kSucceeded) << job.error_message;
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
  request.sources[0].commit = 3;
  EXPECT_EQ(FieldPath(jobs_->Submit(request, nullptr).status()), "dataset_commit");
  request.sources[0].commit = 1;
  EXPECT_THAT(jobs_->Submit(request, nullptr).status().message(), HasSubstr("has 1 examples up to commit 1"));
  request = RequestFor("d");
  request.options.batch_size = 1;
  EXPECT_TRUE(absl::IsInvalidArgument(jobs_->Submit(request, nullptr).status()));
  const std::vector<Example> texts = {{.kind = ExampleKind::kLabelledText, .anchor = "x", .label = "l"}};
  ASSERT_TRUE(store_->AppendExamples("t", "d", {}, texts, "").ok());
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
