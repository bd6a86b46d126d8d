#include "server/training/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "server/base/files.h"
#include "server/base/job_directory.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/encoder/text_model.h"
#include "server/encoder/torch_guard.h"
#include "server/training/checkpoint.h"
#include "server/training/hard_negatives.h"
#include "server/training/model_comparison.h"
#include "server/training/optimizer.h"
#include "server/training/schedule.h"
#include "server/training/step_rate.h"
#include "server/training/token_cache.h"
#include "server/training/trainer_events.h"
#include "server/training/training_plan.h"
#include "server/training/training_step.h"
#include "server/training/validation.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

// Long work between steps says so this often, or the supervisor would take the trainer for hung.
constexpr std::chrono::seconds kReportInterval{30};

double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// The metric decides; small splits often tie, then the loss does.
bool IsBetter(const ValidationResult& a, const ValidationResult& b) {
  if (a.metrics.score() != b.metrics.score()) return a.metrics.score() > b.metrics.score();
  return a.loss.value_or(0) < b.loss.value_or(0);
}

class Trainer {
 public:
  Trainer(fs::path job_directory, const std::atomic<bool>& stop, TrainerEvents& events)
      : job_directory_(std::move(job_directory)), stop_(stop), events_(events) {}

  absl::StatusOr<TrainerOutcome> Run();

 private:
  absl::Status Prepare();
  absl::Status LoadModel();
  absl::Status CheckModel() const;
  absl::Status Tokenize();

  absl::Status Train();
  absl::Status MineIfDue();
  absl::Status Step();
  absl::StatusOr<StepReport> Learn(const TrainingStep& step);
  absl::StatusOr<ValidationOutcomes> Validate(TextModel& model, int64_t step);
  absl::Status ValidateBase();
  absl::Status ValidateIfDue();
  absl::Status SaveCheckpoint();
  absl::StatusOr<std::optional<TrainingComparison>> CompareWithBase(bool from_best);
  absl::Status PublishResult();
  absl::Status Proceed(const char* what, int64_t done, int64_t total);

  bool IsOver() const;  // All steps are done, or validations have not become better for long enough.

  const fs::path job_directory_;
  const std::atomic<bool>& stop_;
  TrainerEvents& events_;
  Clock::time_point last_report_ = Clock::now();

  std::unique_ptr<TrainingPlan> plan_;
  TokenCache tokens_;
  std::optional<HardNegatives> negatives_;  // That are mined during training.
  std::optional<Validator> validator_;
  ValidationItems items_;                              // What its outcomes are of.
  std::optional<ValidationOutcomes> baseline_, last_;  // Of the base model, and of the last validation of this process.

  std::optional<CheckpointDirectory> checkpoints_;
  std::unique_ptr<TextModel> model_;
  int64_t parameters_ = 0;  // Of the model, without adapters.
  std::optional<AdamW> optimizer_;
  TrainerState state_;
  int64_t saved_step_ = 0;
  StepRate rate_;
};

absl::StatusOr<TrainerOutcome> Trainer::Run() {
  if (fs::exists(job_directory_ / kResultDirectory)) return TrainerOutcome::kDone;
  absl::Status status = Prepare();
  if (status.ok()) status = Train();
  if (absl::IsCancelled(status)) {
    // Before the first step, and when nothing happened since the last checkpoint, there is nothing to save.
    if (optimizer_ && state_.step > saved_step_) RETURN_IF_ERROR(SaveCheckpoint());
    return TrainerOutcome::kStopped;
  }
  RETURN_IF_ERROR(status);
  RETURN_IF_ERROR(PublishResult());
  return TrainerOutcome::kDone;
}

absl::Status Trainer::Prepare() {
  RETURN_IF_ERROR(RemoveStaging(job_directory_));
  ASSIGN_OR_RETURN(plan_, MakeTrainingPlan(job_directory_));
  RETURN_IF_ERROR(events_.Message(plan_->examples.summary));
  torch::set_num_threads(plan_->options.threads);
  checkpoints_.emplace(job_directory_, plan_->options.base_directory);
  RETURN_IF_ERROR(LoadModel());
  return Tokenize();
}

