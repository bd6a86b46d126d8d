#include "tests/server/training/job.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <thread>
#include <utility>

#include <gtest/gtest.h>

#include "server/base/event_log.h"
#include "server/base/files.h"
#include "tests/server/training/every_loss.h"
#include "tests/server/training/golden.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;

fs::path FreshDirectory(const std::string& name) {
  const fs::path path = fs::path(testing::TempDir()) / ("training_" + name);
  fs::remove_all(path);
  fs::create_directories(path);
  return path;
}

}  // namespace

TrainerOptions QuickOptions() {
  return {.batch_size = 8,
          .epochs = 8,
          .learning_rate = 2e-3,
          .validation_fraction = 0,
          .checkpoint_steps = 7,
          .threads = 1};
}

Job::Job(const std::string& name, TrainerOptions options) : directory(FreshDirectory(name)) {
  if (options.base_directory.empty()) options.base_directory = GoldenPath("tiny_bert").string();
  EXPECT_TRUE(WriteFileDurably(directory / kOptionsFile, ToJson(options).dump()).ok());
  WriteExamples(0, ExampleLines(ExampleForm::kPair, 64));
}

void Job::WriteExamples(int objective, const std::vector<std::string>& lines) const {
  std::ofstream out(directory / ExamplesFile(objective));
  for (const std::string& line : lines) out << line << "\n";
}

pid_t Job::Start() const {
  const std::string program = (fs::read_symlink("/proc/self/exe").parent_path() / "tandem-trainer").string();
  const std::string log = (directory / kTrainerLog).string(), argument = directory.string();
  const pid_t pid = fork();
  if (pid == 0) {
    const int fd = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    dup2(fd, STDERR_FILENO);
    execl(program.c_str(), program.c_str(), argument.c_str(), nullptr);
    _exit(127);
  }
  return pid;
}

int Job::Wait(pid_t pid) {
  int status = 0;
  if (waitpid(pid, &status, 0) != pid) return -1000;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int Job::Run() const { return Wait(Start()); }

void Job::WaitForStep(int64_t step) const {
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (std::chrono::steady_clock::now() < give_up) {
    const auto losses = Losses();
    if (!losses.empty() && losses.rbegin()->first >= step) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  ADD_FAILURE() << "no step " << step << " within a minute";
}

std::vector<nlohmann::json> Job::Events() const {
  auto events = EventReader(directory / kEventsFile).ReadNew();
  EXPECT_TRUE(events.ok()) << events.status();
  return events.ok() ? *std::move(events) : std::vector<nlohmann::json>();
}

std::vector<nlohmann::json> Job::EventsOf(const std::string& type) const {
  std::vector<nlohmann::json> events = Events();
  std::erase_if(events, [&](const nlohmann::json& event) { return event["type"] != type; });
  return events;
}

std::map<int64_t, double> Job::Losses() const {
  std::map<int64_t, double> losses;
  for (const nlohmann::json& event : EventsOf("step")) losses[event["step"]] = event["loss"];
  return losses;
}

nlohmann::json Job::Result() const { return nlohmann::json::parse(ReadFile(directory / kResultFile).value_or("null")); }

std::string Job::ResultWeights() const {
  return ReadFile(directory / kResultDirectory / "model.safetensors").value_or("");
}

}  // namespace tandem
