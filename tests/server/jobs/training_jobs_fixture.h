#pragma once
// A data directory with a base revision and datasets whose first anchor tells tests/support/fake_trainer.cc what to do.

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/jobs/training_jobs.h"

namespace tandem {

inline std::unique_ptr<MetaStore> OpenStore(const std::filesystem::path& data) {
  return MetaStore::Open(data / "meta.db").value();
}

inline TrainingJobsOptions OptionsFor(const std::filesystem::path& data) {
  TrainingJobsOptions options;
  options.data_directory = data;
  options.trainer_binary = FAKE_TRAINER;
  options.stop_grace = absl::Seconds(10);
  return options;
}

inline void AddPairs(MetaStore& store, const std::string& dataset, const std::string& behaviour) {
  ASSERT_TRUE(store.CreateDataset("t", dataset, "", nullptr).ok());
  const std::vector<Example> pairs = {{.anchor = behaviour, .positives = {"p1"}},
                                      {.anchor = "a2", .positives = {"p2"}}};
  ASSERT_TRUE(store.AppendExamples("t", dataset, {}, pairs, "").ok());
}

inline TrainingJobRequest RequestFor(const std::string& dataset) {
  TrainingJobRequest request;
  request.tenant = "t";
  request.base_model = "base";
  request.base_revision = "r1";
  request.sources = {{dataset, std::nullopt}};
  request.target_model = "tuned";
  return request;
}

class TrainingJobsFixture : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/jobs-XXXXXX";
    data_ = mkdtemp(pattern.data());
    store_ = OpenStore(data_);
    ModelRevisionRecord base;
    base.tenant = "t";
    base.model = "base";
    base.id = "r1";
    base.create_time = absl::Now();
    base.architecture = "BertModel";
    base.contract.max_length = 128;
    base.contract.dimensions = 384;
    ASSERT_TRUE(store_->AddModelRevision(base).ok());
  }
  void TearDown() override {
    jobs_.reset();
    store_.reset();
    std::filesystem::remove_all(data_);
  }

  void StartJobs(const TrainingJobsOptions& options) {
    jobs_ = std::make_unique<TrainingJobs>(options, store_.get(), bodies_);
    const absl::Status status = jobs_->Start();
    ASSERT_TRUE(status.ok()) << status;
  }
  void StartJobs() { StartJobs(OptionsFor(data_)); }

  std::string SubmitBehaviour(const std::string& behaviour, const std::string& dataset = "d",
                              const std::string& target_model = "tuned") {
    AddPairs(*store_, dataset, behaviour);
    TrainingJobRequest request = RequestFor(dataset);
    request.target_model = target_model;
    return jobs_->Submit(request, nullptr).value().id;
  }

  // Watches the job to its end; all events after `after`.
  std::vector<nlohmann::json> EventsOf(const std::string& id, int64_t after = 0) {
    std::vector<nlohmann::json> events;
    const absl::Status status = jobs_->Watch("t", id, after, [&](const nlohmann::json& event) {
      if (event["type"] != "heartbeat") events.push_back(event);
      return true;
    });
    EXPECT_TRUE(status.ok()) << status;
    return events;
  }
  JobRecord FinishedJob(const std::string& id) {
    EventsOf(id);
    return store_->GetJob("t", id).value();
  }
  bool WaitForStep(const std::string& id) {
    for (int i = 0; i < 3000; ++i) {
      if (jobs_->Progress("t", id).value().step > 0) return true;
      absl::SleepFor(absl::Milliseconds(10));
    }
    return false;
  }
  // Waits until it holds, a minute at most.
  static bool Comes(const std::function<bool()>& condition) {
    for (int i = 0; i < 6000 && !condition(); ++i) absl::SleepFor(absl::Milliseconds(10));
    return condition();
  }
  JobState StateOf(const std::string& id) { return store_->GetJob("t", id).value().state; }
  bool Becomes(const std::string& id, JobState state) {
    return Comes([&] { return StateOf(id) == state; });
  }
  // Of the trainer that runs or ran last.
  pid_t TrainerOf(const std::string& id) const {
    std::ifstream lock(DirectoryOf(id) / "lock");
    pid_t trainer = 0;
    EXPECT_TRUE(lock >> trainer);
    return trainer;
  }
  std::filesystem::path DirectoryOf(const std::string& id) const { return data_ / "jobs" / "t" / id; }

  std::filesystem::path data_;
  std::unique_ptr<MetaStore> store_;
  ServerJobBodies bodies_;
  std::unique_ptr<TrainingJobs> jobs_;
};

// The texts of the deaths in a log.
inline std::vector<std::string> DeathsOf(const std::vector<nlohmann::json>& events) {
  std::vector<std::string> deaths;
  for (const nlohmann::json& event : events) {
    if (event.contains("death")) deaths.push_back(event["text"].get<std::string>());
  }
  return deaths;
}

// The states that a log went through, in order.
inline std::vector<int> StatesOf(const std::vector<nlohmann::json>& events) {
  std::vector<int> states;
  for (const nlohmann::json& event : events) {
    if (event["type"] == "state") states.push_back(event["state"].get<int>());
  }
  return states;
}

}  // namespace tandem
