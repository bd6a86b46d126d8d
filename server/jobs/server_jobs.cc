// The worker thread: runs the body of a job that is no training, and settles the job.

#include <memory>
#include <string>
#include <utility>

#include <spdlog/spdlog.h>

#include "absl/time/clock.h"
#include "server/base/event_log.h"
#include "server/base/files.h"
#include "server/base/job_directory.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/jobs/job_events.h"
#include "server/jobs/job_plan.h"
#include "server/jobs/training_jobs_rep.h"

namespace tandem {

namespace {

constexpr absl::Duration kEventEvery = absl::Seconds(2);

// The events of one attempt; one that cannot be written is logged.
class AttemptEvents {
 public:
  AttemptEvents(const JobRecord& job, std::unique_ptr<EventWriter> writer) : job_(job), writer_(std::move(writer)) {}

  void Append(nlohmann::json event) {
    const absl::Status status = writer_->Append(std::move(event));
    if (!status.ok()) spdlog::error("jobs/{}: {}", job_.id, status.ToString());
  }

  // Unless one was written a moment ago and there is more to come.
  void AppendProgress(int64_t step, int64_t total_steps) {
    const absl::Time now = absl::Now();
    if (now < next_progress_ && step != total_steps) return;
    next_progress_ = now + kEventEvery;
    Append({{"type", "progress"}, {"step", step}, {"total_steps", total_steps}});
  }

 private:
  const JobRecord& job_;
  const std::unique_ptr<EventWriter> writer_;
  absl::Time next_progress_ = absl::InfinitePast();
};

absl::StatusOr<ServerJobBody> BodyOf(const ServerJobBodies& bodies, JobKind kind) {
  switch (kind) {
    case JobKind::kMineNegatives:
      return bodies.mine_negatives;
    case JobKind::kAnalyzeDataset:
      return bodies.analyze_dataset;
    case JobKind::kCompareReleases:
      return bodies.compare_releases;
    case JobKind::kCreateSnapshot:
      return bodies.create_snapshot;
    case JobKind::kRestoreSnapshot:
      return bodies.restore_snapshot;
    case JobKind::kTrain:
      break;
  }
  return absl::DataLossError(Concat("a job of kind ", static_cast<int>(kind), ", which this server does not run"));
}

}  // namespace

void TrainingJobs::Rep::RunServerJob(const JobRecord& job) {
  spdlog::info("jobs/{}: attempt {} begins", job.id, job.attempt);
  SettleServerJob(job, RunBody(job));
}

absl::StatusOr<std::string> TrainingJobs::Rep::RunBody(const JobRecord& job) {
  ASSIGN_OR_RETURN(const ServerJobBody body, BodyOf(bodies, job.kind));
  const std::filesystem::path directory = DirectoryOf(job);
  RETURN_IF_ERROR(CreateDirectories(directory / kWorkDirectory));
  ASSIGN_OR_RETURN(std::unique_ptr<EventWriter> writer, EventWriter::Open(directory / kEventsFile, job.attempt));
  AttemptEvents events(job, std::move(writer));
  return body({.record = job,
               .directory = directory / kWorkDirectory,
               .progress =
                   [&](int64_t step, int64_t total_steps) {
                     events.AppendProgress(step, total_steps);
                     return AskedToEnd();
                   },
               .message =
                   [&](const std::string& text) {
                     events.Append({{"type", "message"}, {"text", text}});
                   }});
}

absl::Status TrainingJobs::Rep::AskedToEnd() {
  absl::MutexLock lock(&mutex);
  // Before a cancel, which is not forgotten: SetState does not put such a job back into the queue.
  if (stopping) return absl::UnavailableError("the server stops");
  if (server_jobs.cancel_running) return absl::CancelledError("the job is to be cancelled");
  return absl::OkStatus();
}

void TrainingJobs::Rep::SettleServerJob(const JobRecord& job, const absl::StatusOr<std::string>& result) {
  spdlog::info("jobs/{}: ends attempt {} {}", job.id, job.attempt, result.status().ToString());
  if (result.ok()) {
    JobRecord done = job;
    done.result_json = *result;
    return SettleState(done, JobState::kSucceeded, absl::OkStatus());
  }
  if (absl::IsCancelled(result.status())) return SettleState(job, JobState::kCancelled, absl::OkStatus());
  if (absl::IsUnavailable(AskedToEnd())) return SettleState(job, JobState::kQueued, absl::OkStatus());
  SettleFailure(job, result.status());
}

void TrainingJobs::Rep::SettleFailure(const JobRecord& job, const absl::Status& error) {
  if (IsLasting(error) || absl::IsFailedPrecondition(error)) return SettleState(job, JobState::kFailed, error);
  const absl::StatusOr<int> before = CountDeaths(DirectoryOf(job));
  const int deaths = 1 + (before.ok() ? *before : 0);
  if (deaths >= options.max_attempts) {
    const std::string message = Concat("failed ", deaths, " times, the limit; the last time: ", error.message());
    return SettleState(job, JobState::kFailed, absl::Status(error.code(), message));
  }
  RecordDeath(job, Concat(error.message(), "; trying again later"));
  SettleState(job, JobState::kQueued, absl::OkStatus());
  PutAside(server_jobs, job, error);
}

}  // namespace tandem
