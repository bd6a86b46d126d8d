#pragma once
// [torch] Mining again during training: which mined negatives the steps of an epoch learn from. Before the first step
// of an epoch that is due, those of every objective whose loss takes negatives are mined with the weights at that step
// and published (mined_negatives.h); a trainer that is started again reads them back. Owned by the trainer's one
// thread.
//
//   RETURN_IF_ERROR(negatives.Enter(next_step, model, events, proceed));
//   step.Add(batch, set, loss, weight, negatives.ForBatch(batch));
//   RETURN_IF_ERROR(negatives.Checkpointed(epoch));   // After each checkpoint.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "server/base/job_directory.h"
#include "server/encoder/text_model.h"
#include "server/training/epoch_miner.h"
#include "server/training/example_file.h"
#include "server/training/mined_negatives.h"
#include "server/training/objective_plan.h"
#include "server/training/token_cache.h"
#include "server/training/trainer_events.h"

namespace tandem {

class HardNegatives {
 public:
  // `options`, which mine, `training` (one set an objective) and `tokens` outlive this. `texts_checksum`: see
  // mined_negatives.h.
  HardNegatives(std::filesystem::path job_directory, const TrainerOptions& options,
                const std::vector<ExampleSet>& training, const TokenCache* tokens, uint32_t texts_checksum);

  struct NextStep {
    int64_t step = 0;                 // Steps done before it.
    int64_t epoch = 0, position = 0;  // Its own.
  };
  // Has the negatives of the step's epoch at hand: those at hand, the published ones, or mined anew. Messages say what
  // was found, and when published ones are lost so that they had to be mined with other weights. `proceed`: as
  // EpochMiner::Mine. Throws c10::Error.
  absl::Status Enter(const NextStep& next, TextModel& model, TrainerEvents& events,
                     const std::function<absl::Status(int64_t, int64_t)>& proceed);

  // One list an example of the batch; none when its objective has no mining. REQUIRES: Enter was called.
  std::vector<std::vector<TextId>> ForBatch(const ObjectiveBatch& batch) const;

  // A checkpoint was published whose next step is of `epoch`. Removes what neither it nor the one before it needs.
  absl::Status Checkpointed(int64_t epoch);

 private:
  struct Objective {
    std::optional<KnownPositives> positives;  // Not set: no mining.
    std::optional<EpochMiner> miner;          // Names them.
  };

  int64_t DueEpoch(int64_t epoch) const { return epoch - epoch % options_.mining->refresh_epochs; }
  absl::StatusOr<MinedNegatives> Load(int64_t epoch) const;
  absl::Status Mine(int64_t epoch, TextModel& model, TrainerEvents& events,
                    const std::function<absl::Status(int64_t, int64_t)>& proceed);
  std::string Summary(size_t objective, const MiningFigures& figures, int64_t negatives, double seconds) const;

  const std::filesystem::path job_directory_;
  const TrainerOptions& options_;
  const std::vector<ExampleSet>& training_;
  const uint32_t texts_checksum_;
  std::vector<Objective> objectives_;

  int64_t epoch_ = -1;  // Whose negatives mined_ are.
  MinedNegatives mined_;
  int64_t checkpointed_epoch_ = 0;  // Of the last checkpoint; 0 when it is not known.
};

}  // namespace tandem
