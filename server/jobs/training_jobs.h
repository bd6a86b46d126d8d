#pragma once
// Jobs. Trainings: one tandem-trainer process per job, one job at a time, started, watched, retried and ended by one
// supervisor thread; a second thread publishes results that could not be published at once. The job's directory
// (server/base/job_directory.h) is the only channel. Knows nothing of torch. All other kinds run in this process, one
// at a time, beside a training: server_job.h.
//
// A trainer that dies without an exit code of its own (a signal, a crash) is started again from its last checkpoint
// until it has died max_attempts times; one that hangs is killed and counts as dead. On Shutdown a running trainer gets
// SIGTERM, checkpoints, and the job is kQueued again for the next start.
//
// A job that meets an error of this machine that may pass (a full disk, a file that cannot be opened, an old trainer
// that the kernel does not let go) is put aside for a growing while, and the jobs behind it run. A trainer that cannot
// be started for such a reason counts as dead.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/base/job_directory.h"
#include "server/jobs/server_job.h"
#include "server/jobs/training_estimate.h"
#include "server/storage/meta_store.h"

namespace tandem {

struct TrainingJobsOptions {
  std::filesystem::path data_directory;  // jobs/<tenant>/<id>/ and models/<tenant>/<model>/<revision>/ lie below it.
  std::filesystem::path trainer_binary;
  int trainer_threads = 2;
  int max_attempts = 3;
  // Hung: no event for this much CPU time of each of its threads; or no event and no CPU time at all for three times
  // this. A trainer that a busy machine keeps waiting is not hung.
  absl::Duration hang_limit = absl::Minutes(10);
  absl::Duration stop_grace = absl::Seconds(20);  // From SIGTERM, on which the trainer saves a checkpoint, to SIGKILL.
  int64_t trainer_memory_bytes = 0;  // Limit of resident memory of the trainer; 0: none. Over it: killed, job kFailed.
  absl::Duration old_trainer_limit = absl::Seconds(15);  // See EndOldTrainer.
  absl::Duration first_retry = absl::Seconds(1);         // Of a job that is put aside; doubles up to a minute.
  std::filesystem::path oom_kills_file;                  // Empty: FindOomKillsFile.
};

struct TrainingSource {
  std::string dataset;            // Id.
  std::optional<int64_t> commit;  // Not set: newest.
};

struct TrainingJobRequest {
  std::string tenant;
  std::string base_model, base_revision;  // Ids; the revision exists.
  std::vector<TrainingSource> sources;    // One for each of options.objectives.
  std::string target_model;               // Id.
  std::string validation_dataset;         // Id or empty.
  TrainerOptions options;                 // base_directory and threads are filled in here.
};

// How far a running job is; from its events.
struct JobProgress {
  int64_t step = 0, total_steps = 0;
  int64_t last_sequence = 0;
};

class TrainingJobs {
 public:
  TrainingJobs(const TrainingJobsOptions& options, MetaStore* store, ServerJobBodies bodies);  // `store` outlives this.
  ~TrainingJobs();                                                                             // Calls Shutdown.

  // Puts jobs that were running when the last server ended back into the queue, publishes results that were complete
  // but not recorded, and starts the threads.
  absl::Status Start();
  void Shutdown();

  // Checks the request with its examples (checked_request.h, job_examples.h), writes the job's directory, then the row.
  absl::StatusOr<JobRecord> Submit(const TrainingJobRequest& request, const MetaStore::Request* idempotency);
  // A job that is no training; `job` has its tenant, its kind, its plan in options_json, and what it uses; `input`,
  // when it is not empty, becomes the job's kInputFile. NOT_FOUND when something of what it uses is not there.
  absl::StatusOr<JobRecord> Submit(JobRecord job, const MetaStore::Request* idempotency, std::string_view input = "");
  // Checks the request as Submit does, and says what it would come to. Leaves nothing behind.
  absl::StatusOr<TrainingEstimate> Estimate(const TrainingJobRequest& request);
  absl::StatusOr<JobRecord> Cancel(std::string_view tenant, std::string_view id);
  absl::Status Delete(std::string_view tenant, std::string_view id);
  absl::StatusOr<JobProgress> Progress(std::string_view tenant, std::string_view id);

  // Calls `send` for each event after `after_sequence`, then for new ones as they come, and with a {"type":"heartbeat"}
  // when nothing came for 5 s; returns OK after the event of the final state, or when `send` returns false. Blocks the
  // calling thread. UNAVAILABLE when Shutdown begins; DATA_LOSS for a damaged event log. Safe to call for the same job
  // from many threads.
  absl::Status Watch(std::string_view tenant, std::string_view id, int64_t after_sequence,
                     const std::function<bool(const nlohmann::json&)>& send);

 private:
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

}  // namespace tandem
