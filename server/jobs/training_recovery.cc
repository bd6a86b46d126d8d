// What Start does with the jobs of the last server.

#include <system_error>
#include <vector>

#include <spdlog/spdlog.h>

#include "server/base/files.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/jobs/job_plan.h"
#include "server/jobs/trainer_process.h"
#include "server/jobs/training_jobs_rep.h"

namespace tandem {

namespace {

// A trainer gets the kernel's SIGTERM when its server dies; this is what is left for its last checkpoint.
constexpr absl::Duration kOldTrainerGrace = absl::Seconds(5);

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
  ASSIGN_OR_RETURN(const std::vector<std::filesystem::path> tenants, DirectoriesIn(options.data_directory / "jobs"));
  for (const std::filesystem::path& tenant : tenants) {
    RETURN_IF_ERROR(RemoveStaging(tenant));
    ASSIGN_OR_RETURN(const std::vector<std::filesystem::path> jobs, DirectoriesIn(tenant));
    for (const std::filesystem::path& directory : jobs) {
      const absl::Status row = store->GetJob(tenant.filename().string(), directory.filename().string()).status();
      if (row.ok()) continue;
      if (!absl::IsNotFound(row)) return row;
      spdlog::info("{}: no job has this directory, removing it", directory.string());
      RETURN_IF_ERROR(EndOldTrainer(directory, kOldTrainerGrace));
      RETURN_IF_ERROR(RemoveTree(directory));
    }
  }
  return absl::OkStatus();
}

absl::Status TrainingJobs::Rep::Recover(JobRecord job) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(DirectoryOf(job), ignored)) {
    job.state = JobState::kFailed;
    job.end_time = absl::Now();
    job.error_code = static_cast<int>(absl::StatusCode::kDataLoss);
    job.error_message = "the job's directory is gone";
    return store->UpdateJob(job);
  }
  RETURN_IF_ERROR(EndOldTrainer(DirectoryOf(job), kOldTrainerGrace));
  if (HasResult(options.data_directory, job)) {
    const absl::StatusOr<JobRecord> finished = PublishResult(options.data_directory, job, store);
    if (!finished.ok()) return SetState(job, JobState::kFailed, finished.status());
    spdlog::info("jobs/{}: published {}, which was complete when the last server ended", job.id,
                 finished->result_revision);
    return RecordFinalState(*finished);
  }
  spdlog::info("jobs/{}: was running when the last server ended, queued again", job.id);
  return SetState(job, JobState::kQueued, absl::OkStatus());
}

}  // namespace tandem
