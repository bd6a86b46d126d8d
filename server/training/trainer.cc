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
#include "server/training/example_file.h"
#include "server/training/loss.h"
#include "server/training/optimizer.h"
#include "server/training/sampler.h"
#include "server/training/schedule.h"
#include "server/training/step_rate.h"
#include "server/training/token_cache.h"
#include "server/training/trainer_events.h"
#include "server/training/validation.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

// Long work between steps says so this often, or the supervisor would take the trainer for hung.
constexpr std::chrono::seconds kReportInterval{30};

double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Distinct for each text of a step: the pair, and the text's place in it (anchor 0, positive 1, negatives from 2).
uint64_t ExampleKey(int32_t pair, size_t place) { return static_cast<uint64_t>(pair) << 24 | place; }

// nDCG@10 decides; small splits often tie, then the loss does.
bool IsBetter(const ValidationResult& a, const ValidationResult& b) {
  if (a.metrics.ndcg_at_10 != b.metrics.ndcg_at_10) return a.metrics.ndcg_at_10 > b.metrics.ndcg_at_10;
  return a.loss < b.loss;
}

class Trainer {
 public:
  Trainer(fs::path job_directory, const std::atomic<bool>& stop, TrainerEvents& events)
      : job_directory_(std::move(job_directory)), stop_(stop), events_(events) {}

  absl::StatusOr<TrainerOutcome> Run();

 private:
  absl::Status Prepare();
  absl::Status ReadOptions();
  absl::Status ReadExamples();
  absl::Status PlanSteps();
  absl::Status LoadModel();
  absl::Status Tokenize();

  absl::Status Train();
  absl::Status Step();
  absl::Status ValidateIfDue();
  absl::Status SaveCheckpoint();
  absl::Status PublishResult();
  absl::Status Proceed(const char* what, int64_t done, int64_t total);

  bool HasValidation() const { return !split_.validation.empty(); }

  const fs::path job_directory_;
  const std::atomic<bool>& stop_;
  TrainerEvents& events_;
  Clock::time_point last_report_ = Clock::now();

  TrainerOptions options_;
  int64_t total_steps_ = 0, warmup_steps_ = 0, evaluation_steps_ = 0;
  bool keep_best_ = false;

  ExampleSplit split_;
  TextTable texts_;
  TokenCache tokens_;
  std::optional<Sampler> sampler_;
  std::optional<BatchCursor> cursor_;
  std::optional<Validator> validator_;

  std::optional<CheckpointDirectory> checkpoints_;
  std::unique_ptr<TextModel> model_;
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
  RETURN_IF_ERROR(ReadOptions());
  RETURN_IF_ERROR(ReadExamples());
  RETURN_IF_ERROR(PlanSteps());
  RETURN_IF_ERROR(LoadModel());
  return Tokenize();
}

absl::Status Trainer::ReadOptions() {
  ASSIGN_OR_RETURN(const std::string bytes, ReadFile(job_directory_ / kOptionsFile));
  const nlohmann::json json = nlohmann::json::parse(bytes, nullptr, /*allow_exceptions=*/false);
  ASSIGN_OR_RETURN(options_, TrainerOptionsFromJson(json));
  RETURN_IF_ERROR(options_.Validate());
  options_.base_directory = BaseDirectory(options_, job_directory_).string();
  torch::set_num_threads(options_.threads);
  checkpoints_.emplace(job_directory_, options_.base_directory);
  return absl::OkStatus();
}

absl::Status Trainer::ReadExamples() {
  std::vector<TrainingPair> pairs;
  RETURN_IF_ERROR(ReadExampleFile(job_directory_ / kExamplesFile, texts_, pairs));
  std::string left_out;
  if (fs::exists(job_directory_ / kValidationFile)) {
    split_.training = std::move(pairs);
    RETURN_IF_ERROR(ReadExampleFile(job_directory_ / kValidationFile, texts_, split_.validation));
    const int64_t removed = RemoveSharedAnchors(split_.validation, split_.training);
    if (removed > 0) left_out = Concat("; ", removed, " left out because their anchors are validated on");
  } else {
    split_ = SplitByAnchor(std::move(pairs), texts_, options_.validation_fraction);
  }
  return events_.Message(
      Concat(split_.training.size(), " training pairs", left_out, "; ", split_.validation.size(), " validation pairs"));
}

