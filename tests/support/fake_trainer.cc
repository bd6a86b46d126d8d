// Stands in for tandem-trainer in tests of server/jobs: keeps the contract of server/base/job_directory.h without
// training. The first text of the first example says how it behaves; see main.

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "server/base/event_log.h"
#include "server/base/files.h"
#include "server/base/job_directory.h"

namespace {

volatile sig_atomic_t asked_to_stop = 0;

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Uses CPU time for as long.
void Spin(int milliseconds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
  while (std::chrono::steady_clock::now() < end) continue;
}

void Sleep(int milliseconds) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }

class FakeTrainer {
 public:
  explicit FakeTrainer(std::filesystem::path directory) : directory_(std::move(directory)) {
    tandem::EventReader reader(directory_ / tandem::kEventsFile);
    const auto events = reader.ReadNew().value();
    attempt_ = events.empty() ? 1 : events.back()["attempt"].get<int>();
    writer_ = tandem::EventWriter::Open(directory_ / tandem::kEventsFile, attempt_).value();
  }

  int attempt() const { return attempt_; }

  std::string Behaviour() const {
    std::ifstream file(directory_ / tandem::ExamplesFile(0));
    std::string line;
    std::getline(file, line);
    const nlohmann::json example = nlohmann::json::parse(line);
    for (const char* const key : {"anchor", "first", "text"}) {
      if (example.contains(key)) return example[key].get<std::string>();
    }
    return "";
  }

  bool HasBase() const {
    const auto options = nlohmann::json::parse(tandem::ReadFile(directory_ / tandem::kOptionsFile).value());
    const auto base = tandem::BaseDirectory(tandem::TrainerOptionsFromJson(options).value(), directory_);
    return std::filesystem::exists(base / "config.json");
  }

  void Append(nlohmann::json event) { writer_->Append(std::move(event)).IgnoreError(); }
  void Step(int step) {
    Append({{"type", "step"},
            {"step", step},
            {"total_steps", 3},
            {"loss", 0.5},
            {"pairs_per_second", 4},
            {"tokens_per_second", 32}});
  }

  bool Resumed() const { return std::filesystem::exists(directory_ / "checkpoint-1"); }
  void Checkpoint() {
    std::filesystem::create_directory(directory_ / "checkpoint-1");
    Append({{"type", "checkpoint"}, {"step", 1}});
  }

  int Succeed(const std::string& folder = "") {
    Append({{"type", "message"},
            {"text", "nice " + std::to_string(getpriority(PRIO_PROCESS, 0)) + ", wait " +
                         Environment("OMP_WAIT_POLICY") + ", threads " + Environment("OMP_NUM_THREADS") +
                         (getpgrp() == getpid() ? ", own group" : ", shared group") + ", out of memory score " +
                         FirstLine("/proc/self/oom_score_adj")}});
    for (int step = 1; step <= 3; ++step) Step(step);
    const nlohmann::json metrics = {{"ndcg_at_10", 0.75}, {"recall_at_10", 0.9}, {"mrr_at_10", 0.7},
                                    {"recall_at_1", 0.6}, {"queries", 12},       {"loss", 0.4}};
    const nlohmann::json comparison = {
        {"step", 3},
        {"before", {{"loss", 0.8}}},
        {"after", metrics},
        {"metrics", nlohmann::json::array()},
        {"changes", {{"fell", {{"a query", 1, 0.5}}}, {"rose", nlohmann::json::array()}}}};
    const nlohmann::json result = {{"step", 3},
                                   {"metrics", metrics},
                                   {"comparison", comparison},
                                   {"parameters", 22713216},
                                   {"weights", (std::filesystem::path(folder) / "model.safetensors").string()}};
    const auto target = directory_ / tandem::kResultDirectory;
    bool ok = tandem::WriteFileDurably(directory_ / tandem::kResultFile, result.dump()).ok();
    const auto staging = tandem::MakeStagingDirectory(target).value();
    std::filesystem::create_directories(staging / folder);
    ok = ok && tandem::WriteFileDurably(staging / folder / "model.safetensors", "weights").ok();
    return ok && tandem::PublishDirectory(staging, target).ok() ? tandem::kTrainerDone : 9;
  }

  // Steps until it is told to stop, if it listens.
  int RunForever(bool listens) {
    for (int step = 1; !(listens && asked_to_stop); ++step) {
      Step(step);
      Sleep(20);
    }
    Checkpoint();
    return tandem::kTrainerStopped;
  }

 private:
  const std::filesystem::path directory_;
  int attempt_ = 0;
  std::unique_ptr<tandem::EventWriter> writer_;
};

// Needs much memory for a third of a second only.
int SpikeInMemory(FakeTrainer& trainer) {
  Sleep(100);
  {
    std::vector<char> memory(size_t{256} << 20);
    std::memset(memory.data(), 1, memory.size());
    Sleep(memory[1] == 1 ? 330 : 0);
  }
  return trainer.Succeed();
}

int EatMemory(FakeTrainer& trainer) {
  std::vector<char> memory(size_t{256} << 20);
  std::memset(memory.data(), 1, memory.size());
  return trainer.RunForever(memory[1] != 1);
}

}  // namespace

int main(int, char** arguments) {
  FakeTrainer trainer(arguments[1]);
  const std::string behaviour = trainer.Behaviour();
  signal(SIGTERM, [](int) { asked_to_stop = 1; });
  std::cerr << "behaves as " << behaviour << std::endl;
  if (behaviour == "succeed") return trainer.Succeed();
  if (behaviour == "succeed in a subfolder") return trainer.Succeed("0_Transformer");
  if (behaviour == "exit without result") return tandem::kTrainerDone;
  if (behaviour == "crash once") {
    if (trainer.attempt() > 1) return trainer.Succeed();
    trainer.Step(1);
    raise(SIGKILL);
  }
  if (behaviour == "crash") abort();
  if (behaviour == "fail") {
    trainer.Append({{"type", "failed"}, {"code", 3}, {"message", "max_length 600: the model has 512 positions"}});
    return tandem::kTrainerFailed;
  }
  if (behaviour == "hang") {
    trainer.Step(1);
    while (true) pause();
  }
  if (behaviour == "spin") {
    while (true) Spin(100);
  }
  if (behaviour == "hardly run, then succeed") {
    for (int i = 0; i < 25; ++i) Spin(20), Sleep(80);
    return trainer.Succeed();
  }
  if (behaviour == "stop, then succeed") return trainer.Resumed() ? trainer.Succeed() : trainer.RunForever(true);
  if (behaviour == "run") return trainer.RunForever(true);
  if (behaviour == "ignore SIGTERM") return trainer.RunForever(false);
  if (behaviour == "eat memory") return EatMemory(trainer);
  if (behaviour == "spike in memory") return SpikeInMemory(trainer);
  if (behaviour == "stop, then succeed with its base") {
    if (!trainer.Resumed()) return trainer.RunForever(true);
    return trainer.HasBase() ? trainer.Succeed() : 7;
  }
  return 8;
}
