#include "server/jobs/job_plan.h"

#include "server/base/strings.h"

namespace tandem {

std::string ToOptionsJson(const JobPlan& plan) {
  return nlohmann::json{{"trainer", nlohmann::json::parse(plan.trainer_options)},
                        {"base_model", plan.base_model},
                        {"base_revision", plan.base_revision},
                        {"dataset_commit", plan.dataset_commit},
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
  const auto trainer = json.find("trainer"), commit = json.find("dataset_commit");
  if (trainer == json.end() || !trainer->is_object())
    return absl::DataLossError("options of a job: no object \"trainer\"");
  if (commit == json.end() || !commit->is_number_integer()) {
    return absl::DataLossError("options of a job: no number \"dataset_commit\"");
  }
  plan.trainer_options = trainer->dump();
  plan.dataset_commit = commit->get<int64_t>();
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