absl::Status Trainer::PlanSteps() {
  sampler_.emplace(split_.training, options_);
  total_steps_ = sampler_->TotalSteps();
  if (total_steps_ == 0) {
    return absl::FailedPreconditionError(Concat(split_.training.size(),
                                                " training pairs make no batch: at least 2 "
                                                "pairs that share no text are needed"));
  }
  warmup_steps_ = options_.warmup_steps.value_or(total_steps_ / 10);
  if (warmup_steps_ >= total_steps_) {
    return InvalidField("options.warmup_steps",
                        Concat(warmup_steps_, ": must be less than all steps, which are ", total_steps_));
  }
  evaluation_steps_ = options_.evaluation_steps.value_or(std::max<int64_t>(1, total_steps_ / 5));
  keep_best_ =
      options_.keep.value_or(HasValidation() ? KeepRevision::kBest : KeepRevision::kLast) == KeepRevision::kBest;
  if (keep_best_ && !HasValidation()) {
    return InvalidField("options.keep", Concat("BEST: there are no validation pairs (options.validation_fraction ",
                                               options_.validation_fraction, ")"));
  }
  return absl::OkStatus();
}

absl::Status Trainer::LoadModel() {
  std::vector<std::string> problems;
  ASSIGN_OR_RETURN(const std::optional<CheckpointDirectory::Found> found, checkpoints_->FindNewest(problems));
  for (const std::string& problem : problems) RETURN_IF_ERROR(events_.Message(problem));
  ASSIGN_OR_RETURN(model_, TextModel::Load(found ? found->model_directory() : fs::path(options_.base_directory)));
  if (options_.max_length && *options_.max_length > model_->max_positions()) {
    return InvalidField("options.max_length",
                        Concat(*options_.max_length, ": the model has ", model_->max_positions(), " positions"));
  }
  const auto parameters = model_->NamedParameters();
  for (const auto& [name, parameter] : parameters) parameter.set_requires_grad(true);
  optimizer_.emplace(parameters, options_.weight_decay);
  if (found) {
    RETURN_IF_ERROR(optimizer_->Load(found->optimizer_file()));
    state_ = found->state;
    saved_step_ = state_.step;
    RETURN_IF_ERROR(events_.Message(Concat("going on from the checkpoint of step ", state_.step)));
  }
  cursor_.emplace(&*sampler_, state_.epoch, state_.position);
  return absl::OkStatus();
}

absl::Status Trainer::Tokenize() {
  const EmbeddingContract& contract = model_->contract();
  const std::vector<TrainingPair>* const sets[] = {&split_.training, &split_.validation};
  ASSIGN_OR_RETURN(
      tokens_,
      TokenCache::Make(texts_, sets, model_->tokenizer(), contract, options_.max_length.value_or(contract.max_length),
                       [&](int64_t done, int64_t total) { return Proceed("tokenizing", done, total); }));
  texts_ = TextTable();  // Only their ids are needed from here on.
  if (HasValidation()) validator_.emplace(split_.validation, &tokens_, options_);
  return absl::OkStatus();
}

absl::Status Trainer::Train() {
  RETURN_IF_ERROR(ValidateIfDue());
  while (state_.step < total_steps_) {
    if (stop_) return absl::CancelledError();
    RETURN_IF_ERROR(Step());
    RETURN_IF_ERROR(ValidateIfDue());
    if (state_.step % options_.checkpoint_steps == 0 && state_.step < total_steps_) RETURN_IF_ERROR(SaveCheckpoint());
  }
  return absl::OkStatus();
}

