#pragma once
// AnalyzeDataset as a job: what it was asked to do, checked against what is stored, and what it computes.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/analysis/dataset_report.h"
#include "server/jobs/server_job.h"
#include "server/jobs/training_jobs.h"
#include "server/storage/meta_store.h"

namespace tandem {

struct AnalysisRequest {
  std::string tenant;
  TrainingSource dataset;
  std::string validation_dataset;         // Id or empty.
  std::string base_model, base_revision;  // Ids, of a revision that exists; empty: lengths are left out.
  std::optional<int> max_length;          // Not set: the contract's of the base revision.
  int batch_size = 32;
};

// What is analysed: the request with the commits and the length that it stood for when it came.
struct AnalysisPlan {
  DatasetCommit dataset;
  std::optional<DatasetCommit> validation;
  std::string base_model, base_revision;
  int max_length = 0;  // 0: without base revision.
  int batch_size = 0;
};

// The form reaches disk: {"dataset": {"dataset", "commit"}, "validation": {...}, "base_model", "base_revision",
// "max_length", "batch_size"}; what is not set is left out.
nlohmann::json ToJson(const AnalysisPlan& plan);
absl::StatusOr<AnalysisPlan> AnalysisPlanFromJson(const nlohmann::json& json);  // INVALID_ARGUMENT names the key.

// NOT_FOUND for a dataset or revision that is not there, else InvalidField: a commit that the dataset does not have, or
// a dataset without examples.
absl::StatusOr<AnalysisPlan> PlanAnalysis(const AnalysisRequest& request, MetaStore* store);

// The job's row, as TrainingJobs::Submit takes it.
JobRecord AnalysisJob(const std::string& tenant, const AnalysisPlan& plan);

// What the job gives: {"plan", "report"}.
struct AnalysisResult {
  AnalysisPlan plan;
  DatasetReport report;
};
nlohmann::json ToJson(const AnalysisResult& result);
absl::StatusOr<AnalysisResult> AnalysisResultFromJson(const nlohmann::json& json);

// Reads each example at least twice. `proceed` is called with examples read and all that are to be read, of all
// readings; an error that it returns ends the analysis and is returned. A revision that cannot be opened or a text that
// its tokenizer refuses is an error.
absl::StatusOr<AnalysisResult> RunAnalysis(const std::filesystem::path& data_directory, const std::string& tenant,
                                           const AnalysisPlan& plan, MetaStore* store,
                                           const std::function<absl::Status(int64_t, int64_t)>& proceed);

// The body of such a job: RunAnalysis of the plan in its row. `store` outlives it.
ServerJobBody AnalysisBody(std::filesystem::path data_directory, MetaStore* store);

}  // namespace tandem
