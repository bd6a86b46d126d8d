// What Start does with the jobs of the last server.

#include <system_error>
#include <vector>

#include <spdlog/spdlog.h>

#include "server/base/files.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/jobs/job_events.h"
#include "server/jobs/job_plan.h"
#include "server/jobs/trainer_process.h"
#include "server/jobs/training_jobs_rep.h"

namespace tandem {

namespace {

absl::StatusOr<std::vector<std::filesystem::path>> DirectoriesIn(const std::filesystem::path& parent) {
  std::vector<std::filesystem::path> directories;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(parent, error), end; !error && entry != end; entry.increment(error)) {
    if (entry->is_directory(error)) directories.push_back(entry->path());
  }
  if (error) return absl::InternalError(Concat(parent.string(), ": ", error.message()));
  return directories;
}

}  // namespace

absl::Status TrainingJobs::Rep::RemoveOrphans() {
  const auto leave = [](const std::filesystem::path& directory, const absl::Status& status) {
    if (!status.ok()) spdlog::error("{}: left as it is: {}", directory.string(), status.ToString());
  };
  ASSIGN_OR_RETURN(const std::vector<std::filesystem::path> tenants, DirectoriesIn(options.data_directory / "jobs"));
  for (const std::filesystem::path& tenant : tenants) {
    leave(tenant, RemoveStaging(tenant));
    const absl::StatusOr<std::vector<std::filesystem::path>> jobs = DirectoriesIn(tenant);
    leave(tenant, jobs.status());
    if (!jobs.ok()) continue;
    for (const std::filesystem::path& directory : *jobs) {
      const absl::StatusOr<JobRecord> row = store->GetJob(tenant.filename().string(), directory.filename().string());
      if (row.ok() && IsFinished(row->state)) RemoveCheckpoints(directory);
      if (row.ok()) continue;
      if (!absl::IsNotFound(row.status())) return row.status();
      spdlog::info("{}: no job has this directory, removing it", directory.string());
      absl::Status removed = EndOldTrainer(directory, options.old_trainer_limit);
      if (removed.ok()) removed = RemoveTree(directory);
      leave(directory, removed);
    }
  }
  return absl::OkStatus();
}

absl::Status TrainingJobs::Rep::Recover(const JobRecord& job) {
  std::error_code ignored;
  absl::Status trouble, ended;
  if (!std::filesystem::is_directory(DirectoryOf(job), ignored)) {
    trouble = absl::DataLossError("the job's directory is gone");
  } else if (job.kind == JobKind::kTrain) {
    // One that does not end is the next attempt's trouble, which is tried again a few times.
    ended = EndOldTrainer(DirectoryOf(job), options.old_trainer_limit);
    if (!ended.ok()) spdlog::error("jobs/{}: {}", job.id, ended.ToString());
  }
  const bool trained = job.kind == JobKind::kTrain && trouble.ok() && ended.ok();
  if (trained && HasResult(options.data_directory, job)) {
    const absl::StatusOr<JobRecord> finished = PublishResult(options.data_directory, job, store);
    if (finished.ok()) {
      spdlog::info("jobs/{}: published {}, which was complete when the last server ended", job.id,
                   finished->result_revision);
      const absl::Status recorded = RecordFinalState(*finished);
      if (!recorded.ok()) spdlog::error("jobs/{}: {}", job.id, recorded.ToString());
      RemoveCheckpoints(DirectoryOf(job));
      return absl::OkStatus();
    }
    spdlog::error("jobs/{}: result cannot be published: {}", job.id, finished.status().ToString());
    if (IsLasting(finished.status())) trouble = finished.status();
  }
  if (!trouble.ok()) {
    spdlog::error("jobs/{}: fails: {}", job.id, trouble.ToString());
    return StoreState(job, JobState::kFailed, trouble);
  }
  spdlog::info("jobs/{}: was running when the last server ended, queued again", job.id);
  return StoreState(job, JobState::kQueued, absl::OkStatus());
}

}  // namespace tandem
