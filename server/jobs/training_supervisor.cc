// The supervisor thread: takes the oldest queued job, runs its trainer to an end, and settles the job.

#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <spdlog/spdlog.h>

#include "absl/time/clock.h"
#include "server/base/job_directory.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/jobs/job_events.h"
#include "server/jobs/job_plan.h"
#include "server/jobs/trainer_process.h"
#include "server/jobs/training_jobs_rep.h"

namespace tandem {

namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(50);         // How soon an exit or a cancel is seen.
constexpr absl::Duration kCheckEvery = absl::Milliseconds(500);  // Memory and events.
constexpr absl::Duration kIdleWait = absl::Seconds(5);
constexpr absl::Duration kRetryStore = absl::Seconds(1);

int64_t MebiBytes(int64_t bytes) { return bytes >> 20; }

int64_t EventBytes(const std::filesystem::path& job_directory) {
  std::error_code error;
  const auto size = std::filesystem::file_size(job_directory / kEventsFile, error);
  return error ? 0 : static_cast<int64_t>(size);
}

}  // namespace

void TrainingJobs::Rep::Supervise() {
  while (true) {
    {
      absl::MutexLock lock(&mutex);
      work_came = false;
    }
    if (std::optional<JobRecord> job = TakeQueued()) {
      RunJob(*std::move(job));
      absl::MutexLock lock(&mutex);
      running_tenant.clear();
      running_id.clear();
      continue;
    }
    absl::MutexLock lock(&mutex);
    if (stopping) return;
    if (!work_came) changed.WaitWithTimeout(&mutex, kIdleWait);
  }
}

std::optional<JobRecord> TrainingJobs::Rep::TakeQueued() {
  JobRecord job;
  {
    absl::MutexLock lock(&mutex);
    if (stopping) return std::nullopt;
    absl::StatusOr<std::vector<JobRecord>> queued = store->AllJobs(JobState::kQueued);
    if (!queued.ok()) spdlog::error("training jobs: the queue cannot be read: {}", queued.status().ToString());
    if (!queued.ok() || queued->empty()) return std::nullopt;
    job = std::move(queued->front());
    ++job.attempt;
    job.start_time = job.start_time.value_or(absl::Now());
    running_tenant = job.tenant;
    running_id = job.id;
    cancel_running = false;
  }
  // A cancel between here and the row's change makes it CANCELLED, and the step to RUNNING is refused.
  const absl::Status status = SetState(job, JobState::kRunning, absl::OkStatus());
  if (status.ok()) return job;
  if (!absl::IsFailedPrecondition(status)) {
    spdlog::error("jobs/{}: cannot be started: {}", job.id, status.ToString());
    // Fails the job when its row was stored and its event was not; else it stays queued and is tried again.
    SetState(job, JobState::kFailed, status).IgnoreError();
  }
  absl::MutexLock lock(&mutex);
  running_tenant.clear();
  running_id.clear();
  return std::nullopt;
}

void TrainingJobs::Rep::RunJob(JobRecord job) {
  spdlog::info("jobs/{}: attempt {} begins", job.id, job.attempt);
  int deaths = 0;
  if (const absl::StatusOr<int> before = CountDeaths(DirectoryOf(job)); before.ok()) deaths = *before;
  while (true) {
    const AttemptEnd end = RunAttempt(job);
    if (end.kind != AttemptEnd::Kind::kDied) return Settle(job, end);
    if (++deaths >= options.max_attempts) {
      const std::string message =
          Concat("the trainer died ", deaths, " times, the limit; the last time it ", end.error.message());
      return Settle(job, {AttemptEnd::Kind::kFailed, absl::InternalError(message)});
    }
    BeginNextAttempt(job, end.error);
  }
}

void TrainingJobs::Rep::BeginNextAttempt(JobRecord& job, const absl::Status& death) {
  const std::string text =
      Concat("attempt ", job.attempt, ": the trainer ", death.message(), "; starting again from its last checkpoint");
  spdlog::warn("jobs/{}: {}", job.id, text);
  {
    absl::MutexLock lock(&mutex);
    const absl::Status appended = AppendDeathEvent(DirectoryOf(job), job.attempt, text);
    if (!appended.ok()) spdlog::error("jobs/{}: {}", job.id, appended.ToString());
  }
  ++job.attempt;
  const absl::Status status = SetState(job, JobState::kRunning, absl::OkStatus());
  if (!status.ok()) spdlog::error("jobs/{}: {}", job.id, status.ToString());
}

AttemptEnd TrainingJobs::Rep::RunAttempt(const JobRecord& job) {
  absl::StatusOr<TrainerProcess> process =
      TrainerProcess::Start(options.trainer_binary, DirectoryOf(job), options.trainer_threads);
  if (!process.ok()) return {AttemptEnd::Kind::kFailed, process.status()};
  return WatchProcess(*process, job);
}

