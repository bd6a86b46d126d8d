#include "server/jobs/analysis_job.h"

#include <algorithm>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "server/analysis/dataset_analysis.h"
#include "server/base/object_reader.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/encoder/encoder.h"
#include "server/encoder/model_directory.h"
#include "server/jobs/checked_request.h"
#include "server/jobs/job_examples.h"
#include "server/jobs/job_plan.h"

namespace tandem {
namespace {

using nlohmann::json;

json ToJson(const DatasetCommit& commit) { return {{"dataset", commit.dataset}, {"commit", commit.commit}}; }

absl::Status FromJson(const json& from, DatasetCommit& out) {
  ObjectReader reader("dataset of an analysis", from);
  reader.Read("dataset", out.dataset);
  reader.Read("commit", out.commit);
  return reader.Finish();
}

// Counts with the tokenizer alone: no weights are loaded.
class TokenCounter {
 public:
  static absl::StatusOr<TokenCounter> Open(const std::filesystem::path& revision_directory) {
    TokenCounter counter;
    ASSIGN_OR_RETURN(const ModelDirectory model, OpenModelDirectory(revision_directory));
    ASSIGN_OR_RETURN(counter.tokenizer_, LoadTokenizer(model));
    counter.contract_ = model.contract;
    return counter;
  }

