#include "server/jobs/job_plan.h"

#include "server/base/strings.h"

namespace tandem {

std::string ToOptionsJson(const JobPlan& plan) {
  nlohmann::json sources = nlohmann::json::array();
  for (const DatasetCommit& source : plan.sources) {
    sources.push_back({{"dataset", source.dataset}, {"commit", source.commit}});
  }
  return nlohmann::json{{"trainer", nlohmann::json::parse(plan.trainer_options)},
                        {"base_model", plan.base_model},
                        {"base_revision", plan.base_revision},
                        {"sources", sources},
                        {"validation_dataset", plan.validation_dataset}}
      .dump();
}

absl::StatusOr<JobPlan> JobPlanFromOptionsJson(const std::string& options_json) {
  const nlohmann::json json = nlohmann::json::parse(options_json, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return absl::DataLossError("options of a job: not a JSON object");
  JobPlan plan;
  const std::pair<const char*, std::string*> texts[] = {{"base_model", &plan.base_model},
                                                        {"base_revision", &plan.base_revision},
                                                        {"validation_dataset", &plan.validation_dataset}};
  for (const auto& [key, text] : texts) {
    const auto found = json.find(key);
    if (found == json.end() || !found->is_string())
      return absl::DataLossError(Concat("options of a job: no text \"", key, "\""));
    *text = found->get<std::string>();
  }
  const auto trainer = json.find("trainer"), sources = json.find("sources");
  if (trainer == json.end() || !trainer->is_object())
    return absl::DataLossError("options of a job: no object \"trainer\"");
  if (sources == json.end() || !sources->is_array() || sources->empty()) {
    return absl::DataLossError("options of a job: no list \"sources\"");
  }
  for (const nlohmann::json& source : *sources) {
    const bool whole = source.is_object() && source.contains("dataset") && source["dataset"].is_string() &&
                       source.contains("commit") && source["commit"].is_number_integer();
    if (!whole) return absl::DataLossError("options of a job: a source without \"dataset\" and \"commit\"");
    plan.sources.push_back({source["dataset"].get<std::string>(), source["commit"].get<int64_t>()});
  }
  plan.trainer_options = trainer->dump();
  return plan;
}

std::filesystem::path JobDirectory(const std::filesystem::path& data_directory, std::string_view tenant,
                                   std::string_view id) {
  return data_directory / "jobs" / tenant / id;
}

std::filesystem::path RevisionDirectory(const std::filesystem::path& data_directory, std::string_view tenant,
                                        std::string_view model, std::string_view revision) {
  return data_directory / "models" / tenant / model / revision;
}

}  // namespace tandem
