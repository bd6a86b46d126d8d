#pragma once
// The contract between tandemd and tandem-trainer: one directory per training job.
//   options.json    TrainerOptions; written before the trainer starts, never changed
//   examples-<i>.jsonl  the examples of objective i, from 0; one JSON object a line, all lines of a file of one form:
//                     pair           {"anchor": "...", "positives": ["...", ...], "negatives": ["...", ...]}
//                     scored pair    {"first": "...", "second": "...", "score": 0.5}
//                     labelled pair  {"first": "...", "second": "...", "similar": true}
//                     labelled text  {"text": "...", "label": "..."}
//                     text           {"text": "..."}
//   validation.jsonl  the same, of any form; only when a validation dataset was named
//   events          server/base/event_log.h; the trainer is its only writer while it runs
//   baseline.json   how the base model did on the validation examples, with its checksum; before the first step
//   checkpoint-<step>/  published by rename; the newest one is where a restart goes on
//   best-<step>/    published by rename; weights that a checkpoint names
//   negatives-<epoch>  published by rename before the epoch's first step: what was mined then. tandemd removes this,
//                   checkpoints and best weights when the job has ended
//   result/         published by rename when training has ended well: a sentence-transformers directory
//   result.json     written before result/ is published: {"step", "metrics" or null, "parameters", "weights"}, and
//                   with validation "comparison"; weights is the path of the weights file below result/, whose SHA-256
//                   is the revision's
//   trainer.log     stderr of the trainer
// tandem-trainer takes the directory as its only argument. SIGTERM asks it to stop: it saves a checkpoint and exits
// with kTrainerStopped. It never opens the database.
//
// Events (besides attempt, sequence, time_us):
//   {"type":"step","step","total_steps","loss","learning_rate","gradient_norm","pairs_per_second",
//    "tokens_per_second","seconds_left","epoch"}  (and "objective" when several take turns)
//   {"type":"validation","step","best", and the keys of a ValidationResult (server/base/validation_metrics.h)}
//                  step 0 is the base model's
//   {"type":"comparison", and the keys of a TrainingComparison (server/base/training_comparison.h)}  before result.json
//   {"type":"checkpoint","step"}   {"type":"message","text"}
//   {"type":"failed","code","message"}  code is an absl::StatusCode; then the trainer exits with kTrainerFailed
//   {"type":"state","state"}       appended by tandemd around attempts, when no trainer runs: a JobState's number

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/lora_options.h"
#include "server/base/loss_options.h"
#include "server/base/negative_mining.h"

namespace tandem {

inline constexpr char kOptionsFile[] = "options.json";
inline constexpr char kValidationFile[] = "validation.jsonl";
inline constexpr char kEventsFile[] = "events";
inline constexpr char kResultDirectory[] = "result";
inline constexpr char kResultFile[] = "result.json";
inline constexpr char kCheckpointPrefix[] = "checkpoint-";
inline constexpr char kBestPrefix[] = "best-";
inline constexpr char kNegativesPrefix[] = "negatives-";
inline constexpr char kBaselineFile[] = "baseline.json";
inline constexpr char kTrainerLog[] = "trainer.log";

// Exit codes of tandem-trainer.
inline constexpr int kTrainerDone = 0;
inline constexpr int kTrainerFailed = 1;   // A "failed" event says why; starting again would not help.
inline constexpr int kTrainerStopped = 3;  // SIGTERM; goes on from its checkpoint when started again.

// Values reach disk: do not change.
enum class Schedule { kLinear = 1, kCosine = 2, kConstant = 3 };
enum class ExampleOrder { kShuffled = 1, kGiven = 2 };
enum class BatchSampler { kNoDuplicates = 1, kPlain = 2, kBalanced = 3 };
enum class KeepRevision { kBest = 1, kLast = 2 };
enum class Mixing { kProportional = 1, kSum = 2 };
enum class Precision { kFloat32 = 1, kBFloat16 = 2 };

inline constexpr int kMostObjectives = 8;

// One loss on one set of examples.
struct ObjectiveOptions {
  LossOptions loss;
  double weight = 1;  // (0, 1000]
};

// Hard negatives that are mined anew for every objective whose loss takes an example's negatives (TakesNegatives).
struct MiningDuringTraining {
  NegativeMiningOptions options;
  int refresh_epochs = 1;  // Before the first epoch and every so many.
};

// See TrainRequest in proto/tandem/v1/training.proto. `Validate` is what the request is checked with; field paths in
// its errors are those of the proto ("options.batch_size", "loss.info_nce.scale"; "objectives[1].loss.info_nce.scale"
// when there are several objectives). It also refuses what the trainer does not compute: no option is ignored.
struct TrainerOptions {
  std::string base_directory;  // Of the base revision: absolute, or relative to the job's directory. See BaseDirectory.
  std::vector<ObjectiveOptions> objectives = std::vector<ObjectiveOptions>(1);  // 1 to kMostObjectives.
  Mixing mixing = Mixing::kProportional;
  int batch_size = 32;
  std::optional<int> micro_batch_size;  // Texts of a forward pass; not set: those of the batch at once.
  int epochs = 1;
  std::optional<int64_t> max_steps;
  double learning_rate = 5e-5;
  std::optional<int64_t> warmup_steps;  // Not set: a tenth of all steps.
  Schedule schedule = Schedule::kLinear;
  double weight_decay = 0.01;
  double max_gradient_norm = 1;
  std::optional<int> max_length;  // Not set: the contract's.
  int64_t seed = 42;
  ExampleOrder order = ExampleOrder::kShuffled;
  std::optional<BatchSampler> batch_sampler;  // Not set: see SamplerFor.
  int texts_per_class = 4;                    // kBalanced: of each class that is in a batch.
  double validation_fraction = 0.05;
  std::optional<int64_t> evaluation_steps;     // Not set: a fifth of all steps.
  std::optional<int> early_stopping_patience;  // Validations without a better one after which training ends.
  std::optional<KeepRevision> keep;            // Not set: kBest with validation, else kLast.
  int64_t checkpoint_steps = 100;
  bool freeze_embeddings = false;
  int freeze_layers = 0;   // The first so many layers; the embeddings too, then.
  double layer_decay = 1;  // The learning rate of layer l of n is times layer_decay^(n - l); embeddings are layer 0.
  Precision precision = Precision::kFloat32;
  LoraOptions lora;
  std::optional<MiningDuringTraining> mining;
  int threads = 2;  // Of torch; from the server's --trainer-threads.

  // How examples of this form are put into batches: what batch_sampler says, else kBalanced for labelled texts and
  // kNoDuplicates for all others.
  BatchSampler SamplerFor(ExampleForm form) const;

  absl::Status Validate() const;

  // Whether examples of this form can be put into batches as the options say.
  absl::Status ValidateFor(ExampleForm form) const;
};

// "examples-<objective>.jsonl"
std::string ExamplesFile(int objective);

// The base revision's directory of a job. A relative one is worked out on the text of the path, so that a symbolic link
// in the data directory's place or below it does not lead ".." elsewhere.
std::filesystem::path BaseDirectory(const TrainerOptions& options, const std::filesystem::path& job_directory);

nlohmann::json ToJson(const TrainerOptions& options);
absl::StatusOr<TrainerOptions> TrainerOptionsFromJson(const nlohmann::json& json);

}  // namespace tandem
