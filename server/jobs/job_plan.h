#pragma once
// What a training job was asked to do, beyond its row: JobRecord.options_json. And where a job's files lie.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/jobs/training_jobs.h"
#include "server/storage/records.h"

namespace tandem {

// The form of options_json reaches disk: {"trainer": options of the trainer without paths of this machine,
// "base_model", "base_revision", "sources": [{"dataset", "commit"}, ...], "validation_dataset"}.
struct JobPlan {
  std::string trainer_options;  // JSON.
  std::string base_model, base_revision;
  std::vector<DatasetCommit> sources;  // One an objective.
  std::string validation_dataset;
};

std::string ToOptionsJson(const JobPlan& plan);
absl::StatusOr<JobPlan> JobPlanFromOptionsJson(const std::string& options_json);  // DATA_LOSS names what is missing.

std::filesystem::path JobDirectory(const std::filesystem::path& data_directory, std::string_view tenant,
                                   std::string_view id);
std::filesystem::path RevisionDirectory(const std::filesystem::path& data_directory, std::string_view tenant,
                                        std::string_view model, std::string_view revision);

// Checks the request against the store, writes the job's directory with its first event, and publishes it. Returns the
// row that is to be stored; the caller stores it. Nothing is left behind on an error.
absl::StatusOr<JobRecord> WriteJobDirectory(const TrainingJobsOptions& options, const TrainingJobRequest& request,
                                            MetaStore* store);

// The same for a job that is no training: its directory has its first event and, unless it is empty, its input.
absl::Status WriteServerJobDirectory(const TrainingJobsOptions& options, const JobRecord& job, std::string_view input);

// What the body of a job that is no training keeps between its attempts is below this one in the job's directory.
inline constexpr char kWorkDirectory[] = "work";

// Moves the result of a trainer that is done below models/ and records it: the revision, whose id is the job's, and
// `job` (end_time is set here) become visible in one transaction. Safe to repeat after a crash at any point. DATA_LOSS
// or NOT_FOUND: there is no whole result; ALREADY_EXISTS: its revision's id is taken; any other error may pass.
absl::StatusOr<JobRecord> PublishResult(const std::filesystem::path& data_directory, const JobRecord& job,
                                        MetaStore* store);

// Whether there is something for PublishResult to publish.
bool HasResult(const std::filesystem::path& data_directory, const JobRecord& job);

// Removes what only a restart of the job needs; an error is logged, the next Start tries again. REQUIRES: the job is
// finished.
void RemoveCheckpoints(const std::filesystem::path& job_directory);

}  // namespace tandem
