#include "server/base/job_directory.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <variant>

#include "server/base/field_checks.h"
#include "server/base/object_reader.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

constexpr int64_t kMostSteps = 10'000'000;
constexpr int64_t kMostBatchSize = 4096;          // Texts whose activations may be in memory at once.
constexpr int64_t kMostCachedBatchSize = 65'536;  // Where only their embeddings are.

// Where objective i stands in the request.
std::string ObjectivePath(const TrainerOptions& options, size_t i, std::string_view field) {
  return options.objectives.size() == 1 ? std::string(field) : Concat("objectives[", i, "].", field);
}

absl::Status CheckObjectives(const TrainerOptions& options) {
  if (options.objectives.empty() || options.objectives.size() > kMostObjectives) {
    return InvalidField("objectives", Concat(options.objectives.size(), " objectives: must be 1 to ", kMostObjectives));
  }
  for (size_t i = 0; i < options.objectives.size(); ++i) {
    const ObjectiveOptions& objective = options.objectives[i];
    const std::string path = ObjectivePath(options, i, "loss");
    RETURN_IF_ERROR(objective.loss.Validate(path));
    RETURN_IF_ERROR(CheckPositive(ObjectivePath(options, i, "weight"), objective.weight, 1000));
    const auto* const info_nce = std::get_if<InfoNceOptions>(&objective.loss.kind);
    if (info_nce && info_nce->symmetric && options.batch_sampler == BatchSampler::kPlain) {
      return InvalidField(Concat(path, ".info_nce.symmetric"),
                          "true: not with options.batch_sampler PLAIN, whose repeated texts it would push apart");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckBatches(const TrainerOptions& options) {
  RETURN_IF_ERROR(CheckRange("options.batch_size", options.batch_size, 2, kMostCachedBatchSize));
  RETURN_IF_ERROR(CheckRange("options.micro_batch_size", options.micro_batch_size, 1, kMostBatchSize));
  if (options.batch_size > kMostBatchSize && !options.micro_batch_size) {
    return InvalidField("options.batch_size", Concat(options.batch_size, ": must be at most ", kMostBatchSize,
                                                     " unless options.micro_batch_size is set"));
  }
  // How it goes with batch_size is a question for BALANCED only: ValidateFor.
  return CheckRange("options.texts_per_class", options.texts_per_class, 2, kMostCachedBatchSize / 2);
}

absl::Status CheckSteps(const TrainerOptions& options) {
  RETURN_IF_ERROR(CheckRange("options.epochs", options.epochs, 1, 1000));
  RETURN_IF_ERROR(CheckRange("options.max_steps", options.max_steps, 1, kMostSteps));
  RETURN_IF_ERROR(CheckAtLeast("options.warmup_steps", options.warmup_steps, 0));
  RETURN_IF_ERROR(CheckRange("options.evaluation_steps", options.evaluation_steps, 1, kMostSteps));
  RETURN_IF_ERROR(CheckRange("options.early_stopping_patience", options.early_stopping_patience, 1, 1000));
  RETURN_IF_ERROR(CheckRange("options.checkpoint_steps", options.checkpoint_steps, 1, kMostSteps));
  if (!options.warmup_steps || !options.max_steps || *options.warmup_steps < *options.max_steps) {
    return absl::OkStatus();
  }
  return InvalidField("options.warmup_steps",
                      Concat(*options.warmup_steps, ": must be less than options.max_steps ", *options.max_steps));
}

absl::Status CheckMining(const TrainerOptions& options) {
  if (!options.mining) return absl::OkStatus();
  RETURN_IF_ERROR(options.mining->options.Validate("options.mining.options"));
  RETURN_IF_ERROR(CheckRange("options.mining.refresh_epochs", options.mining->refresh_epochs, 1, 1000));
  const auto takes = [](const ObjectiveOptions& objective) { return TakesNegatives(objective.loss); };
  if (std::ranges::any_of(options.objectives, takes)) return absl::OkStatus();
  return InvalidField(
      "options.mining",
      Concat("no loss that takes an example's negatives, as info_nce, nt_xent, n_pair, and triplet with "
             "mining EXPLICIT do; the loss is ",
             NameOf(options.objectives[0].loss)));
}

nlohmann::json ToJson(const ObjectiveOptions& objective) {
  return {{"loss", ToJson(objective.loss)}, {"weight", objective.weight}};
}

absl::StatusOr<ObjectiveOptions> ObjectiveFromJson(const nlohmann::json& json) {
  ObjectiveOptions objective;
  ObjectReader reader("an objective of the trainer options", json);
  reader.Read("weight", objective.weight);
  if (const nlohmann::json* const loss = reader.Find("loss")) {
    ASSIGN_OR_RETURN(objective.loss, LossOptionsFromJson(*loss));
  }
  RETURN_IF_ERROR(reader.Finish());
  return objective;
}

absl::StatusOr<std::vector<ObjectiveOptions>> ObjectivesFromJson(const nlohmann::json& json) {
  if (!json.is_array()) return absl::InvalidArgumentError("trainer options: objectives: not a list");
  std::vector<ObjectiveOptions> objectives;
  for (const nlohmann::json& element : json) {
    ASSIGN_OR_RETURN(ObjectiveOptions objective, ObjectiveFromJson(element));
    objectives.push_back(std::move(objective));
  }
  return objectives;
}

absl::StatusOr<LoraOptions> LoraFromJson(const nlohmann::json& json) {
  LoraOptions lora;
  ObjectReader reader("lora of the trainer options", json);
  reader.Read("rank", lora.rank);
  reader.Read("alpha", lora.alpha);
  reader.Read("dropout", lora.dropout);
  reader.ReadEnum("initialization", lora.initialization, LoraInitialization::kPrincipal);
  RETURN_IF_ERROR(reader.Finish());
  return lora;
}

absl::StatusOr<MiningDuringTraining> MiningFromJson(const nlohmann::json& json) {
  MiningDuringTraining mining;
  ObjectReader reader("mining of the trainer options", json);
  reader.Read("refresh_epochs", mining.refresh_epochs);
  if (const nlohmann::json* const options = reader.Find("options")) {
    ASSIGN_OR_RETURN(mining.options, NegativeMiningOptionsFromJson(*options));
  }
  RETURN_IF_ERROR(reader.Finish());
  return mining;
}

}  // namespace

BatchSampler TrainerOptions::SamplerFor(ExampleForm form) const {
  return batch_sampler.value_or(form == ExampleForm::kLabelledText ? BatchSampler::kBalanced
                                                                   : BatchSampler::kNoDuplicates);
}

absl::Status TrainerOptions::Validate() const {
  RETURN_IF_ERROR(CheckObjectives(*this));
  RETURN_IF_ERROR(CheckBatches(*this));
  RETURN_IF_ERROR(CheckSteps(*this));
  RETURN_IF_ERROR(CheckPositive("options.learning_rate", learning_rate, 1));
  RETURN_IF_ERROR(CheckBetween("options.weight_decay", weight_decay, 0, 1));
  RETURN_IF_ERROR(CheckPositive("options.max_gradient_norm", max_gradient_norm, 1e6));
  RETURN_IF_ERROR(CheckAtLeast("options.max_length", max_length, 4));
  RETURN_IF_ERROR(CheckAtLeast("options.seed", seed, 0));
  RETURN_IF_ERROR(CheckBetween("options.validation_fraction", validation_fraction, 0, 0.5));
  RETURN_IF_ERROR(CheckRange("options.freeze_layers", freeze_layers, 0, 1000));
  RETURN_IF_ERROR(CheckPositive("options.layer_decay", layer_decay, 1));
  RETURN_IF_ERROR(CheckRange("options.lora.rank", lora.rank, 0, 256));
  RETURN_IF_ERROR(CheckBetween("options.lora.alpha", lora.alpha, 0, 10'000));
  RETURN_IF_ERROR(CheckBetween("options.lora.dropout", lora.dropout, 0, 0.9));
  if (lora.dropout > 0 && lora.initialization == LoraInitialization::kPrincipal) {
    return InvalidField("options.lora.dropout", Concat(lora.dropout, ": must be 0 with principal initialization"));
  }
  RETURN_IF_ERROR(CheckMining(*this));
  return CheckRange("threads", threads, 1, 1024);
}

absl::Status TrainerOptions::ValidateFor(ExampleForm form) const {
  if (SamplerFor(form) != BatchSampler::kBalanced) return absl::OkStatus();
  if (form != ExampleForm::kLabelledText) {
    return InvalidField(
        "options.batch_sampler",
        Concat("BALANCED: is for labelled texts, which have classes; an example of the dataset is ", NameOf(form)));
  }
  if (texts_per_class <= batch_size / 2) return absl::OkStatus();
  return InvalidField("options.texts_per_class", Concat(texts_per_class, ": a batch of options.batch_size ", batch_size,
                                                        " texts would hold one class only"));
}

std::string ExamplesFile(int objective) { return Concat("examples-", objective, ".jsonl"); }

std::filesystem::path BaseDirectory(const TrainerOptions& options, const std::filesystem::path& job_directory) {
  return (job_directory / options.base_directory).lexically_normal();
}

nlohmann::json ToJson(const TrainerOptions& options) {
  nlohmann::json json = {{"base_directory", options.base_directory},
                         {"objectives", nlohmann::json::array()},
                         {"mixing", static_cast<int>(options.mixing)},
                         {"batch_size", options.batch_size},
                         {"epochs", options.epochs},
                         {"learning_rate", options.learning_rate},
                         {"schedule", static_cast<int>(options.schedule)},
                         {"weight_decay", options.weight_decay},
                         {"max_gradient_norm", options.max_gradient_norm},
                         {"seed", options.seed},
                         {"order", static_cast<int>(options.order)},
                         {"texts_per_class", options.texts_per_class},
                         {"validation_fraction", options.validation_fraction},
                         {"checkpoint_steps", options.checkpoint_steps},
                         {"freeze_embeddings", options.freeze_embeddings},
                         {"freeze_layers", options.freeze_layers},
                         {"layer_decay", options.layer_decay},
                         {"precision", static_cast<int>(options.precision)},
                         {"lora",
                          {{"rank", options.lora.rank},
                           {"alpha", options.lora.alpha},
                           {"dropout", options.lora.dropout},
                           {"initialization", static_cast<int>(options.lora.initialization)}}},
                         {"threads", options.threads}};
  for (const ObjectiveOptions& objective : options.objectives) json["objectives"].push_back(ToJson(objective));
  if (options.micro_batch_size) json["micro_batch_size"] = *options.micro_batch_size;
  if (options.max_steps) json["max_steps"] = *options.max_steps;
  if (options.warmup_steps) json["warmup_steps"] = *options.warmup_steps;
  if (options.max_length) json["max_length"] = *options.max_length;
  if (options.batch_sampler) json["batch_sampler"] = static_cast<int>(*options.batch_sampler);
  if (options.evaluation_steps) json["evaluation_steps"] = *options.evaluation_steps;
  if (options.early_stopping_patience) json["early_stopping_patience"] = *options.early_stopping_patience;
  if (options.keep) json["keep"] = static_cast<int>(*options.keep);
  if (options.mining) {
    json["mining"] = {{"options", ToJson(options.mining->options)}, {"refresh_epochs", options.mining->refresh_epochs}};
  }
  return json;
}

absl::StatusOr<TrainerOptions> TrainerOptionsFromJson(const nlohmann::json& json) {
  TrainerOptions options;
  ObjectReader reader("trainer options", json);
  reader.Read("base_directory", options.base_directory);
  reader.ReadEnum("mixing", options.mixing, Mixing::kSum);
  reader.Read("batch_size", options.batch_size);
  reader.Read("micro_batch_size", options.micro_batch_size);
  reader.Read("epochs", options.epochs);
  reader.Read("max_steps", options.max_steps);
  reader.Read("learning_rate", options.learning_rate);
  reader.Read("warmup_steps", options.warmup_steps);
  reader.ReadEnum("schedule", options.schedule, Schedule::kConstant);
  reader.Read("weight_decay", options.weight_decay);
  reader.Read("max_gradient_norm", options.max_gradient_norm);
  reader.Read("max_length", options.max_length);
  reader.Read("seed", options.seed);
  reader.ReadEnum("order", options.order, ExampleOrder::kGiven);
  reader.ReadEnum("batch_sampler", options.batch_sampler, BatchSampler::kBalanced);
  reader.Read("texts_per_class", options.texts_per_class);
  reader.Read("validation_fraction", options.validation_fraction);
  reader.Read("evaluation_steps", options.evaluation_steps);
  reader.Read("early_stopping_patience", options.early_stopping_patience);
  reader.ReadEnum("keep", options.keep, KeepRevision::kLast);
  reader.Read("checkpoint_steps", options.checkpoint_steps);
  reader.Read("freeze_embeddings", options.freeze_embeddings);
  reader.Read("freeze_layers", options.freeze_layers);
  reader.Read("layer_decay", options.layer_decay);
  reader.ReadEnum("precision", options.precision, Precision::kBFloat16);
  reader.Read("threads", options.threads);
  if (const nlohmann::json* const lora = reader.Find("lora")) {
    ASSIGN_OR_RETURN(options.lora, LoraFromJson(*lora));
  }
  if (const nlohmann::json* const mining = reader.Find("mining")) {
    ASSIGN_OR_RETURN(options.mining, MiningFromJson(*mining));
  }
  if (const nlohmann::json* const objectives = reader.Find("objectives")) {
    ASSIGN_OR_RETURN(options.objectives, ObjectivesFromJson(*objectives));
  }
  RETURN_IF_ERROR(reader.Finish());
  if (options.base_directory.empty()) {
    return absl::InvalidArgumentError("trainer options: base_directory is missing");
  }
  return options;
}

}  // namespace tandem