absl::Status Trainer::Step() {
  const Clock::time_point start = Clock::now();
  const std::span<const int32_t> batch = cursor_->batch();
  std::vector<const TokenizedText*> texts;
  DropoutSource dropout{static_cast<uint64_t>(options_.seed), state_.step, {}};
  const auto add = [&](const TokenizedText& text, int32_t pair, size_t place) {
    texts.push_back(&text);
    dropout.examples.push_back(ExampleKey(pair, place));
  };
  const std::vector<TrainingPair>& pairs = split_.training;
  for (const int32_t p : batch) add(tokens_.anchor(pairs[p].anchor), p, 0);
  for (const int32_t p : batch) add(tokens_.document(pairs[p].positive), p, 1);
  for (const int32_t p : batch) {
    for (size_t i = 0; i < pairs[p].negatives.size(); ++i) add(tokens_.document(pairs[p].negatives[i]), p, 2 + i);
  }
  const int64_t size = static_cast<int64_t>(batch.size());
  const torch::Tensor embeddings = model_->Forward(Pack(texts), &dropout);
  const torch::Tensor loss =
      InfoNce(embeddings.narrow(0, 0, size), embeddings.narrow(0, size, embeddings.size(0) - size), options_.scale,
              options_.symmetric);
  const double loss_value = loss.item<double>();
  const double learning_rate =
      options_.learning_rate * LearningRateFactor(options_.schedule, state_.step, warmup_steps_, total_steps_);
  double norm = NAN;
  if (std::isfinite(loss_value)) {
    loss.backward();
    norm = optimizer_->GradientNorm();
  }
  if (!std::isfinite(norm)) {
    return absl::FailedPreconditionError(
        Concat(std::isfinite(loss_value) ? "the gradient" : "the loss", " is not finite at step ", state_.step + 1,
               " of ", total_steps_, " (learning rate ", learning_rate, "): a lower options.learning_rate may help"));
  }
  optimizer_->Step(learning_rate, options_.max_gradient_norm, norm);
  rate_.Add(size, SecondsSince(start));
  const double epoch = cursor_->EpochAfterBatch();
  ++state_.step;
  if (state_.step < total_steps_) cursor_->Advance();
  state_.epoch = cursor_->epoch();
  state_.position = cursor_->position();
  last_report_ = Clock::now();
  return events_.Step({.step = state_.step,
                       .total_steps = total_steps_,
                       .loss = loss_value,
                       .learning_rate = learning_rate,
                       .gradient_norm = norm,
                       .pairs_per_second = rate_.PairsPerSecond(),
                       .seconds_left = rate_.SecondsPerStep() * static_cast<double>(total_steps_ - state_.step),
                       .epoch = epoch});
}

absl::Status Trainer::ValidateIfDue() {
  if (!validator_ || state_.step == 0 || state_.validated_step == state_.step) return absl::OkStatus();
  if (state_.step % evaluation_steps_ != 0 && state_.step != total_steps_) return absl::OkStatus();
  ASSIGN_OR_RETURN(const ValidationResult result, validator_->Run(*model_, [&](int64_t done, int64_t total) {
    return Proceed("validating", done, total);
  }));
  const bool best = !state_.best || IsBetter(result, state_.best->validation);
  if (best) {
    if (keep_best_) RETURN_IF_ERROR(checkpoints_->SaveBest(state_.step, *model_));
    state_.best = BestWeights{.step = state_.step, .validation = result, .saved = keep_best_};
  }
  state_.validated_step = state_.step;
  state_.last_validation = result;
  return events_.Validation(state_.step, result, best);
}

absl::Status Trainer::SaveCheckpoint() {
  RETURN_IF_ERROR(checkpoints_->Save(state_, *model_, *optimizer_));
  saved_step_ = state_.step;
  return events_.Checkpoint(state_.step);
}

absl::Status Trainer::PublishResult() {
  const bool from_best = keep_best_ && state_.best.has_value();
  nlohmann::json result = {{"step", from_best ? state_.best->step : state_.step}, {"metrics", nullptr}};
  if (from_best) {
    result["metrics"] = ToJson(state_.best->validation);
  } else if (state_.last_validation && state_.validated_step == state_.step) {
    result["metrics"] = ToJson(*state_.last_validation);
  }
  int64_t count = 0;
  for (const auto& [name, parameter] : model_->NamedParameters()) count += parameter.numel();
  result["parameters"] = count;
  result["weights"] = model_->weights_file().string();
  RETURN_IF_ERROR(WriteFileDurably(job_directory_ / kResultFile, result.dump()));

  const fs::path target = job_directory_ / kResultDirectory;
  ASSIGN_OR_RETURN(const fs::path staging, MakeStagingDirectory(target));
  if (from_best) {
    RETURN_IF_ERROR(CopyTree(checkpoints_->BestPath(state_.best->step), staging));
  } else {
    RETURN_IF_ERROR(model_->Save(options_.base_directory, staging));
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
