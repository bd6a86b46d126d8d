#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/disk_steps/disk_model.h"
#include "tests/support/disk_steps/step_log.h"
#include "tests/support/disk_steps/step_name.h"
#include "tests/support/temporary_directory.h"

namespace tandem::test {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::Not;

std::map<std::string, std::string> FilesBelow(const fs::path& directory) {
  std::map<std::string, std::string> files;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(directory)) {
    std::ifstream file(entry.path(), std::ios::binary);
    files[entry.path().lexically_relative(directory)] =
        entry.is_directory() ? "/" : std::string(std::istreambuf_iterator<char>(file), {});
  }
  return files;
}

class RecorderTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directory(recorded_);
    log_ = StepLog::Create(folder_.path() / "log", recorded_, {});
  }

  // The status of a process that is recorded: this program with --sample.
  int RunSample() {
    const std::string program = fs::read_symlink("/proc/self/exe");
    const pid_t child = fork();
    if (child == 0) {
      for (const std::string& variable : log_->Environment(DISK_STEPS_LIBRARY)) putenv(strdup(variable.c_str()));
      execl(program.c_str(), program.c_str(), "--sample", recorded_.c_str(), nullptr);
      _exit(127);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return status;
  }

  std::vector<std::string> Names() {
    std::vector<std::string> names;
    for (const Step& step : log_->Read()) names.push_back(StepName(step));
    return names;
  }

  const TemporaryDirectory folder_;
  const fs::path recorded_ = fs::canonical(folder_.path()) / "recorded";
  std::unique_ptr<StepLog> log_;
};

TEST_F(RecorderTest, AReplayedLogIsTheDirectoryByteForByte) {
  DiskModel disk = DiskModel::Of(recorded_);
  ASSERT_EQ(RunSample(), 0);
  EXPECT_EQ(log_->Finding(), "");
  const std::vector<Step> steps = log_->Read();
  EXPECT_EQ(std::ssize(steps), log_->steps());
  for (const Step& step : steps) disk.Apply(step);
  const fs::path replayed = folder_.path() / "replayed";
  fs::create_directory(replayed);
  disk.WriteTo(replayed, PowerCut::kNothingLost);
  EXPECT_EQ(FilesBelow(replayed), FilesBelow(recorded_));
}

TEST_F(RecorderTest, NamesWhatItSees) {
  ASSERT_EQ(RunSample(), 0);
  for (const char* name :
       {"create descriptor", "write descriptor", "truncate descriptor", "sync descriptor", "create stream",
        "write stream", "truncate replaced", "write copy", "write ranges", "make a/b/c", "rename a/renamed",
        "link linked", "remove replaced", "remove gone/deep/file", "remove gone/deep", "make relative", "sync ."}) {
    EXPECT_THAT(Names(), Contains(std::string(name)));
  }
  EXPECT_THAT(Names(), Not(Contains(testing::HasSubstr("outside"))));
}

TEST_F(RecorderTest, StopsBeforeTheStepOnceOverAllProcesses) {
  log_->StopBefore("sync common", 21);  // Of 40 in two processes: the parent or the child may be the one.
  const int status = RunSample();
  EXPECT_TRUE((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) || (WIFEXITED(status) && WEXITSTATUS(status) == 1))
      << status;
  EXPECT_GT(log_->stopped_process(), 0);
  // The other process, if the parent died, still takes its steps; the test ends when it has.
  int64_t before = -1;
  for (int quiet = 0; quiet < 5; quiet = before == log_->steps() ? quiet + 1 : 0) {
    before = log_->steps();
    usleep(20'000);
  }
  const int64_t synced = std::ranges::count(Names(), "sync common");
  EXPECT_GE(synced, 20);
  EXPECT_LT(synced, 40);
}

TEST_F(RecorderTest, AStoppedStepIsNotTaken) {
  log_->StopBefore("rename a/renamed", 1);
  const int status = RunSample();
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
  EXPECT_TRUE(fs::exists(recorded_ / "a/b/moved"));
  EXPECT_FALSE(fs::exists(recorded_ / "a/renamed"));
  EXPECT_EQ(Names().back(), "rename a/b/moved");
}

TEST_F(RecorderTest, AStopIsCountedFromWhenItWasOrdered) {
  log_->StopBefore("no such step", 1);
  ASSERT_EQ(RunSample(), 0);
  EXPECT_EQ(log_->stopped_process(), 0);
}

TEST_F(RecorderTest, AFullLogIsAFinding) {
  log_ = StepLog::Create(folder_.path() / "small", recorded_, {.capacity_bytes = 4096});
  ASSERT_EQ(RunSample(), 0);
  EXPECT_EQ(log_->Finding(), "the log is full");
}

TEST_F(RecorderTest, ALogWithoutDataKeepsNamesAndCounts) {
  log_ = StepLog::Create(folder_.path() / "names", recorded_, {.keep_data = false});
  ASSERT_EQ(RunSample(), 0);
  EXPECT_THAT(Names(), Contains(std::string("write stream")));
  for (const Step& step : log_->Read()) EXPECT_EQ(step.data, "");
}

}  // namespace
}  // namespace tandem::test