TrainingJobs::Rep::Ending TrainingJobs::Rep::WaitAndAsk() {
  absl::MutexLock lock(&mutex);
  if (!stopping && !cancel_running) changed.WaitWithTimeout(&mutex, kPoll);
  if (cancel_running) return Ending::kCancel;
  return stopping ? Ending::kStop : Ending::kNone;
}

AttemptEnd TrainingJobs::Rep::WatchProcess(TrainerProcess& process, const JobRecord& job) {
  const std::filesystem::path directory = DirectoryOf(job);
  Ending ending = Ending::kNone;
  absl::Time kill_time = absl::InfiniteFuture(), next_check = absl::Now(), last_event = absl::Now();
  int64_t event_bytes = EventBytes(directory), resident_bytes = 0;
  while (true) {
    if (const std::optional<TrainerEnd> end = process.Poll()) return Judge(*end, ending, resident_bytes, job);
    const Ending asked = WaitAndAsk();
    const absl::Time now = absl::Now();
    if (asked != Ending::kNone && ending == Ending::kNone) {
      ending = asked;
      process.Terminate();
      kill_time = now + options.stop_grace;
    }
    if (ending != Ending::kNone) {
      if (now >= kill_time) process.Kill();
      absl::SleepFor(absl::Milliseconds(10));  // WaitAndAsk does not wait while it has an answer.
      continue;
    }
    if (now < next_check) continue;
    next_check = now + kCheckEvery;
    resident_bytes = process.ResidentBytes();
    if (const int64_t bytes = EventBytes(directory); bytes != std::exchange(event_bytes, bytes)) last_event = now;
    if (options.trainer_memory_bytes > 0 && resident_bytes > options.trainer_memory_bytes) ending = Ending::kMemory;
    if (ending == Ending::kNone && now - last_event > options.hang_limit) ending = Ending::kHang;
    if (ending != Ending::kNone) kill_time = now;
  }
}

AttemptEnd TrainingJobs::Rep::Judge(const TrainerEnd& end, Ending ending, int64_t resident_bytes,
                                    const JobRecord& job) const {
  using Kind = AttemptEnd::Kind;
  if (end.exit_code == kTrainerDone) return {Kind::kDone, absl::OkStatus()};
  if (ending == Ending::kCancel) return {Kind::kCancelled, absl::OkStatus()};
  if (end.exit_code == kTrainerFailed) return {Kind::kFailed, ReadFailure(DirectoryOf(job))};
  switch (ending) {
    case Ending::kMemory:
      return {Kind::kFailed,
              absl::ResourceExhaustedError(Concat("the trainer used ", MebiBytes(resident_bytes),
                                                  " MiB of memory, limit ", MebiBytes(options.trainer_memory_bytes),
                                                  " MiB; a smaller batch_size or max_length needs less"))};
    case Ending::kStop:
      return {Kind::kStopped, absl::OkStatus()};
    case Ending::kHang:
      return {Kind::kDied, absl::InternalError(Concat("wrote no event for ", absl::FormatDuration(options.hang_limit),
                                                      " and was killed"))};
    case Ending::kNone:
    case Ending::kCancel:
      break;
  }
  return {Kind::kDied, absl::InternalError(Concat(end.Describe(), ", last words: ", LastLogLine(DirectoryOf(job))))};
}

void TrainingJobs::Rep::Settle(const JobRecord& job, const AttemptEnd& end) {
  absl::Status status;
  JobState state = JobState::kFailed;
  absl::Status error = end.error;
  switch (end.kind) {
    case AttemptEnd::Kind::kDone: {
      const absl::StatusOr<JobRecord> finished = PublishResult(options.data_directory, job, store);
      if (finished.ok()) {
        spdlog::info("jobs/{}: done, {}", job.id, finished->result_revision);
        status = RecordFinalState(*finished);
        if (!status.ok()) spdlog::error("jobs/{}: {}", job.id, status.ToString());
        return;
      }
      error = finished.status();
      break;
    }
    case AttemptEnd::Kind::kCancelled:
      state = JobState::kCancelled;
      break;
    case AttemptEnd::Kind::kStopped:
      state = JobState::kQueued;
      break;
    case AttemptEnd::Kind::kFailed:
    case AttemptEnd::Kind::kDied:
      break;
  }
  spdlog::info("jobs/{}: ends attempt {} in state {} {}", job.id, job.attempt, static_cast<int>(state),
               error.ToString());
  // A full disk must not leave the job RUNNING for ever: again until it is stored; a restart would also settle it.
  while (true) {
    status = SetState(job, state, error);
    const absl::StatusOr<JobRecord> row = store->GetJob(job.tenant, job.id);
    if (status.ok() || (row.ok() && row->state == state) || absl::IsNotFound(row.status())) break;
    spdlog::error("jobs/{}: state cannot be stored: {}", job.id, status.ToString());
    absl::MutexLock lock(&mutex);
    if (stopping) return;
    changed.WaitWithTimeout(&mutex, kRetryStore);
  }
}

}  // namespace tandem
