// How the result of a training job becomes a model revision.

#include <system_error>
#include <utility>
#include <vector>

#include <spdlog/spdlog.h>

#include "absl/time/clock.h"
#include "server/base/files.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/jobs/job_events.h"
#include "server/jobs/job_plan.h"

namespace tandem {

namespace {

struct TrainerResult {
  int64_t parameters = 0;
  std::string weights;  // Path below the result's directory.
  std::optional<ValidationResult> metrics;
  std::optional<TrainingComparison> comparison;  // Without the texts.
};

absl::StatusOr<TrainerResult> ReadResult(const std::filesystem::path& job_directory) {
  const std::filesystem::path path = job_directory / kResultFile;
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("parameters") || !json["parameters"].is_number_integer() ||
      !json.contains("metrics") || !json.contains("weights") || !json["weights"].is_string()) {
    return absl::DataLossError(Concat(path.string(), ": must have \"parameters\", \"metrics\" and \"weights\""));
  }
  TrainerResult result;
  result.parameters = json["parameters"].get<int64_t>();
  result.weights = json["weights"].get<std::string>();
  if (!json["metrics"].is_null()) {
    absl::StatusOr<ValidationResult> metrics = ValidationResultFromJson(json["metrics"]);
    if (!metrics.ok()) return absl::DataLossError(Concat(path.string(), ": metrics: ", metrics.status().message()));
    result.metrics = *std::move(metrics);
  }
  if (json.contains("comparison")) {
    absl::StatusOr<TrainingComparison> comparison = TrainingComparisonFromJson(json["comparison"]);
    if (!comparison.ok()) return absl::DataLossError(Concat(path.string(), ": ", comparison.status().message()));
    result.comparison = *std::move(comparison);
    result.comparison->changes = {};  // Of a dataset, which may be deleted while the revision stays.
  }
  return result;
}

bool IsDirectory(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error);
}

std::filesystem::path FinalDirectory(const std::filesystem::path& data_directory, const JobRecord& job) {
  return RevisionDirectory(data_directory, job.tenant, job.target_model, job.id);
}

// Moves the result, unless that was done before. After a power cut a directory that moved may be under both names; the
// new one is whole then, since its content was synced first. The old one goes with the job.
absl::Status MoveResult(const std::filesystem::path& result, const std::filesystem::path& destination,
                        const std::string& weights) {
  if (!IsDirectory(result)) return absl::OkStatus();
  if (IsDirectory(destination)) {
    const absl::StatusOr<std::string> made = FileSha256(result / weights), moved = FileSha256(destination / weights);
    if (made.ok() && moved.ok() && *made == *moved) return absl::OkStatus();
  }
  RETURN_IF_ERROR(CreateDirectories(destination.parent_path()));
  return PublishDirectory(result, destination);
}

}  // namespace

bool HasResult(const std::filesystem::path& data_directory, const JobRecord& job) {
  return IsDirectory(JobDirectory(data_directory, job.tenant, job.id) / kResultDirectory) ||
         IsDirectory(FinalDirectory(data_directory, job));
}

absl::StatusOr<JobRecord> PublishResult(const std::filesystem::path& data_directory, const JobRecord& job,
                                        MetaStore* store) {
  const std::filesystem::path directory = JobDirectory(data_directory, job.tenant, job.id);
  const std::filesystem::path destination = FinalDirectory(data_directory, job);
  ASSIGN_OR_RETURN(const JobPlan plan, JobPlanFromOptionsJson(job.options_json));
  ASSIGN_OR_RETURN(const TrainerResult result, ReadResult(directory));
  ASSIGN_OR_RETURN(const ModelRevisionRecord base,
                   store->GetModelRevision(job.tenant, plan.base_model, plan.base_revision));
  RETURN_IF_ERROR(MoveResult(directory / kResultDirectory, destination, result.weights));
  ModelRevisionRecord revision;
  revision.tenant = job.tenant;
  revision.model = job.target_model;
  revision.id = job.id;
  revision.create_time = absl::Now();
  revision.architecture = base.architecture;
  revision.parameters = result.parameters;
  revision.contract = base.contract;
  revision.parent = job.base_revision;
  revision.dataset = job.dataset;
  revision.dataset_commit = plan.sources[0].commit;
  if (plan.sources.size() > 1) revision.sources = plan.sources;
  revision.job = job.id;
  revision.options_json = plan.trainer_options;
  revision.validation = result.metrics;
  revision.comparison = result.comparison;
  ASSIGN_OR_RETURN(revision.sha256, FileSha256(destination / result.weights));
  JobRecord finished = job;
  finished.state = JobState::kSucceeded;
  finished.end_time = absl::Now();
  finished.result_revision = Concat("models/", revision.model, "/revisions/", revision.id);
  RETURN_IF_ERROR(store->FinishTraining(finished, revision));
  return finished;
}

void RemoveCheckpoints(const std::filesystem::path& job_directory) {
  std::vector<std::filesystem::path> checkpoints;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(job_directory, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    const bool checkpoint =
        name.starts_with(kCheckpointPrefix) || name.starts_with(kBestPrefix) || name.starts_with(kNegativesPrefix);
    if (checkpoint || name == kWorkDirectory) checkpoints.push_back(entry->path());
  }
  if (error) return;  // Deleted meanwhile, or gone before.
  absl::Status status = RemoveStaging(job_directory);
  for (const std::filesystem::path& path : checkpoints) status.Update(RemoveTree(path));
  if (!status.ok()) spdlog::error("files of a finished job stay: {}", status.ToString());
}

}  // namespace tandem
