// Results of trainers that are done, and the thread for those that could not be published at once: a full disk or a
// file in the way must neither lose a training nor hold up the jobs behind it.

#include <algorithm>
#include <utility>

#include <spdlog/spdlog.h>

#include "absl/time/clock.h"
#include "server/jobs/job_events.h"
#include "server/jobs/job_plan.h"
#include "server/jobs/training_jobs_rep.h"

namespace tandem {

void TrainingJobs::Rep::SettleDone(const JobRecord& job) {
  if (!TryPublish(job)) PublishLater({.job = job, .delay = options.first_retry});
}

bool TrainingJobs::Rep::TryPublish(const JobRecord& job) {
  const absl::StatusOr<JobRecord> finished = PublishResult(options.data_directory, job, store);
  if (finished.ok()) {
    spdlog::info("jobs/{}: done, {}", job.id, finished->result_revision);
    const absl::Status status = RecordFinalState(*finished);
    if (!status.ok()) spdlog::error("jobs/{}: {}", job.id, status.ToString());
    RemoveCheckpoints(DirectoryOf(job));
    return true;
  }
  spdlog::error("jobs/{}: result cannot be published: {}", job.id, finished.status().ToString());
  // A finished row: stored by a transaction that reported an error. SettleState leaves it as it is.
  const absl::StatusOr<JobRecord> row = store->GetJob(job.tenant, job.id);
  if (!IsLasting(finished.status()) && !(row.ok() && IsFinished(row->state))) return false;
  SettleState(job, JobState::kFailed, finished.status());
  return true;
}

void TrainingJobs::Rep::PublishLater(UnpublishedResult result) {
  absl::MutexLock lock(&mutex);  // Under which Cancel changes the row and looks at `unpublished`.
  const absl::StatusOr<JobRecord> row = store->GetJob(result.job.tenant, result.job.id);
  const bool cancelled = row.ok() && row->cancel_requested;
  result.next_try = cancelled ? absl::InfinitePast() : absl::Now() + result.delay;
  unpublished.push_back(std::move(result));
  changed.SignalAll();
}

void TrainingJobs::Rep::RetryPublications() {
  while (std::optional<UnpublishedResult> result = WaitForUnpublished()) {
    const absl::StatusOr<JobRecord> row = store->GetJob(result->job.tenant, result->job.id);
    if (row.ok() && row->cancel_requested) {
      SettleState(result->job, JobState::kCancelled, absl::OkStatus());
    } else if (!TryPublish(result->job)) {
      result->delay = std::min(2 * result->delay, kLongestRetry);
      PublishLater(*std::move(result));
    }
  }
}

std::optional<UnpublishedResult> TrainingJobs::Rep::WaitForUnpublished() {
  absl::MutexLock lock(&mutex);
  while (!stopping) {
    const auto next = std::min_element(unpublished.begin(), unpublished.end(),
                                       [](const auto& a, const auto& b) { return a.next_try < b.next_try; });
    if (next != unpublished.end() && next->next_try <= absl::Now()) {
      UnpublishedResult result = std::move(*next);
      unpublished.erase(next);
      return result;
    }
    changed.WaitWithDeadline(&mutex, next == unpublished.end() ? absl::InfiniteFuture() : next->next_try);
  }
  return std::nullopt;
}

}  // namespace tandem
