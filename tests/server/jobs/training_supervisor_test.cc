#include "server/base/files.h"
#include "tests/server/jobs/training_jobs_fixture.h"

namespace tandem {
namespace {

using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

class TrainingSupervisorTest : public TrainingJobsFixture {
 protected:
  void SetUp() override {
    TrainingJobsFixture::SetUp();
    jobs_ =
        std::make_unique<TrainingJobs>(OptionsFor(data_), store_.get(), bodies_);  // Takes jobs, does not start them.
  }
};

// A directory where the event log belongs: an error that lasts for as long as the test wants, for root as well.
TEST_F(TrainingSupervisorTest, AJobWhoseEventLogCannotBeWrittenDoesNotHoldUpTheNextOne) {
  const std::string blocked = SubmitBehaviour("succeed");
  const std::string next = SubmitBehaviour("succeed", "second");
  const std::filesystem::path events = DirectoryOf(blocked) / kEventsFile, kept = DirectoryOf(blocked) / "kept";
  std::filesystem::rename(events, kept);
  std::filesystem::create_directory(events);
  TrainingJobsOptions options = OptionsFor(data_);
  options.first_retry = absl::Milliseconds(50);
  StartJobs(options);
  EXPECT_TRUE(Becomes(next, JobState::kSucceeded));
  EXPECT_TRUE(Becomes(blocked, JobState::kQueued));
  EXPECT_EQ(store_->GetJob("t", blocked)->attempt, 0);
  std::filesystem::remove(events);
  std::filesystem::rename(kept, events);
  EXPECT_TRUE(Becomes(blocked, JobState::kSucceeded));
}

TEST_F(TrainingSupervisorTest, AJobThatIsPutAsideIsCancelledLikeAnyQueuedJob) {
  const std::string blocked = SubmitBehaviour("succeed");
  const std::filesystem::path events = DirectoryOf(blocked) / kEventsFile, kept = DirectoryOf(blocked) / "kept";
  std::filesystem::rename(events, kept);
  std::filesystem::create_directory(events);
  TrainingJobsOptions options = OptionsFor(data_);
  options.first_retry = absl::Hours(1);
  StartJobs(options);
  const std::string next = SubmitBehaviour("succeed", "second");
  ASSERT_TRUE(Becomes(next, JobState::kSucceeded));
  std::filesystem::remove(events);
  std::filesystem::rename(kept, events);
  EXPECT_EQ(jobs_->Cancel("t", blocked)->state, JobState::kCancelled);
}

// A directory where the lock of the trainer belongs.
TEST_F(TrainingSupervisorTest, ATrainerThatCannotBeStartedIsTriedAgainLaterAndEachTryCountsAsADeath) {
  const std::string blocked = SubmitBehaviour("succeed");
  const std::string next = SubmitBehaviour("succeed", "second");
  std::filesystem::create_directory(DirectoryOf(blocked) / "lock");
  TrainingJobsOptions options = OptionsFor(data_);
  options.first_retry = absl::Milliseconds(200);
  StartJobs(options);
  const std::vector<nlohmann::json> events = EventsOf(blocked);
  EXPECT_THAT(StatesOf(events), ElementsAre(1, 2, 1, 2, 1, 2, 4));
  EXPECT_THAT(DeathsOf(events), AllOf(SizeIs(2), Each(HasSubstr("the trainer could not be started"))));
  const JobRecord failed = store_->GetJob("t", blocked).value();
  EXPECT_THAT(failed.error_message, AllOf(HasSubstr("died 3 times"), HasSubstr("lock: Is a directory")));
  ASSERT_EQ(StateOf(next), JobState::kSucceeded);
  EXPECT_LT(*store_->GetJob("t", next)->end_time, *failed.end_time);
  std::vector<int64_t> starts_us;
  for (const nlohmann::json& event : events) {
    if (event["type"] == "state" && event["state"] == 2) starts_us.push_back(event["time_us"].get<int64_t>());
  }
  EXPECT_GE(starts_us[1] - starts_us[0], 200'000);
  EXPECT_GE(starts_us[2] - starts_us[1], 400'000);
}

TEST_F(TrainingSupervisorTest, ATrainerThatCanBeStartedAgainGoesOn) {
  const std::string blocked = SubmitBehaviour("succeed");
  std::filesystem::create_directory(DirectoryOf(blocked) / "lock");
  TrainingJobsOptions options = OptionsFor(data_);
  options.max_attempts = 100;
  options.first_retry = absl::Milliseconds(20);
  StartJobs(options);
  ASSERT_TRUE(Comes([&] { return store_->GetJob("t", blocked)->attempt > 1; }));
  std::filesystem::remove(DirectoryOf(blocked) / "lock");
  EXPECT_TRUE(Becomes(blocked, JobState::kSucceeded));
}

TEST_F(TrainingSupervisorTest, ADataDirectoryThatIsMovedTakesItsUnfinishedJobsAlong) {
  std::filesystem::create_directories(data_ / "models/t/base/r1");
  ASSERT_TRUE(WriteFileDurably(data_ / "models/t/base/r1/config.json", "{}").ok());
  StartJobs();
  const std::string id = SubmitBehaviour("stop, then succeed with its base");
  ASSERT_TRUE(WaitForStep(id));
  EXPECT_THAT(ReadFile(DirectoryOf(id) / kOptionsFile).value(), testing::Not(HasSubstr(data_.string())));
  jobs_.reset();
  store_.reset();
  const std::filesystem::path moved = data_.string() + "-moved";
  std::filesystem::rename(data_, moved);
  data_ = moved;
  store_ = OpenStore(data_);
  StartJobs();
  const JobRecord job = FinishedJob(id);
  EXPECT_EQ(job.state, JobState::kSucceeded) << job.error_message;
  EXPECT_TRUE(std::filesystem::exists(data_ / "models/t/tuned" / id / "model.safetensors"));
}

}  // namespace
}  // namespace tandem
