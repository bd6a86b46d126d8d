// Requests of TrainingService and JobService.

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/rpc/checks.h"
#include "server/rpc/convert.h"
#include "server/rpc/names.h"
#include "server/rpc/validate.h"
#include "tandem/v1/job.pb.h"
#include "tandem/v1/loss.pb.h"
#include "tandem/v1/training.pb.h"

namespace tandem {
namespace {

absl::Status CheckDistance(std::string_view path, v1::Loss::Distance distance) {
  return CheckEnum(path, distance, v1::Loss::Distance_IsValid(distance), "Loss.Distance");
}

absl::Status ValidateLossEnums(std::string_view path, const v1::Loss& loss) {
  const v1::InfoNceLoss::HardNegatives negatives = loss.info_nce().hard_negatives();
  RETURN_IF_ERROR(CheckEnum(Concat(path, ".info_nce.hard_negatives"), negatives,
                            v1::InfoNceLoss::HardNegatives_IsValid(negatives), "InfoNceLoss.HardNegatives"));
  const v1::TripletLoss::Mining mining = loss.triplet().mining();
  RETURN_IF_ERROR(CheckEnum(Concat(path, ".triplet.mining"), mining, v1::TripletLoss::Mining_IsValid(mining),
                            "TripletLoss.Mining"));
  RETURN_IF_ERROR(CheckDistance(Concat(path, ".triplet.distance"), loss.triplet().distance()));
  return CheckDistance(Concat(path, ".contrastive.distance"), loss.contrastive().distance());
}

absl::Status ValidateOptionEnums(const v1::TrainingOptions& options) {
  using Options = v1::TrainingOptions;
  RETURN_IF_ERROR(CheckEnum("options.schedule", options.schedule(), Options::Schedule_IsValid(options.schedule()),
                            "TrainingOptions.Schedule"));
  RETURN_IF_ERROR(
      CheckEnum("options.order", options.order(), Options::Order_IsValid(options.order()), "TrainingOptions.Order"));
  RETURN_IF_ERROR(CheckEnum("options.batch_sampler", options.batch_sampler(),
                            Options::BatchSampler_IsValid(options.batch_sampler()), "TrainingOptions.BatchSampler"));
  RETURN_IF_ERROR(CheckEnum("options.mixing", options.mixing(), Options::Mixing_IsValid(options.mixing()),
                            "TrainingOptions.Mixing"));
  RETURN_IF_ERROR(CheckEnum("options.precision", options.precision(), Options::Precision_IsValid(options.precision()),
                            "TrainingOptions.Precision"));
  return CheckEnum("options.keep", options.keep(), Options::Keep_IsValid(options.keep()), "TrainingOptions.Keep");
}

absl::Status ValidateSource(std::string_view prefix, const std::string& dataset, std::optional<int64_t> commit) {
  RETURN_IF_ERROR(ParseDataset(Concat(prefix, "dataset"), dataset).status());
  return CheckAtLeast(Concat(prefix, "dataset_commit"), commit, 1);
}

template <typename Message>  // TrainRequest, Objective or MineNegativesRequest.
std::optional<int64_t> CommitOf(const Message& message) {
  return message.has_dataset_commit() ? std::optional<int64_t>(message.dataset_commit()) : std::nullopt;
}

// What is trained on is said in one of two ways.
absl::Status ValidateObjectives(const v1::TrainRequest& request) {
  if (request.objectives().empty()) {
    RETURN_IF_ERROR(ValidateSource("", request.dataset(), CommitOf(request)));
    return ValidateLossEnums("loss", request.loss());
  }
  const auto instead = [](std::string_view field) {
    return InvalidField(field, "is not for a request with objectives");
  };
  if (!request.dataset().empty()) return instead("dataset");
  if (request.has_dataset_commit()) return instead("dataset_commit");
  if (request.has_loss()) return instead("loss");
  RETURN_IF_ERROR(CheckCount("objectives", request.objectives_size(), 1, kMostObjectives));
  for (int i = 0; i < request.objectives_size(); ++i) {
    const v1::Objective& objective = request.objectives(i);
    const std::string path = Path("objectives", i);
    RETURN_IF_ERROR(ValidateSource(path + ".", objective.dataset(), CommitOf(objective)));
    RETURN_IF_ERROR(ValidateLossEnums(path + ".loss", objective.loss()));
  }
  return absl::OkStatus();
}

absl::Status ValidateValidation(const v1::TrainRequest& request) {
  const std::string& dataset = request.validation_dataset();
  if (!dataset.empty()) {
    RETURN_IF_ERROR(ParseDataset("validation_dataset", dataset).status());
    bool trained_on = dataset == request.dataset();
    for (const v1::Objective& objective : request.objectives()) trained_on |= dataset == objective.dataset();
    if (trained_on) return InvalidField("validation_dataset", "is a dataset that is trained on");
    return absl::OkStatus();
  }
  const v1::TrainingOptions& options = request.options();
  if (!options.has_validation_fraction() || options.validation_fraction() != 0) return absl::OkStatus();
  constexpr char kNone[] = "there is no validation: options.validation_fraction is 0 and validation_dataset is empty";
  if (options.has_early_stopping_patience()) return InvalidField("options.early_stopping_patience", kNone);
  if (options.keep() == v1::TrainingOptions::BEST) return InvalidField("options.keep", Concat("BEST: ", kNone));
  return absl::OkStatus();
}

absl::Status ValidateLora(const v1::TrainingOptions& options) {
  if (!options.has_lora()) return absl::OkStatus();
  RETURN_IF_ERROR(CheckRange("options.lora.rank", options.lora().rank(), 1, 256));
  RETURN_IF_ERROR(CheckEnum("options.lora.initialization", options.lora().initialization(),
                            v1::TrainingOptions::Lora::Initialization_IsValid(options.lora().initialization()),
                            "TrainingOptions.Lora.Initialization"));
  if (!options.lora().has_alpha()) return absl::OkStatus();
  return CheckPositive("options.lora.alpha", options.lora().alpha(), 10'000);
}

absl::Status ValidateMining(std::string_view path, const v1::NegativeMining& mining) {
  RETURN_IF_ERROR(CheckEnum(Concat(path, ".sampling"), mining.sampling(),
                            v1::NegativeMining::Sampling_IsValid(mining.sampling()), "NegativeMining.Sampling"));
  return FromProto(mining).Validate(path);
}

}  // namespace

absl::Status Validate(const v1::TrainRequest& request) {
  RETURN_IF_ERROR(ParseModelOrRevision("base_revision", request.base_revision()).status());
  if (!request.target_model().empty()) RETURN_IF_ERROR(ParseModel("target_model", request.target_model()).status());
  RETURN_IF_ERROR(ValidateObjectives(request));
  RETURN_IF_ERROR(ValidateOptionEnums(request.options()));
  RETURN_IF_ERROR(ValidateLora(request.options()));
  RETURN_IF_ERROR(ValidateMining("options.mining.options", request.options().mining().options()));
  RETURN_IF_ERROR(InObjective(request, ToTrainerOptions(request).Validate()));
  RETURN_IF_ERROR(ValidateValidation(request));
  return CheckRequestId(request.request_id());
}

absl::Status InObjective(const v1::TrainRequest& request, const absl::Status& status) {
  const std::string path = FieldPath(status).value_or("");
  const std::string_view field = std::string_view(path).substr(0, path.find('.'));
  const bool of_objective = field == "dataset" || field == "dataset_commit" || field == "loss" || field == "weight";
  return request.objectives_size() == 1 && of_objective ? PrefixField("objectives[0]", status) : status;
}

absl::Status Validate(const v1::MineNegativesRequest& request) {
  RETURN_IF_ERROR(ValidateSource("", request.dataset(), CommitOf(request)));
  RETURN_IF_ERROR(ParseCollection("collection", request.collection()).status());
  if (!request.target_dataset().empty()) {
    RETURN_IF_ERROR(ParseDataset("target_dataset", request.target_dataset()).status());
    if (request.target_dataset() == request.dataset()) {
      return InvalidField("target_dataset", "is the dataset whose pairs would be appended to it again");
    }
  }
  RETURN_IF_ERROR(ValidateMining("mining", request.mining()));
  return CheckRequestId(request.request_id());
}

absl::Status Validate(const v1::GetJobRequest& request) { return ParseJob("name", request.name()).status(); }

absl::Status Validate(const v1::ListJobsRequest& request) {
  return ParsePage("jobs", request.page_size(), request.page_token()).status();
}

absl::Status Validate(const v1::CancelJobRequest& request) { return ParseJob("name", request.name()).status(); }

absl::Status Validate(const v1::DeleteJobRequest& request) { return ParseJob("name", request.name()).status(); }

absl::Status Validate(const v1::WatchJobRequest& request) {
  RETURN_IF_ERROR(ParseJob("name", request.name()).status());
  return CheckAtLeast("after_sequence", request.after_sequence(), 0);
}

}  // namespace tandem
