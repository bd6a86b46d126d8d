#pragma once
// What TrainingJobs' methods and its supervisor thread share.
//
// `mutex` makes each change of a job one step: read the row, change it, store it, append the event. It is never held
// while a trainer is waited for or a result is published.
//
// Three threads: the supervisor, which runs one trainer after the other, the publisher, for results that could not be
// published at once, and the worker, which runs the jobs that are no trainings (server_job.h) one after the other. A
// job is in the hands of one of them.

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

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

// The longest time for which a job is put aside.
inline constexpr absl::Duration kLongestRetry = absl::Minutes(1);

// How one attempt ended.
struct AttemptEnd {
  // kStopped: by tandemd or by another's SIGTERM. kNotStarted: for a reason that may pass.
  enum class Kind { kDone, kFailed, kCancelled, kStopped, kDied, kNotStarted };
  Kind kind = Kind::kDied;
  absl::Status error;  // Of kFailed, kDied and kNotStarted.
};

// A trainer that is done and whose result could not be published. The job's row is RUNNING.
struct UnpublishedResult {
  JobRecord job;
  absl::Duration delay;
  absl::Time next_try;
};

struct TrainingJobs::Rep {
  Rep(const TrainingJobsOptions& options_in, MetaStore* store_in, ServerJobBodies bodies_in);

  std::filesystem::path DirectoryOf(const JobRecord& job) const;

  // Stores the row of a job whose directory is there.
  absl::StatusOr<JobRecord> Enqueue(const JobRecord& job, const MetaStore::Request* idempotency);

  // Start: what the last server left behind.
  absl::Status RemoveOrphans();
  absl::Status Recover(const JobRecord& job);  // Errors of the store only: one job's trouble ends that job.

  // What the supervisor, or the worker, has to do. `aside` is of that thread alone, the rest is guarded by `mutex`.
  struct Lane {
    const bool trains;                                 // Which kinds of jobs it takes.
    bool work_came = false;                            // Since the thread last looked at the queue.
    std::string running_tenant = "", running_id = "";  // Empty: none.
    bool cancel_running = false;
    // Queued jobs, by tenant and id, that are not to be tried before a time.
    struct Aside {
      absl::Duration delay;
      absl::Time until;
    };
    std::map<std::pair<std::string, std::string>, Aside> aside = {};

    bool Takes(JobKind kind) const { return trains == (kind == JobKind::kTrain); }
    bool Runs(std::string_view tenant, std::string_view id) const {
      return running_tenant == tenant && running_id == id;
    }
  };
  // The loop of both threads.
  void WorkOff(Lane& lane);
  std::optional<JobRecord> TakeQueued(Lane& lane);
  bool SetRunning(Lane& lane, const JobRecord& job);  // False: it was cancelled or put aside, or has failed.
  std::optional<JobRecord> FindReady(Lane& lane, const std::vector<JobRecord>& queued);
  void PutAside(Lane& lane, const JobRecord& job, const absl::Status& error);  // REQUIRES: the job is to be QUEUED.
  absl::Duration IdleWait(const Lane& lane) const;
  void RecordDeath(const JobRecord& job, const std::string& text);

  // The worker thread.
  void RunServerJob(const JobRecord& job);
  absl::StatusOr<std::string> RunBody(const JobRecord& job);
  absl::Status AskedToEnd();  // CANCELLED, UNAVAILABLE or OK.
  void SettleServerJob(const JobRecord& job, const absl::StatusOr<std::string>& result);
  void SettleFailure(const JobRecord& job, const absl::Status& error);

  // The supervisor thread.
  void RunTraining(JobRecord job);
  AttemptEnd RunAttempt(const JobRecord& job);
  AttemptEnd WatchProcess(TrainerProcess& process, const JobRecord& job, std::optional<int64_t> oom_kills);
  // Why a trainer that runs was told to end.
  enum class Ending { kNone, kStop, kCancel, kBusyHang, kIdleHang, kMemory };
  Ending WaitAndAsk();  // kStop, kCancel or kNone, after a moment.
  // What was seen of a trainer while it ran.
  struct Watched {
    Ending ending = Ending::kNone;
    int64_t resident_bytes = 0;        // At the last look.
    std::optional<int64_t> oom_kills;  // Before it started, see oom_kills.h.
  };
  AttemptEnd Judge(const TrainerEnd& end, const Watched& seen, const JobRecord& job) const;
  absl::Status DeathOf(const TrainerEnd& end, const Watched& seen, const JobRecord& job) const;
  void BeginNextAttempt(JobRecord& job);
  void Settle(const JobRecord& job, const AttemptEnd& end);
  void SettleState(const JobRecord& job, JobState state, const absl::Status& error);
  void Pause();  // A moment, or until something changes.

  // Publishes the result, or hands it to the publisher, so that no training is lost.
  void SettleDone(const JobRecord& job);
  bool TryPublish(const JobRecord& job);  // False: an error that may pass.
  void PublishLater(UnpublishedResult result);

  // The publisher thread. While stopping, an unpublished job stays RUNNING for the next Start.
  void RetryPublications();
  std::optional<UnpublishedResult> WaitForUnpublished();  // nullopt: stopping.

  // The row gets `state` (and error, end_time when it is final, and job.result_json when it is kSucceeded), and the log
  // its event. A job that is to be cancelled does not go back into the queue: it becomes kCancelled instead, unless it
  // has begun to append what it made.
  absl::Status SetState(const JobRecord& job, JobState state, const absl::Status& error) ABSL_LOCKS_EXCLUDED(mutex);
  // SetState, for which the row alone counts: an event that cannot be written is logged. Cleans up a finished job.
  absl::Status StoreState(const JobRecord& job, JobState state, const absl::Status& error) ABSL_LOCKS_EXCLUDED(mutex);
  // Appends the event of a finished job's state unless it is there: a crash may have come between row and event.
  absl::Status RecordFinalState(const JobRecord& job) ABSL_LOCKS_EXCLUDED(mutex);

  const TrainingJobsOptions options;
  MetaStore* const store;

  const ServerJobBodies bodies;

  absl::Mutex mutex;
  absl::CondVar changed;  // Work came, cancel or stop was asked, an event was appended here.
  bool stopping ABSL_GUARDED_BY(mutex) = false;
  std::vector<UnpublishedResult> unpublished ABSL_GUARDED_BY(mutex);
  Lane trainings{.trains = true}, server_jobs{.trains = false};
  std::thread supervisor, publisher, worker;
};

}  // namespace tandem
