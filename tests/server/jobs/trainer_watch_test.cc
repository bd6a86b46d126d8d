#include <signal.h>

#include "server/base/files.h"
#include "tests/server/jobs/training_jobs_fixture.h"

namespace tandem {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class TrainerWatchTest : public TrainingJobsFixture {
 protected:
  std::filesystem::path OomKills() const { return data_ / "memory.events"; }

  void WriteCounts(const std::string& counts) {
    if (counts.empty()) return;
    EXPECT_TRUE(WriteFileDurably(OomKills(), counts).ok());
  }

  // A job whose trainer is killed after the file with the kernel's counts, if any, has been written anew.
  JobRecord JobAfterSigkill(const std::string& before, const std::string& after) {
    TrainingJobsOptions options = OptionsFor(data_);
    options.max_attempts = 1;
    options.oom_kills_file = OomKills();
    WriteCounts(before);
    StartJobs(options);
    const std::string id = SubmitBehaviour("run");
    EXPECT_TRUE(WaitForStep(id));
    WriteCounts(after);
    absl::SleepFor(absl::Milliseconds(200));  // Its memory is looked at meanwhile.
    EXPECT_EQ(kill(TrainerOf(id), SIGKILL), 0);
    return FinishedJob(id);
  }
};

TEST_F(TrainerWatchTest, ASpikeOfAThirdOfASecondIsSeen) {
  TrainingJobsOptions options = OptionsFor(data_);
  options.trainer_memory_bytes = int64_t{128} << 20;
  StartJobs(options);
  const JobRecord job = FinishedJob(SubmitBehaviour("spike in memory"));
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_EQ(job.error_code, static_cast<int>(absl::StatusCode::kResourceExhausted));
  int used = 0, limit = 0;
  ASSERT_EQ(std::sscanf(job.error_message.c_str(), "the trainer used %d MiB of memory, limit %d MiB", &used, &limit), 2)
      << job.error_message;
  EXPECT_GE(used, 128);
  EXPECT_LT(used, 300);
  EXPECT_EQ(limit, 128);
  EXPECT_THAT(job.error_message, AllOf(HasSubstr("--trainer-memory"), HasSubstr("a smaller batch_size")));
}

TEST_F(TrainerWatchTest, ASigkillWhileTheKernelCountedAnOutOfMemoryKillIsToldSo) {
  const JobRecord job = JobAfterSigkill("oom 2\noom_kill 2\n", "oom 3\noom_kill 3\n");
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_EQ(job.error_code, static_cast<int>(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(job.error_message, HasSubstr("was ended by the kernel's out-of-memory killer: it had "));
  EXPECT_THAT(job.error_message, testing::Not(HasSubstr("it had 0 MiB")));
}

TEST_F(TrainerWatchTest, ASigkillThatTheKernelDidNotCountIsSomebodyElses) {
  const JobRecord job = JobAfterSigkill("oom_kill 2\n", "oom_kill 2\n");
  EXPECT_EQ(job.error_code, static_cast<int>(absl::StatusCode::kInternal));
  EXPECT_THAT(job.error_message, HasSubstr("signal 9 (Killed), not by this server or for want of memory"));
}

TEST_F(TrainerWatchTest, ASigkillWithoutCountsMayBeForWantOfMemory) {
  const JobRecord job = JobAfterSigkill("", "");
  EXPECT_THAT(job.error_message, HasSubstr("signal 9 (Killed), not by this server, perhaps for want of memory"));
}

}  // namespace
}  // namespace tandem
