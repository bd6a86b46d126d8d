#include "server/jobs/training_jobs.h"

#include <utility>
#include <vector>

#include <spdlog/spdlog.h>

#include "absl/time/clock.h"
#include "server/base/event_log.h"
#include "server/base/files.h"
#include "server/base/ids.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/base/thread_priority.h"
#include "server/jobs/job_events.h"
#include "server/jobs/job_plan.h"
#include "server/jobs/oom_kills.h"
#include "server/jobs/training_jobs_rep.h"

namespace tandem {

namespace {

constexpr absl::Duration kWatchPoll = absl::Milliseconds(200);
constexpr absl::Duration kHeartbeat = absl::Seconds(5);

}  // namespace

TrainingJobs::TrainingJobs(const TrainingJobsOptions& options, MetaStore* store, ServerJobBodies bodies)
    : rep_(std::make_unique<Rep>(options, store, std::move(bodies))) {}

TrainingJobs::~TrainingJobs() { Shutdown(); }

absl::Status TrainingJobs::Start() {
  RETURN_IF_ERROR(CreateDirectories(rep_->options.data_directory / "jobs"));
  RETURN_IF_ERROR(rep_->RemoveOrphans());
  ASSIGN_OR_RETURN(const std::vector<JobRecord> running, rep_->store->AllJobs(JobState::kRunning));
  for (const JobRecord& job : running) RETURN_IF_ERROR(rep_->Recover(job));
  rep_->supervisor = std::thread([rep = rep_.get()] { rep->WorkOff(rep->trainings); });
  rep_->publisher = std::thread([rep = rep_.get()] { rep->RetryPublications(); });
  rep_->worker = std::thread([rep = rep_.get()] {
    GiveWay();
    rep->WorkOff(rep->server_jobs);
  });
  return absl::OkStatus();
}

void TrainingJobs::Shutdown() {
  {
    absl::MutexLock lock(&rep_->mutex);
    rep_->stopping = true;
    rep_->changed.SignalAll();
  }
  if (rep_->supervisor.joinable()) rep_->supervisor.join();
  if (rep_->publisher.joinable()) rep_->publisher.join();
  if (rep_->worker.joinable()) rep_->worker.join();
}

absl::StatusOr<JobRecord> TrainingJobs::Submit(const TrainingJobRequest& request,
                                               const MetaStore::Request* idempotency) {
  ASSIGN_OR_RETURN(const JobRecord job, WriteJobDirectory(rep_->options, request, rep_->store));
  return rep_->Enqueue(job, idempotency);
}

absl::StatusOr<JobRecord> TrainingJobs::Submit(JobRecord job, const MetaStore::Request* idempotency,
                                               std::string_view input) {
  job.id = NewId();
  job.create_time = absl::Now();
  RETURN_IF_ERROR(WriteServerJobDirectory(rep_->options, job, input));
  return rep_->Enqueue(job, idempotency);
}

absl::StatusOr<JobRecord> TrainingJobs::Rep::Enqueue(const JobRecord& job, const MetaStore::Request* idempotency) {
  std::optional<MetaStore::Request> answered;
  if (idempotency != nullptr) {
    answered = *idempotency;
    answered->answer = Concat("jobs/", job.id);
  }
  const absl::Status created = store->CreateJob(job, answered ? &*answered : nullptr);
  if (!created.ok()) {
    RemoveTree(DirectoryOf(job)).IgnoreError();  // Without a row, the next Start removes it.
    return created;
  }
  absl::MutexLock lock(&mutex);
  for (Lane* const lane : {&trainings, &server_jobs}) lane->work_came = true;
  changed.SignalAll();
  return job;
}

absl::StatusOr<TrainingEstimate> TrainingJobs::Estimate(const TrainingJobRequest& request) {
  return EstimateTraining(rep_->options, request, rep_->store);
}

absl::StatusOr<JobRecord> TrainingJobs::Cancel(std::string_view tenant, std::string_view id) {
  JobRecord job;
  {
    absl::MutexLock lock(&rep_->mutex);
    ASSIGN_OR_RETURN(job, rep_->store->GetJob(tenant, id));
    if (IsFinished(job.state)) return job;
    job.cancel_requested = true;
    if (job.state == JobState::kQueued && job.result_json.empty()) {
      job.state = JobState::kCancelled;
      job.end_time = absl::Now();
    }
    const absl::Status stored = rep_->store->UpdateJob(job);
    // Its result was published after the row was read.
    if (absl::IsFailedPrecondition(stored)) return rep_->store->GetJob(tenant, id);
    RETURN_IF_ERROR(stored);
    for (Rep::Lane* const lane : {&rep_->trainings, &rep_->server_jobs}) {
      if (lane->Runs(tenant, id)) lane->cancel_running = true;
    }
    for (UnpublishedResult& result : rep_->unpublished) {
      if (result.job.tenant == tenant && result.job.id == id) result.next_try = absl::InfinitePast();
    }
    rep_->changed.SignalAll();
  }
  if (IsFinished(job.state)) {
    RemoveCheckpoints(rep_->DirectoryOf(job));
    RETURN_IF_ERROR(rep_->RecordFinalState(job));
  }
  return job;
}

absl::Status TrainingJobs::Delete(std::string_view tenant, std::string_view id) {
  absl::MutexLock lock(&rep_->mutex);
  RETURN_IF_ERROR(rep_->store->DeleteJob(tenant, id));
  return RemoveTree(JobDirectory(rep_->options.data_directory, tenant, id));
}

absl::StatusOr<JobProgress> TrainingJobs::Progress(std::string_view tenant, std::string_view id) {
  RETURN_IF_ERROR(rep_->store->GetJob(tenant, id).status());
  ASSIGN_OR_RETURN(const JobEventsTail tail, ReadEventsTail(JobDirectory(rep_->options.data_directory, tenant, id)));
  return JobProgress{tail.step, tail.total_steps, tail.last_sequence};
}

absl::Status TrainingJobs::Watch(std::string_view tenant, std::string_view id, int64_t after_sequence,
                                 const std::function<bool(const nlohmann::json&)>& send) {
  EventReader reader(JobDirectory(rep_->options.data_directory, tenant, id) / kEventsFile);
  for (absl::Time last_sent = absl::Now();;) {
    ASSIGN_OR_RETURN(const JobRecord job, rep_->store->GetJob(tenant, id));
    ASSIGN_OR_RETURN(const std::vector<nlohmann::json> events, reader.ReadNew());
    for (const nlohmann::json& event : events) {
      if (event["sequence"].get<int64_t>() > after_sequence) {
        if (!send(event)) return absl::OkStatus();
        last_sent = absl::Now();
      }
      if (IsFinalStateEvent(event)) return absl::OkStatus();
    }
    // The row was read before the log: a final row without its event is one whose event is not written yet.
    if (events.empty() && IsFinished(job.state)) RETURN_IF_ERROR(rep_->RecordFinalState(job));
    if (absl::Now() - last_sent >= kHeartbeat) {
      if (!send({{"type", "heartbeat"}})) return absl::OkStatus();
      last_sent = absl::Now();
    }
    absl::MutexLock lock(&rep_->mutex);
    if (rep_->stopping) return absl::UnavailableError("the server is shutting down");
    if (!reader.more()) rep_->changed.WaitWithTimeout(&rep_->mutex, kWatchPoll);
  }
}

TrainingJobs::Rep::Rep(const TrainingJobsOptions& options_in, MetaStore* store_in, ServerJobBodies bodies_in)
    : options([&] {
        TrainingJobsOptions completed = options_in;
        if (completed.oom_kills_file.empty()) completed.oom_kills_file = FindOomKillsFile();
        return completed;
      }()),
      store(store_in),
      bodies(std::move(bodies_in)) {}

std::filesystem::path TrainingJobs::Rep::DirectoryOf(const JobRecord& job) const {
  return JobDirectory(options.data_directory, job.tenant, job.id);
}

absl::Status TrainingJobs::Rep::SetState(const JobRecord& job, JobState state, const absl::Status& error) {
  absl::MutexLock lock(&mutex);
  ASSIGN_OR_RETURN(JobRecord row, store->GetJob(job.tenant, job.id));
  if (state == JobState::kQueued && row.cancel_requested && row.result_json.empty()) {
    state = JobState::kCancelled;  // Asked during a shutdown.
  }
  row.state = state;
  row.attempt = job.attempt;
  if (!row.start_time) row.start_time = job.start_time;
  if (IsFinished(state)) row.end_time = absl::Now();
  row.error_code = static_cast<int>(error.code());
  row.error_message = std::string(error.message());
  RETURN_IF_ERROR(state == JobState::kSucceeded ? store->FinishJob(row, job.result_json) : store->UpdateJob(row));
  changed.SignalAll();
  return AppendStateEvent(DirectoryOf(row), row.attempt, state);
}

absl::Status TrainingJobs::Rep::StoreState(const JobRecord& job, JobState state, const absl::Status& error) {
  const absl::Status status = SetState(job, state, error);
  ASSIGN_OR_RETURN(const JobRecord row, store->GetJob(job.tenant, job.id));
  if (!status.ok() && row.state != state && !IsFinished(row.state)) return status;
  if (!status.ok()) spdlog::error("jobs/{}: the event of its state cannot be written: {}", job.id, status.ToString());
  if (IsFinished(row.state)) RemoveCheckpoints(DirectoryOf(row));
  return absl::OkStatus();
}

absl::Status TrainingJobs::Rep::RecordFinalState(const JobRecord& job) {
  absl::MutexLock lock(&mutex);
  RETURN_IF_ERROR(store->GetJob(job.tenant, job.id).status());  // Deleted meanwhile: its directory is gone.
  ASSIGN_OR_RETURN(const JobEventsTail tail, ReadEventsTail(DirectoryOf(job)));
  if (tail.has_final_state) return absl::OkStatus();
  changed.SignalAll();
  return AppendStateEvent(DirectoryOf(job), job.attempt, job.state);
}

}  // namespace tandem
