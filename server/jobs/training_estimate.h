#pragma once
// What a training would come to, from counts of its examples, the shape of the model and how fast earlier jobs were.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace tandem {

struct TrainingEstimate {
  struct Objective {
    std::string dataset;  // Id.
    int64_t commit = 0;
    int64_t examples = 0;           // That are trained on.
    int64_t batches_per_epoch = 0;  // At least: texts that repeat and classes of different sizes make more.
  };
  std::vector<Objective> objectives;
  int64_t validation_examples = 0;
  int64_t steps_per_epoch = 0, total_steps = 0;
  int64_t tokens_per_step = 0;    // From the bytes of the texts.
  int64_t peak_memory_bytes = 0;  // Of the trainer, in its largest step.
  absl::Duration time;            // Of the steps.
  std::string job;                // Id of the finished job whose speed it supposes; empty: a speed of every server's.
};

class MetaStore;
struct TrainingJobsOptions;
struct TrainingJobRequest;

// INVALID_ARGUMENT and NOT_FOUND as for the job itself. Reads every example once.
absl::StatusOr<TrainingEstimate> EstimateTraining(const TrainingJobsOptions& options, const TrainingJobRequest& request,
                                                  MetaStore* store);

}  // namespace tandem
