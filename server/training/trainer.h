#pragma once
// One training job from its directory (server/base/job_directory.h) to its result: what tandem-trainer runs.
//
// A step: the texts of a batch of one objective, or of one batch of each, go through the model with dropout, at once or
// in pieces (training_step.h), then loss, backward, clipping and AdamW. Batches follow from (seed, epoch, position)
// (objective_plan.h), dropout masks from (seed, step, objective, example, place of the text in its example), so a run
// that was killed and started again has the same loss at every step as one that was not.
//
// Where negatives are mined during training (hard_negatives.h), they were published before the first step of their
// epoch. They take no part in which examples make a batch, so that all steps are counted before any is mined; what of
// them a batch leaves out follows from its examples.
//
// Order at the end of a step: event "step"; when due, validation, best weights, event "validation"; when due,
// checkpoint, event "checkpoint". A checkpoint of a step that is due for validation and lacks it is validated after
// resuming. Training that validations end early ends as done, with a message; its learning rates were those of the
// whole plan.

#include <atomic>
#include <filesystem>

#include "absl/status/statusor.h"

namespace tandem {

enum class TrainerOutcome {
  kDone,     // result/ is there.
  kStopped,  // `stop` was set; a checkpoint of the last step is there (none before the first step).
};

// Runs or resumes the job on the calling thread. An error was also appended as a "failed" event, when events could be
// written at all; starting again would not help. `stop` may be set by a signal handler.
absl::StatusOr<TrainerOutcome> RunTrainer(const std::filesystem::path& job_directory, const std::atomic<bool>& stop);

}  // namespace tandem