  absl::StatusOr<std::vector<int64_t>> Count(std::span<const std::string> texts, bool first_texts) const {
    const InputRole role = first_texts ? InputRole::kQuery : InputRole::kDocument;
    ASSIGN_OR_RETURN(
        const std::vector<TokenizedText> tokenized,
        tokenizer_->Encode(texts, contract_.PromptOf(role), contract_.max_length, contract_.truncation_side));
    std::vector<int64_t> counts;
    for (const TokenizedText& text : tokenized) counts.push_back(text.token_count);
    return counts;
  }

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  EmbeddingContract contract_;
};

ExampleScan ScanOf(MetaStore* store, const std::string& tenant, const DatasetCommit& up_to) {
  return [=](const std::function<absl::Status(const StoredExample&)>& visit) {
    return VisitExamples(store, tenant, up_to, visit);
  };
}

absl::Status CheckNotEmpty(const char* field, const DatasetCommit& chosen) {
  if (chosen.commit > 0) return absl::OkStatus();
  return InvalidField(field, Concat("datasets/", chosen.dataset, ": has no examples"));
}

}  // namespace

json ToJson(const AnalysisPlan& plan) {
  json out = {{"dataset", ToJson(plan.dataset)}, {"batch_size", plan.batch_size}};
  if (plan.validation) out["validation"] = ToJson(*plan.validation);
  if (plan.base_revision.empty()) return out;
  out["base_model"] = plan.base_model;
  out["base_revision"] = plan.base_revision;
  out["max_length"] = plan.max_length;
  return out;
}

absl::StatusOr<AnalysisPlan> AnalysisPlanFromJson(const json& from) {
  AnalysisPlan plan;
  ObjectReader reader("analysis", from);
  if (const json* const dataset = reader.Find("dataset")) RETURN_IF_ERROR(FromJson(*dataset, plan.dataset));
  if (const json* const validation = reader.Find("validation")) {
    RETURN_IF_ERROR(FromJson(*validation, plan.validation.emplace()));
  }
  reader.Read("base_model", plan.base_model);
  reader.Read("base_revision", plan.base_revision);
  reader.Read("max_length", plan.max_length);
  reader.Read("batch_size", plan.batch_size);
  RETURN_IF_ERROR(reader.Finish());
  return plan;
}

absl::StatusOr<AnalysisPlan> PlanAnalysis(const AnalysisRequest& request, MetaStore* store) {
  AnalysisPlan plan{.batch_size = request.batch_size};
  ASSIGN_OR_RETURN(plan.dataset, ChosenCommit(store, request.tenant, request.dataset, "dataset_commit"));
  RETURN_IF_ERROR(CheckNotEmpty("dataset", plan.dataset));
  if (!request.validation_dataset.empty()) {
    ASSIGN_OR_RETURN(plan.validation, ChosenCommit(store, request.tenant, {request.validation_dataset}, ""));
    RETURN_IF_ERROR(CheckNotEmpty("validation_dataset", *plan.validation));
  }
  if (request.base_revision.empty()) return plan;
  ASSIGN_OR_RETURN(const ModelRevisionRecord base,
                   store->GetModelRevision(request.tenant, request.base_model, request.base_revision));
  plan.base_model = base.model;
  plan.base_revision = base.id;
  plan.max_length = request.max_length.value_or(base.contract.max_length);
  return plan;
}

JobRecord AnalysisJob(const std::string& tenant, const AnalysisPlan& plan) {
  JobRecord job{.tenant = tenant, .kind = JobKind::kAnalyzeDataset};
  job.options_json = ToJson(plan).dump();
  job.dataset = plan.dataset.dataset;
  job.datasets = {plan.dataset.dataset};
  if (plan.validation) job.datasets.push_back(plan.validation->dataset);
  if (!plan.base_revision.empty()) {
    job.base_revision = Concat("models/", plan.base_model, "/revisions/", plan.base_revision);
  }
  return job;
}

json ToJson(const AnalysisResult& result) { return {{"plan", ToJson(result.plan)}, {"report", ToJson(result.report)}}; }

absl::StatusOr<AnalysisResult> AnalysisResultFromJson(const json& from) {
  AnalysisResult result;
  ObjectReader reader("result of an analysis", from);
  if (const json* const plan = reader.Find("plan")) {
    ASSIGN_OR_RETURN(result.plan, AnalysisPlanFromJson(*plan));
  }
  if (const json* const report = reader.Find("report")) {
    ASSIGN_OR_RETURN(result.report, DatasetReportFromJson(*report));
  }
  RETURN_IF_ERROR(reader.Finish());
  return result;
}

absl::StatusOr<AnalysisResult> RunAnalysis(const std::filesystem::path& data_directory, const std::string& tenant,
                                           const AnalysisPlan& plan, MetaStore* store,
                                           const std::function<absl::Status(int64_t, int64_t)>& proceed) {
  AnalysisOptions options{.batch_size = plan.batch_size};
  if (!plan.base_revision.empty()) {
    ASSIGN_OR_RETURN(const TokenCounter counter, TokenCounter::Open(RevisionDirectory(
                                                     data_directory, tenant, plan.base_model, plan.base_revision)));
    options.max_length = plan.max_length;
    options.count_tokens = [counter](std::span<const std::string> texts, bool first_texts) {
      return counter.Count(texts, first_texts);
    };
  }
  // The first reading counts the examples; a commit is one.
  options.proceed = [&](int64_t done, int64_t all) { return proceed(done, std::max(all, 2 * plan.dataset.commit)); };
  const ExampleScan validation = plan.validation ? ScanOf(store, tenant, *plan.validation) : nullptr;
  ASSIGN_OR_RETURN(DatasetReport report, AnalyzeDataset(ScanOf(store, tenant, plan.dataset), validation, options));
  return AnalysisResult{plan, std::move(report)};
}

ServerJobBody AnalysisBody(std::filesystem::path data_directory, MetaStore* store) {
  return [data_directory = std::move(data_directory), store](const ServerJob& job) -> absl::StatusOr<std::string> {
    const json options = json::parse(job.record.options_json, nullptr, /*allow_exceptions=*/false);
    ASSIGN_OR_RETURN(const AnalysisPlan plan, AnalysisPlanFromJson(options));
    ASSIGN_OR_RETURN(const AnalysisResult result,
                     RunAnalysis(data_directory, job.record.tenant, plan, store, job.progress));
    return ToJson(result).dump(-1, ' ', false, json::error_handler_t::replace);
  };
}

}  // namespace tandem
