#pragma once
// Training and the jobs that it makes. Names may be short ("j1") or full ("jobs/j1"). Thread-safe.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/connection.h"
#include "client/progress.h"
#include "tandem/v1/job.grpc.pb.h"
#include "tandem/v1/training.grpc.pb.h"

namespace tandem {

bool IsFinished(v1::Job::State state);

class Jobs {
 public:
  explicit Jobs(std::shared_ptr<const Connection> connection);

  // Starts a training job; names of models and datasets in the request may be short. Watch it to its end.
  absl::StatusOr<v1::Job> Train(v1::TrainRequest request) const;
  // Checks the same request, and says what it would come to.
  absl::StatusOr<v1::TrainingEstimate> EstimateTraining(v1::TrainRequest request) const;
  // Starts a job that searches hard negatives; names in the request may be short. Its result is in Job.mining.
  absl::StatusOr<v1::Job> MineNegatives(v1::MineNegativesRequest request) const;

  absl::StatusOr<v1::Job> Get(absl::string_view job) const;
  absl::StatusOr<std::vector<v1::Job>> List(size_t limit) const;  // Newest first; 0 is all.
  absl::StatusOr<v1::Job> Cancel(absl::string_view job) const;
  absl::Status Delete(absl::string_view job) const;

  // Gives `on_event` each event after `after_sequence` once, and heartbeats, until the job is finished; returns the
  // finished job, which may well be FAILED. Broken streams are resumed.
  absl::StatusOr<v1::Job> Watch(absl::string_view job, int64_t after_sequence,
                                const std::function<void(const v1::JobEvent&)>& on_event,
                                const OnResume& on_resume = {}) const;

  // The events up to now, without waiting for more.
  absl::StatusOr<std::vector<v1::JobEvent>> Events(absl::string_view job) const;

 private:
  // One WatchJob stream; OK when the server ended it, or when the event `until` was seen. `last` is the sequence seen
  // last.
  absl::Status WatchStream(const std::string& name, int64_t until, int64_t* last,
                           const std::function<void(const v1::JobEvent&)>& on_event) const;

  std::shared_ptr<const Connection> connection_;
  std::shared_ptr<v1::JobService::Stub> stub_;
  std::shared_ptr<v1::TrainingService::Stub> training_stub_;
};

}  // namespace tandem
