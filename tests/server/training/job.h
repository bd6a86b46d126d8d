#pragma once
// A training job's directory for tests, with the tiny random BERT, and the real tandem-trainer program on it.

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "server/base/job_directory.h"

namespace tandem {

class Job {
 public:
  // A fresh directory with options and 64 pairs, of which every third has a negative. `options.base_directory` is
  // filled in when empty.
  Job(const std::string& name, TrainerOptions options);

  // Writes, or replaces, the examples of an objective.
  void WriteExamples(int objective, const std::vector<std::string>& lines) const;

  // Runs the program to its end: exit code, or minus the signal that ended it.
  int Run() const;
  pid_t Start() const;
  static int Wait(pid_t pid);
  // Waits until an event of this step is there; fails the test after a minute.
  void WaitForStep(int64_t step) const;

  std::vector<nlohmann::json> Events() const;
  std::vector<nlohmann::json> EventsOf(const std::string& type) const;
  std::map<int64_t, double> Losses() const;  // By step; of the last attempt that did it.
  nlohmann::json Result() const;             // result.json
  std::string ResultWeights() const;         // Bytes of result/model.safetensors.

  const std::filesystem::path directory;
};

// Options under which the tiny model does 60 steps in a second or two, on one thread so that sums are bitwise the same.
TrainerOptions QuickOptions();

}  // namespace tandem