absl::Status Trainer::LoadModel() {
  const TrainerOptions& options = plan_->options;
  std::vector<std::string> problems;
  ASSIGN_OR_RETURN(const std::optional<CheckpointDirectory::Found> found, checkpoints_->FindNewest(problems));
  for (const std::string& problem : problems) RETURN_IF_ERROR(events_.Message(problem));
  const bool lora = options.lora.rank > 0;
  ASSIGN_OR_RETURN(model_,
                   TextModel::Load(found && !lora ? found->model_directory() : fs::path(options.base_directory)));
  RETURN_IF_ERROR(CheckModel());
  for (const ModelParameter& parameter : model_->Parameters()) {
    parameter.value.set_requires_grad(true);
    parameters_ += parameter.value.numel();
  }
  if (lora) {
    RETURN_IF_ERROR(model_->AddLora(options.lora, static_cast<uint64_t>(options.seed)));
    if (found) RETURN_IF_ERROR(model_->LoadLora(found->adapters_file()));
  }
  const int64_t frozen = options.freeze_layers > 0 ? options.freeze_layers : options.freeze_embeddings ? 0 : -1;
  const std::vector<ModelParameter> parameters = model_->Parameters();
  int64_t trained = 0;
  for (const ModelParameter& parameter : parameters) {
    if (parameter.layer <= frozen) parameter.value.set_requires_grad(false);
    if (parameter.value.requires_grad()) trained += parameter.value.numel();
  }
  if (trained < parameters_) {
    RETURN_IF_ERROR(events_.Message(Concat(trained, " parameters are trained; the model has ", parameters_)));
  }
  optimizer_.emplace(parameters, AdamWOptions{.weight_decay = options.weight_decay,
                                              .layer_decay = options.layer_decay,
                                              .layers = model_->layers()});
  if (found) {
    RETURN_IF_ERROR(optimizer_->Load(found->optimizer_file()));
    state_ = found->state;
    saved_step_ = state_.step;
    RETURN_IF_ERROR(events_.Message(Concat("going on from the checkpoint of step ", state_.step)));
  }
  plan_->steps->GoTo(state_.epoch, state_.position);
  return absl::OkStatus();
}

absl::Status Trainer::CheckModel() const {
  const TrainerOptions& options = plan_->options;
  if (options.max_length && *options.max_length > model_->max_positions()) {
    return InvalidField("options.max_length",
                        Concat(*options.max_length, ": the model has ", model_->max_positions(), " positions"));
  }
  if (options.freeze_layers >= model_->layers()) {
    return InvalidField("options.freeze_layers", Concat(options.freeze_layers, ": must be less than ", model_->layers(),
                                                        ", the layers of the model, or nothing would be trained"));
  }
  for (const ObjectiveOptions& objective : options.objectives) {
    RETURN_IF_ERROR(objective.loss.ValidateDimensions("loss", model_->contract().dimensions));
  }
  return absl::OkStatus();
}

absl::Status Trainer::Tokenize() {
  const EmbeddingContract& contract = model_->contract();
  JobExamples& examples = plan_->examples;
  std::vector<const ExampleSet*> sets = {&examples.validation};
  for (const ExampleSet& set : examples.training) sets.push_back(&set);
  const int max_length = plan_->options.max_length.value_or(contract.max_length);
  ASSIGN_OR_RETURN(tokens_,
                   TokenCache::Make(examples.texts, sets, model_->tokenizer(), contract, max_length,
                                    [&](int64_t done, int64_t total) { return Proceed("tokenizing", done, total); }));
  if (plan_->HasValidation()) {
    validator_.emplace(examples.validation, &tokens_, plan_->options);
    items_ = ItemsOf(examples.validation, examples.texts);
  }
  if (plan_->options.mining) {
    negatives_.emplace(job_directory_, plan_->options, examples.training, &tokens_, ChecksumOf(examples.texts));
  }
  examples.texts = TextTable();  // Only their ids are needed from here on.
  return absl::OkStatus();
}

bool Trainer::IsOver() const {
  const std::optional<int>& patience = plan_->options.early_stopping_patience;
  return state_.step >= plan_->total_steps || (patience && state_.validations_since_best >= *patience);
}

absl::Status Trainer::Train() {
  RETURN_IF_ERROR(ValidateBase());
  RETURN_IF_ERROR(ValidateIfDue());
  while (!IsOver()) {
    if (stop_) return absl::CancelledError();
    if (negatives_) RETURN_IF_ERROR(MineIfDue());
    RETURN_IF_ERROR(Step());
    RETURN_IF_ERROR(ValidateIfDue());
    if (state_.step % plan_->options.checkpoint_steps == 0 && !IsOver()) RETURN_IF_ERROR(SaveCheckpoint());
  }
  if (state_.step >= plan_->total_steps) return absl::OkStatus();
  return events_.Message(Concat("stopped early, at step ", state_.step, " of ", plan_->total_steps, ": ",
                                state_.validations_since_best, " validations were no better than that of step ",
                                state_.best->step, " (options.early_stopping_patience)"));
}

