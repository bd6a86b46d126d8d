#include "server/training/training_plan.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "server/base/files.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/training/sampler.h"

namespace tandem {
namespace {

absl::Status ReadOptions(const std::filesystem::path& job_directory, TrainingPlan& plan) {
  ASSIGN_OR_RETURN(const std::string bytes, ReadFile(job_directory / kOptionsFile));
  const nlohmann::json json = nlohmann::json::parse(bytes, nullptr, /*allow_exceptions=*/false);
  ASSIGN_OR_RETURN(plan.options, TrainerOptionsFromJson(json));
  RETURN_IF_ERROR(plan.options.Validate());
  plan.options.base_directory = BaseDirectory(plan.options, job_directory).string();
  return absl::OkStatus();
}

// What a set lacks that makes no batch.
const char* Lack(const SamplerOptions& options) {
  if (options.kind == BatchSampler::kBalanced) return "two classes of at least 2 texts are needed";
  if (options.fewest == 1) return "at least one is needed";
  return options.kind == BatchSampler::kPlain ? "at least 2 are needed" : "at least 2 that share no text are needed";
}

absl::Status PlanSteps(TrainingPlan& plan) {
  const TrainerOptions& options = plan.options;
  std::vector<Sampler> samplers;
  for (size_t i = 0; i < options.objectives.size(); ++i) {
    const ExampleSet& set = plan.examples.training[i];
    ASSIGN_OR_RETURN(const SamplerOptions sampler, SamplerOptionsFor(options, options.objectives[i].loss, set.form));
    samplers.emplace_back(set, sampler);
    if (samplers.back().Epoch(0).size() > 0) continue;
    return absl::FailedPreconditionError(Concat(ExamplesFile(static_cast<int>(i)), ": its ", set.size(),
                                                " training examples make no batch: ", Lack(sampler)));
  }
  plan.steps.emplace(std::move(samplers), options);
  plan.total_steps = plan.steps->TotalSteps();
  plan.warmup_steps = options.warmup_steps.value_or(plan.total_steps / 10);
  plan.evaluation_steps = options.evaluation_steps.value_or(std::max<int64_t>(1, plan.total_steps / 5));
  if (plan.warmup_steps < plan.total_steps) return absl::OkStatus();
  return InvalidField("options.warmup_steps",
                      Concat(plan.warmup_steps, ": must be less than all steps, which are ", plan.total_steps));
}

absl::Status PlanValidation(TrainingPlan& plan) {
  const TrainerOptions& options = plan.options;
  const LossOptions& loss = options.objectives[0].loss;
  const ExampleForm form = plan.examples.validation.form;
  // Plain texts have a loss at most.
  const bool judges = plan.HasValidation() && (form != ExampleForm::kText || Takes(loss, form));
  plan.keep_best = options.keep.value_or(judges ? KeepRevision::kBest : KeepRevision::kLast) == KeepRevision::kBest;
  if (judges) return absl::OkStatus();
  const std::string why =
      plan.HasValidation()
          ? Concat("validation on texts, which the loss ", NameOf(loss), " does not take, cannot tell what is better")
          : Concat("there are no validation examples (options.validation_fraction ", options.validation_fraction, ")");
  if (plan.keep_best) return InvalidField("options.keep", Concat("BEST: ", why));
  if (options.early_stopping_patience) {
    return InvalidField("options.early_stopping_patience", Concat(*options.early_stopping_patience, ": ", why));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainingPlan>> MakeTrainingPlan(const std::filesystem::path& job_directory) {
  auto plan = std::make_unique<TrainingPlan>();
  RETURN_IF_ERROR(ReadOptions(job_directory, *plan));
  ASSIGN_OR_RETURN(plan->examples, ReadJobExamples(job_directory, plan->options));
  RETURN_IF_ERROR(PlanSteps(*plan));
  RETURN_IF_ERROR(PlanValidation(*plan));
  return plan;
}

}  // namespace tandem
