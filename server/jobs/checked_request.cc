#include "server/jobs/checked_request.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <variant>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/jobs/job_plan.h"

namespace tandem {
namespace {

nlohmann::json ReadConfig(const std::filesystem::path& base) {
  for (const auto& path : {base / "config.json", base / "0_Transformer" / "config.json"}) {
    std::ifstream file(path, std::ios::binary);
    if (!file) continue;
    nlohmann::json config = nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
    if (config.is_object()) return config;
  }
  return nullptr;
}

// The trainer says the same of a base whose configuration is not found here.
absl::Status CheckAgainstModel(const CheckedRequest& checked) {
  const TrainerOptions& trainer = checked.trainer;
  const auto positions = NumberOf(checked.config, {"max_position_embeddings"});
  if (trainer.max_length && positions && *trainer.max_length > *positions) {
    return InvalidField("options.max_length",
                        Concat(*trainer.max_length, ": the base model has ", *positions, " positions"));
  }
  const auto layers = NumberOf(checked.config, {"num_hidden_layers", "n_layers"});
  if (layers && trainer.freeze_layers >= *layers && trainer.freeze_layers > 0) {
    return InvalidField("options.freeze_layers", Concat(trainer.freeze_layers, ": must be less than the ", *layers,
                                                        " layers of the base model"));
  }
  for (size_t i = 0; i < trainer.objectives.size(); ++i) {
    RETURN_IF_ERROR(
        trainer.objectives[i].loss.ValidateDimensions(checked.FieldOf(i, "loss"), checked.base.contract.dimensions));
  }
  return absl::OkStatus();
}

}  // namespace

std::string CheckedRequest::FieldOf(size_t i, std::string_view field) const {
  return trainer.objectives.size() == 1 ? std::string(field) : Concat("objectives[", i, "].", field);
}

absl::StatusOr<CheckedRequest> CheckRequest(const TrainingJobsOptions& options, const TrainingJobRequest& request,
                                            MetaStore* store) {
  RETURN_IF_ERROR(request.options.Validate());
  if (request.sources.size() != request.options.objectives.size()) {
    return absl::InternalError("a training job needs one dataset an objective");
  }
  CheckedRequest checked{.trainer = request.options};
  checked.trainer.threads = options.trainer_threads;
  ASSIGN_OR_RETURN(checked.base, store->GetModelRevision(request.tenant, request.base_model, request.base_revision));
  for (size_t i = 0; i < request.sources.size(); ++i) {
    ASSIGN_OR_RETURN(checked.sources.emplace_back(),
                     ChosenCommit(store, request.tenant, request.sources[i], checked.FieldOf(i, "dataset_commit")));
  }
  if (!request.validation_dataset.empty()) {
    ASSIGN_OR_RETURN(checked.validation, ChosenCommit(store, request.tenant, {request.validation_dataset}, ""));
  }
  const std::filesystem::path base =
      RevisionDirectory(options.data_directory, request.tenant, request.base_model, request.base_revision);
  checked.config = ReadConfig(base);
  RETURN_IF_ERROR(CheckAgainstModel(checked));
  return checked;
}

absl::StatusOr<DatasetCommit> ChosenCommit(MetaStore* store, const std::string& tenant, const TrainingSource& source,
                                           const std::string& field) {
  ASSIGN_OR_RETURN(const DatasetRecord dataset, store->GetDataset(tenant, source.dataset));
  const int64_t commit = source.commit.value_or(dataset.commit);
  if (source.commit && (commit < 1 || commit > dataset.commit)) {
    return InvalidField(
        field, Concat(commit, ": must be in [1, ", dataset.commit, "], the commits of datasets/", source.dataset));
  }
  return DatasetCommit{source.dataset, commit};
}

std::optional<int64_t> NumberOf(const nlohmann::json& config, std::initializer_list<const char*> keys) {
  if (!config.is_object()) return std::nullopt;
  for (const char* const key : keys) {
    const auto found = config.find(key);
    if (found != config.end() && found->is_number_integer()) return found->get<int64_t>();
  }
  return std::nullopt;
}

ExampleSource SourceOf(const CheckedRequest& checked, size_t i) {
  return {.field = checked.FieldOf(i, "dataset"),
          .tenant = checked.base.tenant,
          .dataset = checked.sources[i].dataset,
          .up_to = checked.sources[i].commit,
          .loss = &checked.trainer.objectives[i].loss,
          .mined = checked.trainer.mining.has_value()};
}

ExampleSource ValidationSourceOf(const CheckedRequest& checked) {
  return {.field = "validation_dataset",
          .tenant = checked.base.tenant,
          .dataset = checked.validation->dataset,
          .up_to = checked.validation->commit};
}

absl::Status CheckAgainstExamples(const CheckedRequest& checked, const std::vector<ExampleCounts>& counts) {
  const TrainerOptions& trainer = checked.trainer;
  int64_t most = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    RETURN_IF_ERROR(trainer.ValidateFor(counts[i].form));
    const bool plain = trainer.SamplerFor(counts[i].form) == BatchSampler::kPlain;
    // A batch without duplicates may be as small as the loss allows.
    const int64_t fewest = std::holds_alternative<InfoNceOptions>(trainer.objectives[i].loss.kind) ? 2 : 1;
    const int64_t smallest = plain ? trainer.batch_size : fewest;
    most += (counts[i].examples + smallest - 1) / smallest * trainer.epochs;
  }
  most = std::min(most, trainer.max_steps.value_or(most));
  if (!trainer.warmup_steps || *trainer.warmup_steps < most) return absl::OkStatus();
  return InvalidField("options.warmup_steps",
                      Concat(*trainer.warmup_steps, ": must be less than all steps, which are at most ", most));
}

}  // namespace tandem