absl::Status Trainer::MineIfDue() {
  const HardNegatives::NextStep next = {.step = state_.step, .epoch = state_.epoch, .position = state_.position};
  const absl::Status status = negatives_->Enter(next, *model_, events_, [&](int64_t done, int64_t total) {
    return Proceed("mining hard negatives", done, total);
  });
  if (!absl::IsFailedPrecondition(status)) return status;
  return absl::FailedPreconditionError(
      Concat(status.message(), " after step ", state_.step, ": a lower options.learning_rate may help"));
}

absl::Status Trainer::Step() {
  const Clock::time_point start = Clock::now();
  const TrainerOptions& options = plan_->options;
  const std::vector<ObjectiveBatch> batches = plan_->steps->Batches();
  TrainingStep step(&tokens_, static_cast<uint64_t>(options.seed), state_.step, options.precision);
  for (const ObjectiveBatch& batch : batches) {
    const ObjectiveOptions& objective = options.objectives[static_cast<size_t>(batch.objective)];
    // Of objectives that take turns, the weight was the share of the steps.
    const double weight = options.mixing == Mixing::kSum ? objective.weight : 1;
    step.Add(batch, plan_->examples.training[static_cast<size_t>(batch.objective)], objective.loss, weight,
             negatives_ ? negatives_->ForBatch(batch) : std::vector<std::vector<TextId>>());
  }
  ASSIGN_OR_RETURN(StepReport report, Learn(step));
  rate_.Add(step.examples(), step.tokens(), SecondsSince(start));
  report.step = ++state_.step;
  report.pairs_per_second = rate_.PairsPerSecond();
  report.tokens_per_second = rate_.TokensPerSecond();
  report.seconds_left = rate_.SecondsPerStep() * static_cast<double>(plan_->total_steps - state_.step);
  report.epoch = plan_->steps->EpochAfterStep();
  if (options.objectives.size() > 1 && batches.size() == 1) report.objective = batches[0].objective;
  if (state_.step < plan_->total_steps) plan_->steps->Advance();
  state_.epoch = plan_->steps->epoch();
  state_.position = plan_->steps->position();
  last_report_ = Clock::now();
  return events_.Step(report);
}

// Changes the weights; the report has what it saw.
absl::StatusOr<StepReport> Trainer::Learn(const TrainingStep& step) {
  const TrainerOptions& options = plan_->options;
  StepReport report{.total_steps = plan_->total_steps};
  const auto embed = [&](const PackedTokens& tokens, const DropoutSource& dropout) {
    return model_->Forward(tokens, &dropout);
  };
  ASSIGN_OR_RETURN(report.loss, step.Backward(embed, options.micro_batch_size, [&](int64_t done, int64_t total) {
    return Proceed("in one step, forward and backward", done, total);
  }));
  report.learning_rate = options.learning_rate *
                         LearningRateFactor(options.schedule, state_.step, plan_->warmup_steps, plan_->total_steps);
  report.gradient_norm = std::isfinite(report.loss) ? optimizer_->GradientNorm() : NAN;
  if (!std::isfinite(report.gradient_norm)) {
    return absl::FailedPreconditionError(Concat(
        std::isfinite(report.loss) ? "the gradient" : "the loss", " is not finite at step ", state_.step + 1, " of ",
        plan_->total_steps, " (learning rate ", report.learning_rate, "): a lower options.learning_rate may help"));
  }
  optimizer_->Step(report.learning_rate, options.max_gradient_norm, report.gradient_norm);
  return report;
}

absl::StatusOr<ValidationOutcomes> Trainer::Validate(TextModel& model, int64_t step) {
  absl::StatusOr<ValidationOutcomes> outcomes =
      validator_->Run(model, [&](int64_t done, int64_t total) { return Proceed("validating", done, total); });
  if (!absl::IsFailedPrecondition(outcomes.status())) return outcomes;
  return absl::FailedPreconditionError(
      Concat(outcomes.status().message(), " after step ", step,
             step == 0 ? ", which is the base model's own fault" : ": a lower options.learning_rate may help"));
}

// For the record and for the comparison at the end; whatever training does, the best of its weights are its result.
// Once in the life of a job: the event comes before the file, so that whoever finds the file has the event.
absl::Status Trainer::ValidateBase() {
  if (!validator_) return absl::OkStatus();
  absl::StatusOr<ValidationOutcomes> known = LoadBaseline(job_directory_);
  if (known.ok()) {
    baseline_ = *std::move(known);
    return absl::OkStatus();
  }
  if (absl::IsDataLoss(known.status())) {
    RETURN_IF_ERROR(events_.Message(Concat("the base model is validated again: ", known.status().message())));
  } else if (!absl::IsNotFound(known.status())) {
    return known.status();
  }
  // The model at hand is the base, unless this job went on from a checkpoint.
  std::unique_ptr<TextModel> base;
  if (state_.step > 0) {
    ASSIGN_OR_RETURN(base, TextModel::Load(plan_->options.base_directory));
  }
  ASSIGN_OR_RETURN(baseline_, Validate(base ? *base : *model_, 0));
  RETURN_IF_ERROR(events_.Validation(0, baseline_->result, /*best=*/false));
  return SaveBaseline(job_directory_, *baseline_);
}

