// The supervisor thread: takes the oldest queued job, runs its trainer to an end, and settles the job.

#include <algorithm>
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
constexpr absl::Duration kRetry = absl::Seconds(1);
constexpr int kIdleHangLimits = 3;  // See TrainingJobsOptions::hang_limit.

int64_t MebiBytes(int64_t bytes) { return bytes >> 20; }

int64_t EventBytes(const std::filesystem::path& job_directory) {
  std::error_code error;
  const auto size = std::filesystem::file_size(job_directory / kEventsFile, error);
  return error ? 0 : static_cast<int64_t>(size);
}

// What a trainer did since its last event: CPU time that it used, and for how long it used none. Wall time alone says
// nothing, since a trainer at idle priority hardly runs while the server is busy.
class Silence {
 public:
  Silence(int64_t event_bytes, int threads) : event_bytes_(event_bytes), threads_(std::max(threads, 1)) {}

  void Update(int64_t event_bytes, absl::Duration cpu, absl::Time now) {
    if (cpu != std::exchange(cpu_, cpu)) last_run_ = now;
    if (event_bytes == std::exchange(event_bytes_, event_bytes)) return;
    last_run_ = now;
    cpu_at_event_ = cpu;
  }
  absl::Duration CpuTime() const { return (cpu_ - cpu_at_event_) / threads_; }  // A thread's share.
  absl::Duration IdleTime(absl::Time now) const { return now - last_run_; }

 private:
  int64_t event_bytes_;
  const int threads_;
  absl::Duration cpu_, cpu_at_event_;
  absl::Time last_run_ = absl::Now();
};

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
    // Unless the row was stored and its event was not, the job is still queued. It is tried again in either case, but
    // not with an event log that is damaged.
    const absl::StatusOr<JobRecord> row = store->GetJob(job.tenant, job.id);
    if (row.ok() && row->state == JobState::kRunning) {
      --job.attempt;
      SettleState(job, IsLasting(status) ? JobState::kFailed : JobState::kQueued,
                  IsLasting(status) ? status : absl::OkStatus());
    }
  }
  absl::MutexLock lock(&mutex);
  running_tenant.clear();
  running_id.clear();
  return std::nullopt;
}

void TrainingJobs::Rep::RunJob(JobRecord job) {
  if (HasResult(options.data_directory, job)) return SettleDone(job);  // It could not be published before.
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
  absl::Time kill_time = absl::InfiniteFuture(), next_check = absl::Now();
  Silence silence(EventBytes(directory), options.trainer_threads);
  int64_t resident_bytes = 0;
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
    silence.Update(EventBytes(directory), process.CpuTime(), now);
    if (silence.CpuTime() > options.hang_limit) ending = Ending::kBusyHang;
    if (silence.IdleTime(now) > kIdleHangLimits * options.hang_limit) ending = Ending::kIdleHang;
    if (options.trainer_memory_bytes > 0 && resident_bytes > options.trainer_memory_bytes) ending = Ending::kMemory;
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
    case Ending::kBusyHang:
      return {Kind::kDied, absl::InternalError(Concat("wrote no event for ", absl::FormatDuration(options.hang_limit),
                                                      " of CPU time and was killed"))};
    case Ending::kIdleHang:
      return {Kind::kDied, absl::InternalError(Concat("wrote no event and used no CPU time for ",
                                                      absl::FormatDuration(kIdleHangLimits * options.hang_limit),
                                                      " and was killed"))};
    case Ending::kNone:
    case Ending::kCancel:
      break;
  }
  if (end.exit_code == kTrainerStopped) return {Kind::kStopped, absl::OkStatus()};  // By somebody else's SIGTERM.
  return {Kind::kDied, absl::InternalError(Concat(end.Describe(), ", last words: ", LastLogLine(DirectoryOf(job))))};
}

void TrainingJobs::Rep::Settle(const JobRecord& job, const AttemptEnd& end) {
  spdlog::info("jobs/{}: ends attempt {} {}", job.id, job.attempt, end.error.ToString());
  switch (end.kind) {
    case AttemptEnd::Kind::kDone:
      return SettleDone(job);
    case AttemptEnd::Kind::kCancelled:
      return SettleState(job, JobState::kCancelled, absl::OkStatus());
    case AttemptEnd::Kind::kStopped:
      SettleState(job, JobState::kQueued, absl::OkStatus());
      return Pause();  // Whoever stops trainers may go on doing so.
    case AttemptEnd::Kind::kFailed:
    case AttemptEnd::Kind::kDied:
      return SettleState(job, JobState::kFailed, end.error);
  }
}

void TrainingJobs::Rep::SettleDone(const JobRecord& job) {
  while (true) {
    const absl::StatusOr<JobRecord> finished = PublishResult(options.data_directory, job, store);
    if (finished.ok()) {
      spdlog::info("jobs/{}: done, {}", job.id, finished->result_revision);
      const absl::Status status = RecordFinalState(*finished);
      if (!status.ok()) spdlog::error("jobs/{}: {}", job.id, status.ToString());
      return RemoveCheckpoints(DirectoryOf(job));
    }
    // A finished row: stored by a transaction that reported an error. SettleState leaves it as it is.
    const absl::StatusOr<JobRecord> row = store->GetJob(job.tenant, job.id);
    if (IsLasting(finished.status()) || (row.ok() && IsFinished(row->state))) {
      return SettleState(job, JobState::kFailed, finished.status());
    }
    spdlog::error("jobs/{}: result cannot be published: {}", job.id, finished.status().ToString());
    Pause();
    const Ending asked = WaitAndAsk();
    if (asked == Ending::kCancel) return SettleState(job, JobState::kCancelled, absl::OkStatus());
    if (asked == Ending::kStop) return;
  }
}

void TrainingJobs::Rep::SettleState(const JobRecord& job, JobState state, const absl::Status& error) {
  // A full disk must not leave the job RUNNING for ever: again until it is stored; a restart would also settle it.
  while (true) {
    const absl::Status status = StoreState(job, state, error);
    if (status.ok() || absl::IsNotFound(status)) return;
    spdlog::error("jobs/{}: state cannot be stored: {}", job.id, status.ToString());
    Pause();
    absl::MutexLock lock(&mutex);
    if (stopping) return;
  }
}

void TrainingJobs::Rep::Pause() {
  absl::MutexLock lock(&mutex);
  if (!stopping) changed.WaitWithTimeout(&mutex, kRetry);
}

}  // namespace tandem
