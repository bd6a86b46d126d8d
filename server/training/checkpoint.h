#pragma once
// [torch] What a restarted trainer goes on from. In the job's directory:
//   checkpoint-<step>/checkpoint.json  {"format", "state", "files": {path: CRC-32C}}; written last
//                     optimizer.bin    AdamW::Save
//                     model/           TextModel::Save: a complete sentence-transformers directory; or, of a model with
//                     adapters.safetensors  adapters, TextModel::SaveLora: the rest is the base's
//   best-<step>/                       TextModel::Save of the best weights so far; a checkpoint names its own
// All are published by rename. The newest two checkpoints and the best weights that they or the trainer name are kept.
// Dropout and batches follow from (seed, step) and (epoch, position), so there is no random state to save. Do not
// change the format without a new number: a job may be resumed by a newer binary.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/encoder/text_model.h"
#include "server/training/optimizer.h"
#include "server/training/validation_outcomes.h"

namespace tandem {

struct BestWeights {
  int64_t step = 0;
  ValidationOutcomes validation;  // Those of single examples only of saved weights.
  bool saved = false;             // As best-<step>/; not when only the last weights are kept.
};

struct TrainerState {
  int64_t step = 0;                    // Steps done.
  int64_t epoch = 0, position = 0;     // Of the next step (ObjectivePlan).
  int64_t validated_step = 0;          // The last step whose weights were validated; 0: none.
  int64_t validations_since_best = 0;  // Without a better result.
  std::optional<ValidationResult> last_validation;
  std::optional<BestWeights> best;
};

class CheckpointDirectory {
 public:
  CheckpointDirectory(std::filesystem::path job_directory, std::filesystem::path base_directory);

  // Publishes checkpoint-<state.step>, replacing a damaged one of that step, then prunes.
  absl::Status Save(const TrainerState& state, const TextModel& model, const AdamW& optimizer) const;

  // Publishes best-<step>, replacing what an undone attempt left there, then prunes: of the other best weights only
  // those that a checkpoint names stay.
  absl::Status SaveBest(int64_t step, const TextModel& model) const;
  std::filesystem::path BestPath(int64_t step) const;

  // The newest checkpoint that is whole, or nullopt. Damaged ones are removed; why is appended to `problems`.
  struct Found {
    std::filesystem::path path;
    TrainerState state;
    std::filesystem::path model_directory() const { return path / "model"; }
    std::filesystem::path adapters_file() const { return path / "adapters.safetensors"; }
    std::filesystem::path optimizer_file() const { return path / "optimizer.bin"; }
  };
  absl::StatusOr<std::optional<Found>> FindNewest(std::vector<std::string>& problems) const;

 private:
  absl::StatusOr<TrainerState> Check(const std::filesystem::path& checkpoint) const;
  // Removes what no restart needs; `best_step` is that of the best weights so far.
  absl::Status Prune(std::optional<int64_t> best_step) const;
  std::vector<int64_t> StepsOf(std::string_view prefix) const;  // Newest first.

  const std::filesystem::path job_directory_, base_directory_;
};

}  // namespace tandem
