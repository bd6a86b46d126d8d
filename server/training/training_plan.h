#pragma once
// What a training job will do, as far as it is known before its model is loaded.

#include <filesystem>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "server/base/job_directory.h"
#include "server/training/job_examples.h"
#include "server/training/objective_plan.h"

namespace tandem {

struct TrainingPlan {
  TrainerOptions options;  // base_directory is absolute or relative to the working directory.
  JobExamples examples;
  std::optional<ObjectivePlan> steps;  // Names examples.
  int64_t total_steps = 0;             // At least 1.
  int64_t warmup_steps = 0;            // Less than total_steps.
  int64_t evaluation_steps = 0;        // Between two validations.
  bool keep_best = false;              // Otherwise the last weights are the result.

  bool HasValidation() const { return !examples.validation.empty(); }
};

// Reads options and examples. INVALID_ARGUMENT names the option at fault; FAILED_PRECONDITION says why the examples
// cannot be trained on.
absl::StatusOr<std::unique_ptr<TrainingPlan>> MakeTrainingPlan(const std::filesystem::path& job_directory);

}  // namespace tandem
