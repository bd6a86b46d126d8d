// Jobs that run in tandemd, with bodies made for the test.
#include "server/jobs/server_job.h"

#include <atomic>
#include <fstream>

#include "server/base/status.h"
#include "server/jobs/job_plan.h"
#include "tests/server/jobs/training_jobs_fixture.h"

namespace tandem {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int kQueued = 1, kRunning = 2, kSucceeded = 3, kCancelled = 5;

class ServerJobsTest : public TrainingJobsFixture {
 protected:
  void SetUp() override {
    TrainingJobsFixture::SetUp();
    AddPairs(*store_, "d", "succeed");
    bodies_.mine_negatives = [](const ServerJob&) { return std::string("{}"); };
    bodies_.analyze_dataset = [this](const ServerJob& job) {
      ++attempts_;
      return body_(job);
    };
  }
  // Starts what is to be tried again at once.
  void StartJobsQuickly(int max_attempts = 3) {
    TrainingJobsOptions options = OptionsFor(data_);
    options.first_retry = absl::Milliseconds(10);
    options.max_attempts = max_attempts;
    StartJobs(options);
  }
  std::string Submit(JobKind kind = JobKind::kAnalyzeDataset) {
    JobRecord job;
    job.tenant = "t";
    job.kind = kind;
    job.dataset = "d";
    job.options_json = "{\"plan\":1}";
    return jobs_->Submit(job, nullptr).value().id;
  }
  static absl::Status WorkUntilAsked(const ServerJob& job) {
    for (int64_t step = 0;; ++step) {
      RETURN_IF_ERROR(job.progress(step, 1 << 30));
      absl::SleepFor(absl::Milliseconds(1));
    }
  }
  bool Begins(int attempt = 1) {
    return Comes([&] { return attempts_ >= attempt; });
  }
  JobRecord Row(const std::string& id) { return store_->GetJob("t", id).value(); }

