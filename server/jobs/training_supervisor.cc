// The supervisor thread: takes the oldest queued training, runs its trainer to an end, and settles the job. And what
// it shares with the worker.

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

constexpr absl::Duration kIdleWait = absl::Seconds(5);
constexpr absl::Duration kShortestWait = absl::Milliseconds(10);
constexpr absl::Duration kRetry = absl::Seconds(1);

std::pair<std::string, std::string> KeyOf(const JobRecord& job) { return {job.tenant, job.id}; }

}  // namespace

void TrainingJobs::Rep::WorkOff(Lane& lane) {
  while (true) {
    {
      absl::MutexLock lock(&mutex);
      lane.work_came = false;
    }
    if (const std::optional<JobRecord> job = TakeQueued(lane)) {
      if (SetRunning(lane, *job)) lane.trains ? RunTraining(*job) : RunServerJob(*job);
      absl::MutexLock lock(&mutex);
      lane.running_tenant.clear();
      lane.running_id.clear();
      continue;
    }
    absl::MutexLock lock(&mutex);
    if (stopping) return;
    if (!lane.work_came) changed.WaitWithTimeout(&mutex, IdleWait(lane));
  }
}

absl::Duration TrainingJobs::Rep::IdleWait(const Lane& lane) const {
  absl::Time next = absl::InfiniteFuture();
  for (const auto& [job, entry] : lane.aside) next = std::min(next, entry.until);
  return std::clamp(next - absl::Now(), kShortestWait, kIdleWait);
}

// The oldest job that is not put aside now.
std::optional<JobRecord> TrainingJobs::Rep::FindReady(Lane& lane, const std::vector<JobRecord>& queued) {
  std::erase_if(lane.aside, [&](const auto& entry) {  // Cancelled meanwhile.
    return std::none_of(queued.begin(), queued.end(), [&](const JobRecord& job) { return entry.first == KeyOf(job); });
  });
  const absl::Time now = absl::Now();
  const auto ready = std::find_if(queued.begin(), queued.end(), [&](const JobRecord& job) {
    const auto entry = lane.aside.find(KeyOf(job));
    return lane.Takes(job.kind) && (entry == lane.aside.end() || entry->second.until <= now);
  });
  if (ready == queued.end()) return std::nullopt;
  return *ready;
}

void TrainingJobs::Rep::PutAside(Lane& lane, const JobRecord& job, const absl::Status& error) {
  Lane::Aside& entry = lane.aside[KeyOf(job)];
  entry.delay = entry.delay == absl::ZeroDuration() ? options.first_retry : std::min(2 * entry.delay, kLongestRetry);
  entry.until = absl::Now() + entry.delay;
  spdlog::error("jobs/{}: put aside for {}: {}", job.id, absl::FormatDuration(entry.delay), error.ToString());
}

std::optional<JobRecord> TrainingJobs::Rep::TakeQueued(Lane& lane) {
  absl::MutexLock lock(&mutex);
  if (stopping) return std::nullopt;
  const absl::StatusOr<std::vector<JobRecord>> queued = store->AllJobs(JobState::kQueued);
  if (!queued.ok()) spdlog::error("jobs: the queue cannot be read: {}", queued.status().ToString());
  if (!queued.ok()) return std::nullopt;
  std::optional<JobRecord> job = FindReady(lane, *queued);
  if (!job) return std::nullopt;
  ++job->attempt;
  job->start_time = job->start_time.value_or(absl::Now());
  lane.running_tenant = job->tenant;
  lane.running_id = job->id;
  lane.cancel_running = false;
  return job;
}

// A cancel since TakeQueued made it CANCELLED, and the step to RUNNING is refused.
bool TrainingJobs::Rep::SetRunning(Lane& lane, const JobRecord& job) {
  const absl::Status status = SetState(job, JobState::kRunning, absl::OkStatus());
  if (status.ok()) return true;
  if (absl::IsFailedPrecondition(status)) return false;
  PutAside(lane, job, status);
  // Unless the row was stored and its event was not, the job is still queued. It is tried again in either case, but not
  // with an event log that is damaged.
  const absl::StatusOr<JobRecord> row = store->GetJob(job.tenant, job.id);
  if (!row.ok() || row->state != JobState::kRunning) return false;
  JobRecord before = job;
  --before.attempt;
  SettleState(before, IsLasting(status) ? JobState::kFailed : JobState::kQueued,
              IsLasting(status) ? status : absl::OkStatus());
  return false;
}

void TrainingJobs::Rep::RunTraining(JobRecord job) {
  if (HasResult(options.data_directory, job)) return SettleDone(job);  // It could not be published before.
  spdlog::info("jobs/{}: attempt {} begins", job.id, job.attempt);
  int deaths = 0;
  if (const absl::StatusOr<int> before = CountDeaths(DirectoryOf(job)); before.ok()) deaths = *before;
  while (true) {
    const AttemptEnd end = RunAttempt(job);
    const bool not_started = end.kind == AttemptEnd::Kind::kNotStarted;
    if (end.kind != AttemptEnd::Kind::kDied && !not_started) return Settle(job, end);
    if (++deaths >= options.max_attempts) {
      const std::string message =
          Concat("the trainer died ", deaths, " times, the limit; the last time it ", end.error.message());
      return Settle(job, {AttemptEnd::Kind::kFailed, absl::Status(end.error.code(), message)});
    }
    RecordDeath(job, Concat("the trainer ", end.error.message(), "; ",
                            not_started ? "trying again later" : "starting again from its last checkpoint"));
    if (not_started) {
      SettleState(job, JobState::kQueued, absl::OkStatus());
      return PutAside(trainings, job, end.error);
    }
    BeginNextAttempt(job);
  }
}

void TrainingJobs::Rep::RecordDeath(const JobRecord& job, const std::string& text) {
  const std::string message = Concat("attempt ", job.attempt, ": ", text);
  spdlog::warn("jobs/{}: {}", job.id, message);
  absl::MutexLock lock(&mutex);
  const absl::Status appended = AppendDeathEvent(DirectoryOf(job), job.attempt, message);
  if (!appended.ok()) spdlog::error("jobs/{}: {}", job.id, appended.ToString());
}

void TrainingJobs::Rep::BeginNextAttempt(JobRecord& job) {
  ++job.attempt;
  const absl::Status status = SetState(job, JobState::kRunning, absl::OkStatus());
  if (!status.ok()) spdlog::error("jobs/{}: {}", job.id, status.ToString());
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
    case AttemptEnd::Kind::kNotStarted:
      return SettleState(job, JobState::kFailed, end.error);
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
