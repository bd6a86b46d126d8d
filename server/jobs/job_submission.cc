// How a job comes into being: its directory and its row.

#include <algorithm>
#include <fstream>

#include "absl/time/clock.h"
#include "server/base/files.h"
#include "server/base/ids.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/jobs/checked_request.h"
#include "server/jobs/job_events.h"
#include "server/jobs/job_examples.h"
#include "server/jobs/job_plan.h"

namespace tandem {

namespace {

absl::StatusOr<ExampleCounts> WriteExamples(MetaStore* store, const ExampleSource& source,
                                            const std::filesystem::path& path) {
  std::ofstream file(path, std::ios::binary);
  ASSIGN_OR_RETURN(const ExampleCounts counts,
                   ReadExamples(store, source, [&](const Example& example) { file << LineOf(example); }));
  file.close();
  if (!file) return absl::ResourceExhaustedError(Concat(path.string(), ": cannot be written"));
  return counts;
}

absl::Status WriteFiles(const CheckedRequest& checked, MetaStore* store, const std::filesystem::path& directory) {
  std::vector<ExampleCounts> counts;
  for (size_t i = 0; i < checked.sources.size(); ++i) {
    const std::filesystem::path path = directory / ExamplesFile(static_cast<int>(i));
    ASSIGN_OR_RETURN(counts.emplace_back(), WriteExamples(store, SourceOf(checked, i), path));
  }
  RETURN_IF_ERROR(CheckAgainstExamples(checked, counts));
  if (checked.validation) {
    RETURN_IF_ERROR(WriteExamples(store, ValidationSourceOf(checked), directory / kValidationFile).status());
  }
  RETURN_IF_ERROR(WriteFileDurably(directory / kOptionsFile, ToJson(checked.trainer).dump()));
  return AppendStateEvent(directory, 0, JobState::kQueued);
}

JobRecord MakeRecord(const TrainingJobRequest& request, const CheckedRequest& checked) {
  JobPlan plan;
  nlohmann::json trainer_options = ToJson(checked.trainer);
  trainer_options.erase("base_directory");
  plan.trainer_options = trainer_options.dump();
  plan.base_model = request.base_model;
  plan.base_revision = request.base_revision;
  plan.sources = checked.sources;
  plan.validation_dataset = request.validation_dataset;
  JobRecord job;
  job.tenant = request.tenant;
  job.id = NewId();
  job.create_time = absl::Now();
  job.options_json = ToOptionsJson(plan);
  job.dataset = checked.sources[0].dataset;
  for (const DatasetCommit& source : checked.sources) {
    if (std::find(job.datasets.begin(), job.datasets.end(), source.dataset) == job.datasets.end()) {
      job.datasets.push_back(source.dataset);
    }
  }
  if (checked.validation) job.datasets.push_back(checked.validation->dataset);
  job.base_revision = Concat("models/", request.base_model, "/revisions/", request.base_revision);
  job.target_model = request.target_model;
  return job;
}

absl::Status WriteDirectory(const TrainingJobsOptions& options, const JobRecord& job,
                            const std::function<absl::Status(const std::filesystem::path&)>& write) {
  const std::filesystem::path directory = JobDirectory(options.data_directory, job.tenant, job.id);
  RETURN_IF_ERROR(CreateDirectories(directory.parent_path()));
  ASSIGN_OR_RETURN(const std::filesystem::path staging, MakeStagingDirectory(directory));
  absl::Status status = write(staging);
  if (status.ok()) status = PublishDirectory(staging, directory);
  if (!status.ok()) RemoveTree(staging).IgnoreError();  // What stays has its staging name, and Start removes it.
  return status;
}

}  // namespace

absl::StatusOr<JobRecord> WriteJobDirectory(const TrainingJobsOptions& options, const TrainingJobRequest& request,
                                            MetaStore* store) {
  ASSIGN_OR_RETURN(CheckedRequest checked, CheckRequest(options, request, store));
  // Relative, so that a data directory that is moved or restored takes its unfinished jobs along.
  const std::filesystem::path data_directory = "../../..";  // From JobDirectory.
  checked.trainer.base_directory =
      RevisionDirectory(data_directory, request.tenant, request.base_model, request.base_revision).string();
  const JobRecord job = MakeRecord(request, checked);
  RETURN_IF_ERROR(
      WriteDirectory(options, job, [&](const auto& staging) { return WriteFiles(checked, store, staging); }));
  return job;
}

absl::Status WriteServerJobDirectory(const TrainingJobsOptions& options, const JobRecord& job, std::string_view input) {
  return WriteDirectory(options, job, [&](const auto& staging) {
    if (!input.empty()) {
      RETURN_IF_ERROR(CreateDirectories(staging / kWorkDirectory));
      RETURN_IF_ERROR(WriteFileDurably(staging / kWorkDirectory / kInputFile, input));
    }
    return AppendStateEvent(staging, 0, JobState::kQueued);
  });
}

}  // namespace tandem
