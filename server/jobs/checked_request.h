#pragma once
// A request to train, checked against what is stored: everything but its examples, see job_examples.h.

#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/jobs/job_examples.h"
#include "server/jobs/training_jobs.h"

namespace tandem {

struct CheckedRequest {
  TrainerOptions trainer;  // Complete, but for base_directory.
  ModelRevisionRecord base;
  std::vector<DatasetCommit> sources;  // One an objective.
  std::optional<DatasetCommit> validation;
  // The configuration of the base model; null when it has none that can be read, which the trainer reports.
  nlohmann::json config;

  // Of objective i, for errors: "dataset", or "objectives[1].dataset" when there are several.
  std::string FieldOf(size_t i, std::string_view field) const;
};

// NOT_FOUND for a dataset or revision that is not there, else InvalidField.
absl::StatusOr<CheckedRequest> CheckRequest(const TrainingJobsOptions& options, const TrainingJobRequest& request,
                                            MetaStore* store);

// The dataset as far as the source says. NOT_FOUND, or InvalidField on `field` for a commit that it does not have.
absl::StatusOr<DatasetCommit> ChosenCommit(MetaStore* store, const std::string& tenant, const TrainingSource& source,
                                           const std::string& field);

// The number under the first of the keys that a configuration has.
std::optional<int64_t> NumberOf(const nlohmann::json& config, std::initializer_list<const char*> keys);

// The examples of objective i, and of the validation dataset. The result refers to `checked`.
ExampleSource SourceOf(const CheckedRequest& checked, size_t i);
ExampleSource ValidationSourceOf(const CheckedRequest& checked);  // REQUIRES: checked.validation.

// What only the examples show, by their counts, one an objective: whether the sampler suits their form, and
// warmup_steps. The trainer, which knows the validation split and the batches, has the last word.
absl::Status CheckAgainstExamples(const CheckedRequest& checked, const std::vector<ExampleCounts>& counts);

}  // namespace tandem
