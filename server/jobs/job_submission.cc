// How a training job comes into being: checks and the job's directory.

#include <algorithm>
#include <fstream>

#include "absl/time/clock.h"
#include "server/base/files.h"
#include "server/base/ids.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/jobs/job_events.h"
#include "server/jobs/job_plan.h"

namespace tandem {

namespace {

// One read of the store; bounds the memory that examples of many long texts take.
constexpr int kExamplesPerRead = 100;
constexpr int64_t kBytesPerRead = 16 << 20;
// In-batch negatives need a second pair.
constexpr int64_t kFewestPairs = 2;

const char* NameOf(ExampleKind kind) {
  switch (kind) {
    case ExampleKind::kPair:
      return "a pair";
    case ExampleKind::kScoredPair:
      return "a scored pair";
    case ExampleKind::kLabelledPair:
      return "a labelled pair";
    case ExampleKind::kLabelledText:
      return "a labelled text";
  }
  return "of an unknown kind";
}

struct ExampleSource {
  std::string field;  // Of the request, for errors.
  std::string tenant, dataset;
  int64_t up_to = 0;
  int64_t fewest = 0;
};

std::string LineOf(const Example& example) {
  const nlohmann::json line = {
      {"anchor", example.anchor}, {"positives", example.positives}, {"negatives", example.negatives}};
  return line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

// Returns how many pairs the trainer makes of the examples: one for each positive.
absl::StatusOr<int64_t> WriteExamples(MetaStore* store, const ExampleSource& source,
                                      const std::filesystem::path& path) {
  std::ofstream file(path, std::ios::binary);
  int64_t written = 0, pairs = 0;
  for (int64_t after = 0; after < source.up_to;) {
    ASSIGN_OR_RETURN(
        const std::vector<StoredExample> page,
        store->ReadExamples(source.tenant, source.dataset, after, source.up_to, kExamplesPerRead, kBytesPerRead));
    if (page.empty()) break;
    for (const StoredExample& stored : page) {
      if (stored.example.kind != ExampleKind::kPair) {
        return InvalidField(source.field, Concat("datasets/", source.dataset, ": the example of commit ", stored.commit,
                                                 " is ", NameOf(stored.example.kind), "; this loss needs pairs"));
      }
      file << LineOf(stored.example);
      pairs += static_cast<int64_t>(stored.example.positives.size());
    }
    written += static_cast<int64_t>(page.size());
    after = page.back().commit;
  }
  file.close();
  if (!file) return absl::ResourceExhaustedError(Concat(path.string(), ": cannot be written"));
  if (written < source.fewest) {
    return InvalidField(source.field, Concat("datasets/", source.dataset, ": has ", written, " pairs up to commit ",
                                             source.up_to, ", must have at least ", source.fewest));
  }
  return pairs;
}

// The trainer says the same of a base whose configuration is not found here.
absl::Status CheckMaxLength(const TrainerOptions& trainer, const std::filesystem::path& base) {
  if (!trainer.max_length) return absl::OkStatus();
  for (const auto& path : {base / "config.json", base / "0_Transformer" / "config.json"}) {
    std::ifstream file(path, std::ios::binary);
    if (!file) continue;
    const nlohmann::json config = nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
    const auto positions = config.is_object() ? config.find("max_position_embeddings") : config.end();
    if (positions == config.end() || !positions->is_number_integer()) return absl::OkStatus();
    if (*trainer.max_length <= positions->get<int64_t>()) return absl::OkStatus();
    return InvalidField("options.max_length",
                        Concat(*trainer.max_length, ": the base model has ", positions->get<int64_t>(), " positions"));
  }
  return absl::OkStatus();
}

// Against the most steps that `pairs` can take; the trainer, which knows the validation split and the batches, has the
// last word.
absl::Status CheckWarmup(const TrainerOptions& trainer, int64_t pairs) {
  if (!trainer.warmup_steps) return absl::OkStatus();
  // A batch without duplicates may be as small as two pairs.
  const int64_t smallest = trainer.batch_sampler == BatchSampler::kPlain ? trainer.batch_size : kFewestPairs;
  const int64_t steps = (pairs + smallest - 1) / smallest * trainer.epochs;
  const int64_t most = std::min(steps, trainer.max_steps.value_or(steps));
  if (*trainer.warmup_steps < most) return absl::OkStatus();
  return InvalidField("options.warmup_steps",
                      Concat(*trainer.warmup_steps, ": must be less than all steps, which are at most ", most));
}

absl::StatusOr<int64_t> ChosenCommit(MetaStore* store, const TrainingJobRequest& request) {
  ASSIGN_OR_RETURN(const DatasetRecord dataset, store->GetDataset(request.tenant, request.dataset));
  const int64_t commit = request.dataset_commit.value_or(dataset.commit);
  if (request.dataset_commit && (commit < 1 || commit > dataset.commit)) {
    return InvalidField("dataset_commit", Concat(commit, ": must be in [1, ", dataset.commit,
                                                 "], the commits of datasets/", request.dataset));
  }
  return commit;
}

absl::Status WriteFiles(const TrainingJobRequest& request, const TrainerOptions& trainer, int64_t commit,
                        MetaStore* store, const std::filesystem::path& directory) {
  ASSIGN_OR_RETURN(const int64_t pairs,
                   WriteExamples(store, {"dataset", request.tenant, request.dataset, commit, kFewestPairs},
                                 directory / kExamplesFile));
  RETURN_IF_ERROR(CheckWarmup(trainer, pairs));
  if (!request.validation_dataset.empty()) {
    ASSIGN_OR_RETURN(const DatasetRecord validation, store->GetDataset(request.tenant, request.validation_dataset));
    RETURN_IF_ERROR(
        WriteExamples(store, {"validation_dataset", request.tenant, request.validation_dataset, validation.commit, 1},
                      directory / kValidationFile)
            .status());
  }
  RETURN_IF_ERROR(WriteFileDurably(directory / kOptionsFile, ToJson(trainer).dump()));
  return AppendStateEvent(directory, 0, JobState::kQueued);
}

JobRecord MakeRecord(const TrainingJobRequest& request, const TrainerOptions& trainer, int64_t commit) {
  JobPlan plan;
  nlohmann::json trainer_options = ToJson(trainer);
  trainer_options.erase("base_directory");
  plan.trainer_options = trainer_options.dump();
  plan.base_model = request.base_model;
  plan.base_revision = request.base_revision;
  plan.dataset_commit = commit;
  plan.validation_dataset = request.validation_dataset;
  JobRecord job;
  job.tenant = request.tenant;
  job.id = NewId();
  job.create_time = absl::Now();
  job.options_json = ToOptionsJson(plan);
  job.dataset = request.dataset;
  job.base_revision = Concat("models/", request.base_model, "/revisions/", request.base_revision);
  job.target_model = request.target_model;
  return job;
}

}  // namespace

absl::StatusOr<JobRecord> WriteJobDirectory(const TrainingJobsOptions& options, const TrainingJobRequest& request,
                                            MetaStore* store) {
  RETURN_IF_ERROR(request.options.Validate());
  RETURN_IF_ERROR(store->GetModelRevision(request.tenant, request.base_model, request.base_revision).status());
  ASSIGN_OR_RETURN(const int64_t commit, ChosenCommit(store, request));
  TrainerOptions trainer = request.options;
  // Relative, so that a data directory that is moved or restored takes its unfinished jobs along.
  const std::filesystem::path data_directory = "../../..";  // From JobDirectory.
  trainer.base_directory =
      RevisionDirectory(data_directory, request.tenant, request.base_model, request.base_revision).string();
  trainer.threads = options.trainer_threads;
  JobRecord job = MakeRecord(request, trainer, commit);
  const std::filesystem::path directory = JobDirectory(options.data_directory, job.tenant, job.id);
  RETURN_IF_ERROR(CheckMaxLength(trainer, BaseDirectory(trainer, directory)));
  RETURN_IF_ERROR(CreateDirectories(directory.parent_path()));
  ASSIGN_OR_RETURN(const std::filesystem::path staging, MakeStagingDirectory(directory));
  absl::Status status = WriteFiles(request, trainer, commit, store, staging);
  if (status.ok()) status = PublishDirectory(staging, directory);
  if (!status.ok()) {
    RemoveTree(staging).IgnoreError();  // What stays has its staging name, and Start removes it.
    return status;
  }
  return job;
}

}  // namespace tandem