absl::Status Trainer::ValidateIfDue() {
  if (!validator_ || state_.step == 0 || state_.validated_step == state_.step) return absl::OkStatus();
  if (state_.step % plan_->evaluation_steps != 0 && state_.step != plan_->total_steps) return absl::OkStatus();
  ASSIGN_OR_RETURN(last_, Validate(*model_, state_.step));
  const ValidationResult& result = last_->result;
  const bool best = !state_.best || IsBetter(result, state_.best->validation.result);
  state_.validations_since_best = best ? 0 : state_.validations_since_best + 1;
  if (best) {
    if (plan_->keep_best) RETURN_IF_ERROR(checkpoints_->SaveBest(state_.step, *model_));
    state_.best = BestWeights{.step = state_.step, .validation = *last_, .saved = plan_->keep_best};
    if (!plan_->keep_best) state_.best->validation.values.clear();
  }
  state_.validated_step = state_.step;
  state_.last_validation = result;
  return events_.Validation(state_.step, result, best);
}

absl::Status Trainer::SaveCheckpoint() {
  RETURN_IF_ERROR(checkpoints_->Save(state_, *model_, *optimizer_));
  saved_step_ = state_.step;
  if (negatives_) RETURN_IF_ERROR(negatives_->Checkpointed(state_.epoch));
  return events_.Checkpoint(state_.step);
}

// The weights that become the result beside the base; nothing without validation examples.
absl::StatusOr<std::optional<TrainingComparison>> Trainer::CompareWithBase(bool from_best) {
  if (!baseline_ || (!from_best && !last_)) return std::nullopt;
  const TrainingComparison comparison = Compare(items_, *baseline_, from_best ? state_.best->validation : *last_,
                                                from_best ? state_.best->step : state_.step);
  RETURN_IF_ERROR(events_.Comparison(comparison));
  return comparison;
}

absl::Status Trainer::PublishResult() {
  const bool from_best = plan_->keep_best && state_.best.has_value();
  nlohmann::json result = {{"step", from_best ? state_.best->step : state_.step}, {"metrics", nullptr}};
  if (from_best) {
    result["metrics"] = ToJson(state_.best->validation.result);
  } else if (state_.last_validation && state_.validated_step == state_.step) {
    result["metrics"] = ToJson(*state_.last_validation);
  }
  ASSIGN_OR_RETURN(const std::optional<TrainingComparison> comparison, CompareWithBase(from_best));
  if (comparison) result["comparison"] = ToJson(*comparison);
  result["parameters"] = parameters_;
  result["weights"] = model_->weights_file().string();
  RETURN_IF_ERROR(WriteFileDurably(job_directory_ / kResultFile, result.dump()));

  const fs::path target = job_directory_ / kResultDirectory;
  ASSIGN_OR_RETURN(const fs::path staging, MakeStagingDirectory(target));
  if (from_best) {
    RETURN_IF_ERROR(CopyTree(checkpoints_->BestPath(state_.best->step), staging));
  } else {
    RETURN_IF_ERROR(model_->Save(plan_->options.base_directory, staging));
  }
  return PublishDirectory(staging, target);
}

// Called between pieces of long work: CANCELLED when asked to stop, otherwise reports now and then.
absl::Status Trainer::Proceed(const char* what, int64_t done, int64_t total) {
  if (stop_) return absl::CancelledError();
  if (Clock::now() - last_report_ < kReportInterval) return absl::OkStatus();
  last_report_ = Clock::now();
  return events_.Message(Concat(what, ": ", done, " of ", total, " texts"));
}

}  // namespace

absl::StatusOr<TrainerOutcome> RunTrainer(const fs::path& job_directory, const std::atomic<bool>& stop) {
  ASSIGN_OR_RETURN(TrainerEvents events, TrainerEvents::Open(job_directory));
  absl::StatusOr<TrainerOutcome> outcome =
      GuardTorch("training", [&]() { return Trainer(job_directory, stop, events).Run(); });
  if (!outcome.ok()) RETURN_IF_ERROR(events.Failed(outcome.status()));
  return outcome;
}

}  // namespace tandem
