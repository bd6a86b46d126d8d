#pragma once
// What TrainingJobs' methods and its supervisor thread share.
//
// `mutex` makes each change of a job one step: read the row, change it, store it, append the event. It is never held
// while a trainer is waited for or a result is published.

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "server/jobs/training_jobs.h"

namespace tandem {

class TrainerProcess;
struct TrainerEnd;

// Whether it fails the same way when it is tried again.
inline bool IsLasting(const absl::Status& error) {
  return absl::IsDataLoss(error) || absl::IsNotFound(error) || absl::IsAlreadyExists(error) ||
         absl::IsInvalidArgument(error);
}

// How one attempt ended.
struct AttemptEnd {
  enum class Kind { kDone, kFailed, kCancelled, kStopped, kDied };  // kStopped: by tandemd or by another's SIGTERM.
  Kind kind = Kind::kDied;
  absl::Status error;  // Of kFailed and kDied.
};

struct TrainingJobs::Rep {
  Rep(const TrainingJobsOptions& options_in, MetaStore* store_in) : options(options_in), store(store_in) {}

  std::filesystem::path DirectoryOf(const JobRecord& job) const;

  // Start: what the last server left behind.
  absl::Status RemoveOrphans();
  absl::Status Recover(const JobRecord& job);  // Errors of the store only: one job's trouble ends that job.

  // The supervisor thread.
  void Supervise();
  std::optional<JobRecord> TakeQueued();
  void RunJob(JobRecord job);
  AttemptEnd RunAttempt(const JobRecord& job);
  AttemptEnd WatchProcess(TrainerProcess& process, const JobRecord& job);
  // Why a trainer that runs was told to end.
  enum class Ending { kNone, kStop, kCancel, kBusyHang, kIdleHang, kMemory };
  Ending WaitAndAsk();  // kStop, kCancel or kNone, after a moment.
  AttemptEnd Judge(const TrainerEnd& end, Ending ending, int64_t resident_bytes, const JobRecord& job) const;
  void BeginNextAttempt(JobRecord& job, const absl::Status& death);
  void Settle(const JobRecord& job, const AttemptEnd& end);
  // Publishes the result. An error that may pass is tried again until it does, so that no training is lost; while
  // stopping the job stays RUNNING for the next Start, and a cancel ends it.
  void SettleDone(const JobRecord& job);
  void SettleState(const JobRecord& job, JobState state, const absl::Status& error);
  void Pause();  // A moment, or until something changes.

  // The row gets `state` (and error, and end_time when it is final), and the log its event.
  // A job that is to be cancelled does not go back into the queue: it becomes kCancelled instead.
  absl::Status SetState(const JobRecord& job, JobState state, const absl::Status& error) ABSL_LOCKS_EXCLUDED(mutex);
  // SetState, for which the row alone counts: an event that cannot be written is logged. Cleans up a finished job.
  absl::Status StoreState(const JobRecord& job, JobState state, const absl::Status& error) ABSL_LOCKS_EXCLUDED(mutex);
  // Appends the event of a finished job's state unless it is there: a crash may have come between row and event.
  absl::Status RecordFinalState(const JobRecord& job) ABSL_LOCKS_EXCLUDED(mutex);

  const TrainingJobsOptions options;
  MetaStore* const store;

  absl::Mutex mutex;
  absl::CondVar changed;  // Work came, cancel or stop was asked, an event was appended here.
  bool stopping ABSL_GUARDED_BY(mutex) = false;
  bool work_came ABSL_GUARDED_BY(mutex) = false;  // Since the supervisor last looked at the queue.
  std::string running_tenant ABSL_GUARDED_BY(mutex), running_id ABSL_GUARDED_BY(mutex);  // Empty: none.
  bool cancel_running ABSL_GUARDED_BY(mutex) = false;
  std::thread supervisor;
};

}  // namespace tandem
