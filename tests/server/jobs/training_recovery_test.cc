#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>

#include "server/base/event_log.h"
#include "server/base/files.h"
#include "tests/server/jobs/training_jobs_fixture.h"

namespace tandem {
namespace {

using testing::ElementsAre;

class TrainingRecoveryTest : public TrainingJobsFixture {
 protected:
  // A job as a server leaves it that dies after the trainer was done and before the row says so.
  std::string LeaveDoneJob() {
    jobs_ = std::make_unique<TrainingJobs>(OptionsFor(data_), store_.get(), bodies_);  // Not started.
    const std::string id = SubmitBehaviour("succeed");
    JobRecord job = store_->GetJob("t", id).value();
    job.state = JobState::kRunning;
    job.attempt = 1;
    EXPECT_TRUE(store_->UpdateJob(job).ok());
    EXPECT_EQ(std::system((std::string(FAKE_TRAINER) + " " + DirectoryOf(id).string() + " 2>/dev/null").c_str()), 0);
    return id;
  }
};

TEST_F(TrainingRecoveryTest, ShutdownQueuesTheRunningJobAndTheNextServerResumesIt) {
  StartJobs();
  const std::string id = SubmitBehaviour("stop, then succeed");
  ASSERT_TRUE(WaitForStep(id));
  jobs_->Shutdown();
  EXPECT_EQ(store_->GetJob("t", id)->state, JobState::kQueued);
  EXPECT_TRUE(std::filesystem::exists(DirectoryOf(id) / "checkpoint-1"));
  StartJobs();
  const std::vector<nlohmann::json> events = EventsOf(id);
  EXPECT_THAT(StatesOf(events), ElementsAre(1, 2, 1, 2, 3));
  for (size_t i = 0; i < events.size(); ++i) EXPECT_EQ(events[i]["sequence"], i + 1);
}

TEST_F(TrainingRecoveryTest, StartPublishesAResultThatNobodyRecorded) {
  const std::string id = LeaveDoneJob();
  StartJobs();
  EXPECT_EQ(store_->GetJob("t", id)->state, JobState::kSucceeded);
  EXPECT_TRUE(store_->GetModelRevision("t", "tuned", id).ok());
  EXPECT_THAT(StatesOf(EventsOf(id)), ElementsAre(1, 3));
}

TEST_F(TrainingRecoveryTest, StartRecordsAResultThatWasAlreadyMoved) {
  const std::string id = LeaveDoneJob();
  std::filesystem::create_directories(data_ / "models/t/tuned");
  std::filesystem::rename(DirectoryOf(id) / kResultDirectory, data_ / "models/t/tuned" / id);
  StartJobs();
  EXPECT_EQ(store_->GetJob("t", id)->result_revision, "models/tuned/revisions/" + id);
  EXPECT_TRUE(store_->GetModelRevision("t", "tuned", id).ok());
}

TEST_F(TrainingRecoveryTest, StartRecordsAResultThatAPowerCutLeftUnderBothNames) {
  const std::string id = LeaveDoneJob();
  std::filesystem::create_directories(data_ / "models/t/tuned");
  std::filesystem::copy(DirectoryOf(id) / kResultDirectory, data_ / "models/t/tuned" / id,
                        std::filesystem::copy_options::recursive);
  StartJobs();
  EXPECT_EQ(store_->GetJob("t", id)->result_revision, "models/tuned/revisions/" + id);
  EXPECT_TRUE(store_->GetModelRevision("t", "tuned", id).ok());
}

TEST_F(TrainingRecoveryTest, WatchWritesTheFinalEventThatACrashLeftOut) {
  const std::string id = LeaveDoneJob();
  JobRecord job = store_->GetJob("t", id).value();
  job.state = JobState::kFailed;
  ASSERT_TRUE(store_->UpdateJob(job).ok());
  StartJobs();
  EXPECT_THAT(StatesOf(EventsOf(id)), ElementsAre(1, 4));
  EXPECT_THAT(StatesOf(EventsOf(id)), ElementsAre(1, 4));
}

TEST_F(TrainingRecoveryTest, StartRemovesDirectoriesWithoutARow) {
  std::filesystem::create_directories(data_ / "jobs/t/orphan");
  std::filesystem::create_directories(data_ / "jobs/t/.staging-x");
  StartJobs();
  EXPECT_TRUE(std::filesystem::is_empty(data_ / "jobs/t"));
}

// A directory where the trainer's lock file belongs: whether an old trainer runs cannot be told.
TEST_F(TrainingRecoveryTest, OneJobsTroubleDoesNotHoldUpTheStart) {
  const std::string blocked = LeaveDoneJob();  // Its result counts, whatever the lock says.
  std::filesystem::create_directory(DirectoryOf(blocked) / "lock");
  std::filesystem::create_directories(data_ / "jobs/t/orphan/lock");
  AddPairs(*store_, "second", "run");
  const std::string damaged = jobs_->Submit(RequestFor("second"), nullptr).value().id;
  JobRecord job = store_->GetJob("t", damaged).value();
  job.state = JobState::kRunning;
  ASSERT_TRUE(store_->UpdateJob(job).ok());
  ASSERT_TRUE(WriteFileDurably(DirectoryOf(damaged) / kEventsFile, "not an event\nnor this\n").ok());
  AddPairs(*store_, "gone", "run");
  job = store_->GetJob("t", jobs_->Submit(RequestFor("gone"), nullptr).value().id).value();
  job.state = JobState::kRunning;
  ASSERT_TRUE(store_->UpdateJob(job).ok());
  std::filesystem::remove_all(DirectoryOf(job.id));
  StartJobs();
  EXPECT_EQ(StateOf(job.id), JobState::kFailed);
  EXPECT_EQ(store_->GetJob("t", job.id)->error_message, "the job's directory is gone");
  EXPECT_TRUE(Becomes(blocked, JobState::kSucceeded));
  EXPECT_TRUE(std::filesystem::exists(data_ / "jobs/t/orphan"));
  EXPECT_TRUE(Comes([&] { return StateOf(damaged) == JobState::kFailed; }));
  EXPECT_EQ(store_->GetJob("t", damaged)->error_code, static_cast<int>(absl::StatusCode::kDataLoss));
  AddPairs(*store_, "third", "succeed");
  EXPECT_EQ(FinishedJob(jobs_->Submit(RequestFor("third"), nullptr).value().id).state, JobState::kSucceeded);
}

// Holds the lock of a job like a trainer that SIGKILL does not end while it waits for a device.
class StuckTrainer {
 public:
  explicit StuckTrainer(const std::filesystem::path& job_directory)
      : fd_(open((job_directory / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
    EXPECT_EQ(flock(fd_, LOCK_EX | LOCK_NB), 0);
  }
  ~StuckTrainer() { End(); }
  void End() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

TEST_F(TrainingRecoveryTest, AJobWhoseOldTrainerIsStuckWaitsForItAndGoesOn) {
  const std::string id = LeaveDoneJob();
  std::filesystem::remove_all(DirectoryOf(id) / kResultDirectory);
  StuckTrainer stuck(DirectoryOf(id));
  TrainingJobsOptions options = OptionsFor(data_);
  options.max_attempts = 100;
  options.old_trainer_limit = absl::Milliseconds(60);
  options.first_retry = absl::Milliseconds(50);
  StartJobs(options);
  EXPECT_THAT(StateOf(id), testing::AnyOf(JobState::kQueued, JobState::kRunning));
  const std::string next = SubmitBehaviour("succeed", "second");
  EXPECT_TRUE(Becomes(next, JobState::kSucceeded));
  ASSERT_TRUE(Comes([&] { return store_->GetJob("t", id)->attempt > 2; }));
  stuck.End();
  const std::vector<nlohmann::json> events = EventsOf(id);
  EXPECT_EQ(StateOf(id), JobState::kSucceeded);
  EXPECT_THAT(DeathsOf(events), testing::Contains(testing::HasSubstr("still runs there and has not ended for 60ms")));
}

TEST_F(TrainingRecoveryTest, AJobWhoseOldTrainerStaysStuckFailsAfterMaxAttempts) {
  const std::string id = LeaveDoneJob();
  std::filesystem::remove_all(DirectoryOf(id) / kResultDirectory);
  const StuckTrainer stuck(DirectoryOf(id));
  TrainingJobsOptions options = OptionsFor(data_);
  options.old_trainer_limit = absl::Milliseconds(60);
  options.first_retry = absl::Milliseconds(10);
  StartJobs(options);
  EXPECT_TRUE(Becomes(id, JobState::kFailed));
  EXPECT_THAT(store_->GetJob("t", id)->error_message, testing::HasSubstr("died 3 times, the limit; the last time it "
                                                                         "could not be started"));
}

TEST_F(TrainingRecoveryTest, StartRemovesCheckpointsOfFinishedJobs) {
  StartJobs();
  const std::string id = SubmitBehaviour("succeed");
  ASSERT_EQ(FinishedJob(id).state, JobState::kSucceeded);
  jobs_->Shutdown();
  for (const char* name : {"checkpoint-7", "best-5", ".staging-checkpoint-9"}) {
    std::filesystem::create_directories(DirectoryOf(id) / name / "model");
  }
  StartJobs();
  for (const char* name : {"checkpoint-7", "best-5", ".staging-checkpoint-9"}) {
    EXPECT_FALSE(std::filesystem::exists(DirectoryOf(id) / name)) << name;
  }
  EXPECT_TRUE(std::filesystem::exists(DirectoryOf(id) / kOptionsFile));
}

TEST_F(TrainingRecoveryTest, ACancelThatTheLastServerDidNotFinishHolds) {
  const std::string id = LeaveDoneJob();
  std::filesystem::remove_all(DirectoryOf(id) / kResultDirectory);
  JobRecord job = store_->GetJob("t", id).value();
  job.cancel_requested = true;
  ASSERT_TRUE(store_->UpdateJob(job).ok());
  StartJobs();
  EXPECT_EQ(store_->GetJob("t", id)->state, JobState::kCancelled);
}

// A server in a child process is killed with SIGKILL while its trainer runs; `behaviour` is the trainer's.
void RunServerAndKillIt(const std::filesystem::path& data, const std::string& id) {
  const pid_t server = fork();
  if (server == 0) {
    const std::unique_ptr<MetaStore> store = OpenStore(data);
    TrainingJobs jobs(OptionsFor(data), store.get(), {});
    if (!jobs.Start().ok()) _exit(1);
    while (true) pause();
  }
  EventReader reader(data / "jobs" / "t" / id / kEventsFile);
  bool stepped = false;
  for (int i = 0; i < 3000 && !stepped; ++i) {
    const std::vector<nlohmann::json> events = reader.ReadNew().value();
    for (const nlohmann::json& event : events) stepped = stepped || event["type"] == "step";
    absl::SleepFor(absl::Milliseconds(10));
  }
  EXPECT_TRUE(stepped);
  kill(server, SIGKILL);
  waitpid(server, nullptr, 0);
}

TEST_F(TrainingRecoveryTest, AfterAKilledServerTheTrainerIsStoppedAndTheJobGoesOn) {
  jobs_ = std::make_unique<TrainingJobs>(OptionsFor(data_), store_.get(), bodies_);
  const std::string id = SubmitBehaviour("stop, then succeed");
  jobs_.reset();
  store_.reset();
  RunServerAndKillIt(data_, id);
  store_ = OpenStore(data_);
  StartJobs();
  const std::vector<nlohmann::json> events = EventsOf(id);
  EXPECT_THAT(StatesOf(events), ElementsAre(1, 2, 1, 2, 3));
  for (size_t i = 0; i < events.size(); ++i) EXPECT_EQ(events[i]["sequence"], i + 1);
}

TEST_F(TrainingRecoveryTest, AnOldTrainerThatIgnoresSigtermIsKilledBeforeTheJobGoesOn) {
  jobs_ = std::make_unique<TrainingJobs>(OptionsFor(data_), store_.get(), bodies_);
  const std::string id = SubmitBehaviour("ignore SIGTERM");
  jobs_.reset();
  store_.reset();
  RunServerAndKillIt(data_, id);
  std::ifstream lock(DirectoryOf(id) / "lock");
  pid_t old_trainer = 0;
  ASSERT_TRUE(lock >> old_trainer);
  ASSERT_EQ(kill(old_trainer, 0), 0);
  store_ = OpenStore(data_);
  TrainingJobsOptions options = OptionsFor(data_);
  options.stop_grace = absl::Milliseconds(200);
  StartJobs(options);
  std::ifstream status("/proc/" + std::to_string(old_trainer) + "/stat");
  std::string stat((std::istreambuf_iterator<char>(status)), std::istreambuf_iterator<char>());
  EXPECT_TRUE(stat.empty() || stat.find(") Z ") != std::string::npos) << stat;
  ASSERT_TRUE(jobs_->Cancel("t", id).ok());
  EXPECT_EQ(FinishedJob(id).state, JobState::kCancelled);
}

}  // namespace
}  // namespace tandem