  std::function<absl::StatusOr<std::string>(const ServerJob&)> body_;
  std::atomic<int> attempts_ = 0;
};

TEST_F(ServerJobsTest, ABodyGetsItsPlanAndItsResultIsTheJobs) {
  body_ = [](const ServerJob& job) { return job.record.options_json + " on " + job.record.dataset; };
  StartJobs();
  const std::string id = Submit();
  EXPECT_THAT(StatesOf(EventsOf(id)), ElementsAre(kQueued, kRunning, kSucceeded));
  const JobRecord job = Row(id);
  EXPECT_EQ(job.result_json, "{\"plan\":1} on d");
  EXPECT_EQ(job.attempt, 1);
  EXPECT_TRUE(job.start_time.has_value() && job.end_time.has_value());
}

TEST_F(ServerJobsTest, TheKindDecidesWhatRuns) {
  body_ = [](const ServerJob&) { return std::string("analysis"); };
  bodies_.mine_negatives = [](const ServerJob&) { return std::string("mining"); };
  StartJobs();
  EXPECT_EQ(FinishedJob(Submit(JobKind::kMineNegatives)).result_json, "mining");
  EXPECT_EQ(FinishedJob(Submit(JobKind::kAnalyzeDataset)).result_json, "analysis");
}

TEST_F(ServerJobsTest, ProgressAndMessagesReachWatchersAndTheFirstAndLastStepAlways) {
  body_ = [](const ServerJob& job) -> absl::StatusOr<std::string> {
    job.message("begins");
    for (int step = 0; step <= 1000; ++step) RETURN_IF_ERROR(job.progress(step, 1000));
    return "{}";
  };
  StartJobs();
  const std::string id = Submit();
  std::vector<int64_t> steps;
  std::vector<std::string> messages;
  for (const nlohmann::json& event : EventsOf(id)) {
    if (event["type"] == "progress") steps.push_back(event["step"]);
    if (event["type"] == "message") messages.push_back(event["text"]);
  }
  EXPECT_EQ(steps.front(), 0);
  EXPECT_EQ(steps.back(), 1000);
  EXPECT_LT(steps.size(), 100u);
  EXPECT_THAT(messages, ElementsAre("begins"));
  EXPECT_EQ(jobs_->Progress("t", id)->step, 1000);
  EXPECT_EQ(jobs_->Progress("t", id)->total_steps, 1000);
}

TEST_F(ServerJobsTest, AJobRunsBesideATraining) {
  body_ = [](const ServerJob&) { return std::string("{}"); };
  StartJobs();
  const std::string training = SubmitBehaviour("run", "trained");
  ASSERT_TRUE(Becomes(training, JobState::kRunning));
  EXPECT_EQ(FinishedJob(Submit()).state, JobState::kSucceeded);
  EXPECT_EQ(StateOf(training), JobState::kRunning);
  ASSERT_TRUE(jobs_->Cancel("t", training).ok());
  FinishedJob(training);
}

TEST_F(ServerJobsTest, OneRunsAtATimeInTheOrderInWhichTheyCame) {
  std::atomic<int> at_once = 0, most = 0;
  std::vector<std::string> order;
  body_ = [&](const ServerJob& job) {
    most = std::max<int>(most, ++at_once);
    order.push_back(job.record.id);
    absl::SleepFor(absl::Milliseconds(20));
    --at_once;
    return std::string("{}");
  };
  StartJobs();
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(Submit());
  FinishedJob(ids.back());
  EXPECT_EQ(order, ids);
  EXPECT_EQ(most, 1);
}

TEST_F(ServerJobsTest, CancelEndsAQueuedJobAtOnce) {
  body_ = [](const ServerJob& job) -> absl::StatusOr<std::string> { return WorkUntilAsked(job); };
  StartJobs();
  const std::string running = Submit();
  ASSERT_TRUE(Begins());
  const std::string queued = Submit();
  EXPECT_EQ(jobs_->Cancel("t", queued)->state, JobState::kCancelled);
  EXPECT_THAT(StatesOf(EventsOf(queued)), ElementsAre(kQueued, kCancelled));
  EXPECT_EQ(attempts_, 1);
  ASSERT_TRUE(jobs_->Cancel("t", running).ok());
  FinishedJob(running);
}

TEST_F(ServerJobsTest, CancelEndsARunningJobAndItsFilesGo) {
  body_ = [](const ServerJob& job) -> absl::StatusOr<std::string> {
    std::ofstream(job.directory / "half") << "x";
    return WorkUntilAsked(job);
  };
  StartJobs();
  const std::string id = Submit();
  ASSERT_TRUE(Begins());
  ASSERT_TRUE(jobs_->Cancel("t", id).ok());
  EXPECT_EQ(FinishedJob(id).state, JobState::kCancelled);
  EXPECT_TRUE(Comes([&] { return !std::filesystem::exists(DirectoryOf(id) / kWorkDirectory); }));
  EXPECT_TRUE(jobs_->Delete("t", id).ok());
  EXPECT_FALSE(std::filesystem::exists(DirectoryOf(id)));
}

TEST_F(ServerJobsTest, AShutdownPutsTheJobBackAndTheNextServerRunsItWithItsFiles) {
  body_ = [](const ServerJob& job) -> absl::StatusOr<std::string> {
    if (std::filesystem::exists(job.directory / "kept")) return "{\"found\":true}";
    std::ofstream(job.directory / "kept") << "x";
    return WorkUntilAsked(job);
  };
  StartJobs();
  const std::string id = Submit();
  ASSERT_TRUE(Begins());
  jobs_->Shutdown();
  EXPECT_EQ(StateOf(id), JobState::kQueued);
  StartJobs();
  const std::vector<nlohmann::json> events = EventsOf(id);
  EXPECT_THAT(StatesOf(events), ElementsAre(kQueued, kRunning, kQueued, kRunning, kSucceeded));
  EXPECT_THAT(DeathsOf(events), IsEmpty());  // A stop is none.
  EXPECT_EQ(Row(id).result_json, "{\"found\":true}");
  EXPECT_EQ(Row(id).attempt, 2);
}

TEST_F(ServerJobsTest, AJobThatRanWhenTheLastServerEndedRunsAgain) {
  jobs_ = std::make_unique<TrainingJobs>(OptionsFor(data_), store_.get(), bodies_);  // Not started.
  const std::string id = Submit();
  JobRecord job = Row(id);
  job.state = JobState::kRunning;
  job.attempt = 1;
  ASSERT_TRUE(store_->UpdateJob(job).ok());
  body_ = [](const ServerJob&) { return std::string("{}"); };
  StartJobs();
  EXPECT_EQ(FinishedJob(id).state, JobState::kSucceeded);
  EXPECT_EQ(Row(id).attempt, 2);
}

TEST_F(ServerJobsTest, AnErrorThatMayPassIsTriedAgainAfterJobsThatWait) {
  body_ = [this](const ServerJob&) -> absl::StatusOr<std::string> {
    if (attempts_ == 1) return absl::ResourceExhaustedError("the disk is full");
    return "{}";
  };
  StartJobsQuickly();
  const std::string id = Submit();
  const std::vector<nlohmann::json> events = EventsOf(id);
  EXPECT_THAT(StatesOf(events), ElementsAre(kQueued, kRunning, kQueued, kRunning, kSucceeded));
  EXPECT_THAT(DeathsOf(events), ElementsAre("attempt 1: the disk is full; trying again later"));
}

TEST_F(ServerJobsTest, AnErrorThatDoesNotPassEndsTheJobAtTheLimit) {
  body_ = [](const ServerJob&) -> absl::StatusOr<std::string> { return absl::InternalError("broken"); };
  StartJobsQuickly(/*max_attempts=*/3);
  const std::string id = Submit();
  const JobRecord job = FinishedJob(id);
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_EQ(attempts_, 3);
  EXPECT_EQ(job.error_code, static_cast<int>(absl::StatusCode::kInternal));
  EXPECT_EQ(job.error_message, "failed 3 times, the limit; the last time: broken");
}

TEST_F(ServerJobsTest, AnErrorThatLastsEndsTheJobAtOnce) {
  for (const absl::Status& error :
       {absl::InvalidArgumentError("bad"), absl::NotFoundError("gone"), absl::DataLossError("damaged"),
        absl::FailedPreconditionError("has no live release")}) {
    attempts_ = 0;
    body_ = [&](const ServerJob&) -> absl::StatusOr<std::string> { return error; };
    StartJobsQuickly();
    const JobRecord job = FinishedJob(Submit());
    EXPECT_EQ(job.state, JobState::kFailed) << error;
    EXPECT_EQ(job.error_message, error.message());
    EXPECT_EQ(attempts_, 1);
    jobs_.reset();
  }
}

TEST_F(ServerJobsTest, AJobThatHasBegunToAppendIsNotCancelledAndEndsAfterARestart) {
  body_ = [this](const ServerJob& job) -> absl::StatusOr<std::string> {
    const auto result = [](int64_t) { return std::string("{\"begun\":true}"); };
    const Example pair{.anchor = "a", .positives = {"p"}};
    RETURN_IF_ERROR(store_->AppendJobExamples(job.record, {pair}, result).status());
    if (attempts_ > 1) return job.record.result_json;
    while (!absl::IsUnavailable(job.progress(1, 2))) absl::SleepFor(absl::Milliseconds(1));
    return absl::UnavailableError("the server stops");
  };
  StartJobs();
  JobRecord wanted;
  wanted.tenant = "t";
  wanted.kind = JobKind::kAnalyzeDataset;
  wanted.dataset = "d";
  wanted.target_dataset = "made";
  const std::string id = jobs_->Submit(wanted, nullptr).value().id;
  ASSERT_TRUE(Comes([&] { return !Row(id).result_json.empty(); }));
  ASSERT_TRUE(jobs_->Cancel("t", id).ok());
  jobs_->Shutdown();
  EXPECT_EQ(StateOf(id), JobState::kQueued);
  jobs_ = std::make_unique<TrainingJobs>(OptionsFor(data_), store_.get(), bodies_);  // Not started.
  EXPECT_EQ(jobs_->Cancel("t", id)->state, JobState::kQueued);
  StartJobs();
  const JobRecord job = FinishedJob(id);
  EXPECT_EQ(job.state, JobState::kSucceeded);
  EXPECT_EQ(job.result_json, "{\"begun\":true}");
  EXPECT_EQ(store_->GetDataset("t", "made")->commit, 2);
}

TEST_F(ServerJobsTest, AJobOfAKindThatThisServerDoesNotKnowFails) {
  StartJobs();
  const JobRecord job = FinishedJob(Submit(static_cast<JobKind>(77)));
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_THAT(job.error_message, HasSubstr("kind 77"));
}

TEST_F(ServerJobsTest, ASubmissionThatNamesWhatIsGoneLeavesNothingBehind) {
  StartJobs();
  JobRecord job;
  job.tenant = "t";
  job.kind = JobKind::kAnalyzeDataset;
  job.dataset = "gone";
  EXPECT_TRUE(absl::IsNotFound(jobs_->Submit(job, nullptr).status()));
  EXPECT_TRUE(std::filesystem::is_empty(data_ / "jobs/t"));
}

}  // namespace
}  // namespace tandem
