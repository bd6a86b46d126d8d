// What a training request minimises, and its options.

#include <algorithm>

#include "server/rpc/convert.h"
#include "tandem/v1/loss.pb.h"
#include "tandem/v1/training.pb.h"

namespace tandem {
namespace {

// The enums have the API's numbers; 0, and what is not set, leaves the default.
template <typename Enum>
void TakeEnum(int from, Enum& out) {
  if (from != 0) out = static_cast<Enum>(from);
}

InfoNceOptions FromProto(const v1::InfoNceLoss& from) {
  InfoNceOptions options;
  if (from.has_scale()) options.scale = from.scale();
  options.symmetric = from.symmetric();
  options.query_negatives = from.query_negatives();
  options.document_negatives = from.document_negatives();
  if (from.has_hardness()) options.hardness = from.hardness();
  TakeEnum(from.hard_negatives(), options.hard_negatives);
  if (from.has_false_negative_margin()) options.false_negative_margin = from.false_negative_margin();
  options.several_positives = from.several_positives();
  return options;
}

TripletOptions FromProto(const v1::TripletLoss& from) {
  TripletOptions options;
  TakeEnum(from.mining(), options.mining);
  TakeEnum(from.distance(), options.distance);
  if (from.has_margin()) options.margin = from.margin();
  return options;
}

ContrastiveOptions FromProto(const v1::ContrastiveLoss& from) {
  ContrastiveOptions options;
  TakeEnum(from.distance(), options.distance);
  if (from.has_margin()) options.margin = from.margin();
  if (from.has_squared()) options.squared = from.squared();
  options.only_hard = from.only_hard();
  return options;
}

template <typename Options, typename Loss>
Options WithTemperature(const Loss& from) {
  Options options;
  if (from.has_temperature()) options.temperature = from.temperature();
  return options;
}

template <typename Options, typename Loss>
Options WithScale(const Loss& from) {
  Options options;
  if (from.has_scale()) options.scale = from.scale();
  return options;
}

void TakeBatches(const v1::TrainingOptions& from, TrainerOptions& options) {
  if (from.has_batch_size()) options.batch_size = from.batch_size();
  if (from.has_micro_batch_size()) options.micro_batch_size = from.micro_batch_size();
  if (from.batch_sampler() != 0) options.batch_sampler = static_cast<BatchSampler>(from.batch_sampler());
  // Two classes fit into a batch, unless the caller says otherwise.
  options.texts_per_class = std::clamp(options.batch_size / 2, 2, options.texts_per_class);
  if (from.has_texts_per_class()) options.texts_per_class = from.texts_per_class();
  TakeEnum(from.mixing(), options.mixing);
  TakeEnum(from.order(), options.order);
  if (from.has_max_length()) options.max_length = from.max_length();
  if (from.has_seed()) options.seed = from.seed();
}

void TakeSteps(const v1::TrainingOptions& from, TrainerOptions& options) {
  if (from.has_epochs()) options.epochs = from.epochs();
  if (from.has_max_steps()) options.max_steps = from.max_steps();
  if (from.has_learning_rate()) options.learning_rate = from.learning_rate();
  if (from.has_warmup_steps()) options.warmup_steps = from.warmup_steps();
  TakeEnum(from.schedule(), options.schedule);
  if (from.has_weight_decay()) options.weight_decay = from.weight_decay();
  if (from.has_max_gradient_norm()) options.max_gradient_norm = from.max_gradient_norm();
  if (from.has_validation_fraction()) options.validation_fraction = from.validation_fraction();
  if (from.has_evaluation_steps()) options.evaluation_steps = from.evaluation_steps();
  if (from.has_early_stopping_patience()) options.early_stopping_patience = from.early_stopping_patience();
  if (from.keep() != 0) options.keep = static_cast<KeepRevision>(from.keep());
  if (from.has_checkpoint_steps()) options.checkpoint_steps = from.checkpoint_steps();
}

void TakeWeights(const v1::TrainingOptions& from, TrainerOptions& options) {
  options.freeze_embeddings = from.freeze_embeddings();
  if (from.has_freeze_layers()) options.freeze_layers = from.freeze_layers();
  if (from.has_layer_decay()) options.layer_decay = from.layer_decay();
  TakeEnum(from.precision(), options.precision);
  options.lora.rank = from.lora().rank();
  if (from.lora().has_alpha()) options.lora.alpha = from.lora().alpha();
  if (from.lora().has_dropout()) options.lora.dropout = from.lora().dropout();
  TakeEnum(from.lora().initialization(), options.lora.initialization);
}

void TakeMining(const v1::MiningDuringTraining& from, TrainerOptions& options) {
  MiningDuringTraining& mining = options.mining.emplace();
  mining.options = tandem::FromProto(from.options());  // The outer one: others hide it here.
  if (from.has_refresh_epochs()) mining.refresh_epochs = from.refresh_epochs();
}

}  // namespace

LossOptions FromProto(const v1::Loss& from) {
  LossOptions loss;
  switch (from.kind_case()) {
    case v1::Loss::kInfoNce:
      loss.kind = FromProto(from.info_nce());
      break;
    case v1::Loss::kNtXent:
      loss.kind = WithTemperature<NtXentOptions>(from.nt_xent());
      break;
    case v1::Loss::kNPair:
      loss.kind = NPairOptions();
      if (from.n_pair().has_regularization()) loss.kind = NPairOptions{from.n_pair().regularization()};
      break;
    case v1::Loss::kTriplet:
      loss.kind = FromProto(from.triplet());
      break;
    case v1::Loss::kSupCon:
      loss.kind = WithTemperature<SupConOptions>(from.sup_con());
      break;
    case v1::Loss::kContrastive:
      loss.kind = FromProto(from.contrastive());
      break;
    case v1::Loss::kSimCse:
      loss.kind = WithScale<SimCseOptions>(from.sim_cse());
      break;
    case v1::Loss::kCosent:
      loss.kind = WithScale<CosentOptions>(from.cosent());
      break;
    case v1::Loss::kAngle:
      loss.kind = WithScale<AngleOptions>(from.angle());
      break;
    case v1::Loss::kCosineMse:
      loss.kind = CosineMseOptions();
      break;
    case v1::Loss::KIND_NOT_SET:
      break;  // InfoNCE with its defaults.
  }
  loss.matryoshka.dimensions.assign(from.matryoshka().dimensions().begin(), from.matryoshka().dimensions().end());
  loss.matryoshka.weights.assign(from.matryoshka().weights().begin(), from.matryoshka().weights().end());
  return loss;
}

TrainerOptions ToTrainerOptions(const v1::TrainRequest& request) {
  TrainerOptions options;
  if (request.objectives().empty()) {
    options.objectives[0].loss = FromProto(request.loss());
  } else {
    options.objectives.clear();
  }
  for (const v1::Objective& objective : request.objectives()) {
    options.objectives.push_back({FromProto(objective.loss()), objective.has_weight() ? objective.weight() : 1});
  }
  TakeBatches(request.options(), options);
  TakeSteps(request.options(), options);
  TakeWeights(request.options(), options);
  if (request.options().has_mining()) TakeMining(request.options().mining(), options);
  return options;
}

}  // namespace tandem
