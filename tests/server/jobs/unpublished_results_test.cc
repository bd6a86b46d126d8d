#include "tests/server/jobs/training_jobs_fixture.h"

namespace tandem {
namespace {

// Anything but a directory where the target model's belongs: no result can be moved there.
class UnpublishedResultsTest : public TrainingJobsFixture {
 protected:
  void SetUp() override {
    TrainingJobsFixture::SetUp();
    std::filesystem::create_directories(data_ / "models/t");
    std::ofstream(data_ / "models/t/tuned") << "in the way";
  }
  void ClearTheWay() { std::filesystem::remove(data_ / "models/t/tuned"); }

  // Starts with this delay of the first retry and trains a job whose result cannot be published.
  std::string TrainInVain(absl::Duration first_retry) {
    TrainingJobsOptions options = OptionsFor(data_);
    options.first_retry = first_retry;
    StartJobs(options);
    const std::string id = SubmitBehaviour("succeed");
    EXPECT_TRUE(Comes([&] { return std::filesystem::exists(DirectoryOf(id) / kResultDirectory); }));
    return id;
  }
};

TEST_F(UnpublishedResultsTest, JobsBehindAnUnpublishedResultRun) {
  const std::string unpublished = TrainInVain(absl::Milliseconds(100));
  const std::string next = SubmitBehaviour("succeed", "second", "other");
  EXPECT_TRUE(Becomes(next, JobState::kSucceeded));
  EXPECT_EQ(StateOf(unpublished), JobState::kRunning);
  ClearTheWay();
  EXPECT_TRUE(Becomes(unpublished, JobState::kSucceeded));
  EXPECT_TRUE(store_->GetModelRevision("t", "tuned", unpublished).ok());
  EXPECT_THAT(StatesOf(EventsOf(unpublished)), testing::ElementsAre(1, 2, 3));
}

TEST_F(UnpublishedResultsTest, AResultIsPublishedWhileAnotherTrainerRuns) {
  const std::string unpublished = TrainInVain(absl::Milliseconds(100));
  const std::string running = SubmitBehaviour("run", "second", "other");
  ASSERT_TRUE(WaitForStep(running));
  ClearTheWay();
  EXPECT_TRUE(Becomes(unpublished, JobState::kSucceeded));
  EXPECT_EQ(StateOf(running), JobState::kRunning);
  ASSERT_TRUE(jobs_->Cancel("t", running).ok());
  EXPECT_EQ(FinishedJob(running).state, JobState::kCancelled);
}

TEST_F(UnpublishedResultsTest, CancelDoesNotWaitForTheNextTry) {
  const std::string unpublished = TrainInVain(absl::Hours(1));
  const std::string next = SubmitBehaviour("succeed", "second", "other");
  ASSERT_TRUE(Becomes(next, JobState::kSucceeded));
  ClearTheWay();  // A cancelled job has no result, even where it could be published now.
  ASSERT_TRUE(jobs_->Cancel("t", unpublished).ok());
  EXPECT_EQ(FinishedJob(unpublished).state, JobState::kCancelled);
  EXPECT_FALSE(store_->GetModelRevision("t", "tuned", unpublished).ok());
}

TEST_F(UnpublishedResultsTest, ShutdownDoesNotWaitForTheNextTryAndTheNextServerPublishes) {
  const std::string unpublished = TrainInVain(absl::Hours(1));
  jobs_->Shutdown();
  EXPECT_EQ(StateOf(unpublished), JobState::kRunning);
  ClearTheWay();
  StartJobs();
  EXPECT_EQ(StateOf(unpublished), JobState::kSucceeded);
}

}  // namespace
}  // namespace tandem
