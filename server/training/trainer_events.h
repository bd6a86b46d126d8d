#pragma once
// What tandem-trainer reports, in the words of server/base/job_directory.h. Owned by the trainer's one thread.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/event_log.h"
#include "server/base/training_comparison.h"
#include "server/base/validation_metrics.h"

namespace tandem {

struct StepReport {
  int64_t step = 0;  // From 1.
  int64_t total_steps = 0;
  double loss = 0;
  double learning_rate = 0;  // That this step used.
  double gradient_norm = 0;  // Before clipping.
  double pairs_per_second = 0, tokens_per_second = 0;
  double seconds_left = 0;
  double epoch = 0;              // Epochs done, with the fraction of the current one.
  std::optional<int> objective;  // Whose step it was, when the objectives take turns.
};

class TrainerEvents {
 public:
  // Continues the job's events. The attempt is one more than the last trainer's, and at least that of the last event.
  static absl::StatusOr<TrainerEvents> Open(const std::filesystem::path& job_directory);

  absl::Status Step(const StepReport& report);
  absl::Status Validation(int64_t step, const ValidationResult& result, bool best);
  absl::Status Comparison(const TrainingComparison& comparison);
  absl::Status Checkpoint(int64_t step);
  absl::Status Message(std::string_view text);
  absl::Status Failed(const absl::Status& status);

 private:
  explicit TrainerEvents(std::unique_ptr<EventWriter> writer) : writer_(std::move(writer)) {}

  std::unique_ptr<EventWriter> writer_;
};

}  // namespace tandem
