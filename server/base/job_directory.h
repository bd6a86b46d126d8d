#pragma once
// The contract between tandemd and tandem-trainer: one directory per training job.
//   options.json    TrainerOptions; written before the trainer starts, never changed
//   examples.jsonl  one pair a line: {"anchor": "...", "positives": ["..."], "negatives": ["..."]}
//   validation.jsonl  the same form; only when a validation dataset was named
//   events          server/base/event_log.h; the trainer is its only writer while it runs
//   checkpoint-<step>/  published by rename; the newest one is where a restart goes on
//   best-<step>/    published by rename; weights that a checkpoint names. tandemd removes both when the job has ended
//   result/         published by rename when training has ended well: a sentence-transformers directory
//   result.json     written before result/ is published: {"step", "metrics" or null, "parameters", "weights"}; weights
//                   is the path of the weights file below result/, whose SHA-256 is the revision's
//   trainer.log     stderr of the trainer
// tandem-trainer takes the directory as its only argument. SIGTERM asks it to stop: it saves a checkpoint and exits
// with kTrainerStopped. It never opens the database.
//
// Events (besides attempt, sequence, time_us):
//   {"type":"step","step","total_steps","loss","learning_rate","gradient_norm","pairs_per_second","seconds_left","epoch"}
//   {"type":"validation","step","loss","ndcg_at_10","recall_at_10","mrr_at_10","recall_at_1","queries","best"}
//   {"type":"checkpoint","step"}   {"type":"message","text"}
//   {"type":"failed","code","message"}  code is an absl::StatusCode; then the trainer exits with kTrainerFailed
//   {"type":"state","state"}       appended by tandemd around attempts, when no trainer runs: a JobState's number

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

inline constexpr char kOptionsFile[] = "options.json";
inline constexpr char kExamplesFile[] = "examples.jsonl";
inline constexpr char kValidationFile[] = "validation.jsonl";
inline constexpr char kEventsFile[] = "events";
inline constexpr char kResultDirectory[] = "result";
inline constexpr char kResultFile[] = "result.json";
inline constexpr char kCheckpointPrefix[] = "checkpoint-";
inline constexpr char kBestPrefix[] = "best-";
inline constexpr char kTrainerLog[] = "trainer.log";

// Exit codes of tandem-trainer.
inline constexpr int kTrainerDone = 0;
inline constexpr int kTrainerFailed = 1;   // A "failed" event says why; starting again would not help.
inline constexpr int kTrainerStopped = 3;  // SIGTERM; goes on from its checkpoint when started again.

// Values reach disk: do not change.
enum class Schedule { kLinear = 1, kCosine = 2, kConstant = 3 };
enum class ExampleOrder { kShuffled = 1, kGiven = 2 };
enum class BatchSampler { kNoDuplicates = 1, kPlain = 2 };
enum class KeepRevision { kBest = 1, kLast = 2 };

// See TrainRequest in proto/tandem/v1/training.proto. `Validate` is what the request is checked with; field paths in
// its errors are those of the proto ("options.batch_size", "info_nce.scale").
struct TrainerOptions {
  std::string base_directory;  // Of the base revision: absolute, or relative to the job's directory. See BaseDirectory.
  float scale = 20;            // InfoNCE.
  bool symmetric = false;
  int batch_size = 32;
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
  BatchSampler batch_sampler = BatchSampler::kNoDuplicates;
  double validation_fraction = 0.05;
  std::optional<int64_t> evaluation_steps;  // Not set: a fifth of all steps.
  std::optional<KeepRevision> keep;         // Not set: kBest with validation, else kLast.
  int64_t checkpoint_steps = 100;
  int threads = 2;  // Of torch; from the server's --trainer-threads.

  absl::Status Validate() const;
};

// The base revision's directory of a job. A relative one is worked out on the text of the path, so that a symbolic link
// in the data directory's place or below it does not lead ".." elsewhere.
std::filesystem::path BaseDirectory(const TrainerOptions& options, const std::filesystem::path& job_directory);

nlohmann::json ToJson(const TrainerOptions& options);
absl::StatusOr<TrainerOptions> TrainerOptionsFromJson(const nlohmann::json& json);

}  // namespace tandem
