#include "server/jobs/training_estimate.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <variant>

#include "server/base/held_out.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/jobs/checked_request.h"
#include "server/jobs/job_events.h"
#include "server/jobs/job_examples.h"
#include "server/jobs/job_plan.h"

namespace tandem {
namespace {

// English text has about four bytes a token of a WordPiece vocabulary of 30,000.
constexpr int64_t kBytesPerToken = 4;
constexpr int64_t kSpecialTokens = 2;
// Of float32 on one thread of a server CPU, with the losses of attention and of small matrices.
constexpr double kOperationsPerThread = 20e9;
// LibTorch, the tokenizer and the runtime of a trainer that has not loaded anything yet.
constexpr int64_t kTrainerBytes = 300 << 20;
constexpr int64_t kFewestExamples = 2;
constexpr int kJobsToSearch = 100;

// The sizes of the model that count. Config keys of BERT and of DistilBERT.
struct ModelShape {
  int64_t parameters = 0;
  int64_t hidden = 384, layers = 6, inner = 1536, heads = 12, vocabulary = 30'522;
};

ModelShape ShapeOf(const CheckedRequest& checked) {
  ModelShape shape{.parameters = checked.base.parameters};
  const auto take = [&](int64_t& out, std::initializer_list<const char*> keys) {
    out = NumberOf(checked.config, keys).value_or(out);
  };
  take(shape.hidden, {"hidden_size", "dim"});
  take(shape.layers, {"num_hidden_layers", "n_layers"});
  take(shape.inner, {"intermediate_size", "hidden_dim"});
  take(shape.heads, {"num_attention_heads", "n_heads"});
  take(shape.vocabulary, {"vocab_size"});
  return shape;
}

// Counts the examples that are trained on, and the tokens and texts that they bring into a batch.
struct Tally {
  int64_t examples = 0, tokens = 0, texts = 0;
};

class Counter {
 public:
  Counter(const CheckedRequest& checked, MetaStore* store) : checked_(checked), store_(store) {
    const TrainerOptions& trainer = checked.trainer;
    longest_ = trainer.max_length.value_or(checked.base.contract.max_length);
  }

  absl::Status ReadValidation() {
    if (!checked_.validation) return absl::OkStatus();
    return ReadExamples(store_, ValidationSourceOf(checked_), [&](const Example& example) { HoldOut(example); })
        .status();
  }

  absl::StatusOr<ExampleCounts> ReadObjective(size_t i, Tally& tally) {
    const bool is_split = i == 0 && !checked_.validation;
    return ReadExamples(store_, SourceOf(checked_, i), [&](const Example& example) {
      if (is_split && IsHeldOut(example.anchor, checked_.trainer.validation_fraction)) {
        HoldOut(example);
      } else if (!validated_.contains(std::hash<std::string>()(example.anchor))) {
        Add(example, checked_.trainer.objectives[i].loss, tally);
      }
    });
  }

  int64_t validation_examples() const { return validation_examples_; }

 private:
  // No objective trains on a first text that is validated on.
  void HoldOut(const Example& example) {
    validated_.insert(std::hash<std::string>()(example.anchor));
    const bool one_each =
        example.kind == ExampleKind::kPair && !TakesPositivesTogether(checked_.trainer.objectives[0].loss);
    validation_examples_ += one_each ? static_cast<int64_t>(example.positives.size()) : 1;
  }

  int64_t TokensOf(const std::string& text) const {
    const int64_t tokens = kSpecialTokens + (static_cast<int64_t>(text.size()) + kBytesPerToken - 1) / kBytesPerToken;
    return std::min(tokens, longest_);
  }

  void Add(const Example& example, const LossOptions& loss, Tally& tally) const {
    const int64_t made = ExamplesMadeOf(example, loss);
    tally.examples += made;
    if (std::holds_alternative<SimCseOptions>(loss.kind)) {
      tally.texts += 2;
      tally.tokens += 2 * TokensOf(example.anchor);
      return;
    }
    const auto texts = static_cast<int64_t>(example.negatives.size());
    int64_t shared = TokensOf(example.anchor);  // By all examples that are made of this one.
    for (const std::string& text : example.negatives) shared += TokensOf(text);
    tally.texts += made * (1 + texts) + static_cast<int64_t>(example.positives.size());
    tally.tokens += made * shared;
    for (const std::string& text : example.positives) tally.tokens += TokensOf(text);
  }

  const CheckedRequest& checked_;
  MetaStore* const store_;
  int64_t longest_ = 0;
  std::unordered_set<size_t> validated_;  // Hashes of first texts.
  int64_t validation_examples_ = 0;
};

int64_t BatchesOf(int64_t examples, int64_t batch_size) {
  return examples / batch_size + (examples % batch_size >= kFewestExamples ? 1 : 0);
}

// Floating-point operations of training on one token: the products of a forward pass count twice a weight, those of the
// backward pass twice as many again; embeddings are looked up only. Gradient caching makes one more forward pass.
double OperationsPerToken(const ModelShape& shape, int64_t text_tokens, bool cached) {
  const auto weights = static_cast<double>(std::max<int64_t>(0, shape.parameters - shape.vocabulary * shape.hidden));
  const double attention = 2.0 * static_cast<double>(text_tokens * shape.hidden * shape.layers);
  return 2 * (weights + attention) * (cached ? 4 : 3);
}

// What autograd keeps of one token in float32: in each layer its input, query, key, value, the attention's result and
// the two sums with their dropout and normalised forms, twice the inner layer, and a row of attention a head.
int64_t ActivationBytesPerToken(const ModelShape& shape, int64_t text_tokens) {
  const int64_t a_layer = 10 * shape.hidden + 2 * shape.inner + 2 * shape.heads * text_tokens;
  return 4 * shape.layers * a_layer;
}

bool HasSameLosses(const nlohmann::json& trainer, const TrainerOptions& options) {
  const auto objectives = trainer.find("objectives");
  if (objectives == trainer.end() || !objectives->is_array() || objectives->size() != options.objectives.size()) {
    return false;
  }
  for (size_t i = 0; i < options.objectives.size(); ++i) {
    const nlohmann::json& objective = (*objectives)[i];
    if (!objective.is_object() || !objective.contains("loss")) return false;
    const absl::StatusOr<LossOptions> loss = LossOptionsFromJson(objective["loss"]);
    if (!loss.ok() || NameOf(*loss) != NameOf(options.objectives[i].loss)) return false;
  }
  return true;
}

struct JobRate {
  std::string job;
  double examples_per_second = 0;
};

// Of the newest finished training of the same base model with the same losses.
absl::StatusOr<std::optional<JobRate>> FindRate(const TrainingJobsOptions& options, const TrainingJobRequest& request,
                                                MetaStore* store) {
  ASSIGN_OR_RETURN(const std::vector<JobRecord> jobs, store->ListJobs(request.tenant, {.size = kJobsToSearch}));
  for (const JobRecord& job : jobs) {
    if (job.kind != JobKind::kTrain || job.state != JobState::kSucceeded) continue;
    const absl::StatusOr<JobPlan> plan = JobPlanFromOptionsJson(job.options_json);
    if (!plan.ok() || plan->base_model != request.base_model) continue;
    if (!HasSameLosses(nlohmann::json::parse(plan->trainer_options), request.options)) continue;
    const absl::StatusOr<JobEventsTail> tail = ReadEventsTail(JobDirectory(options.data_directory, job.tenant, job.id));
    if (tail.ok() && tail->examples_per_second > 0) return JobRate{job.id, tail->examples_per_second};
  }
  return std::nullopt;
}

// A step's mean over all objectives: with SUM it takes a batch of each.
struct MeanStep {
  double examples = 0, texts = 0, tokens = 0;
};

MeanStep MeanOf(const TrainerOptions& trainer, const std::vector<Tally>& tallies, int64_t batches, int64_t steps) {
  MeanStep mean;
  for (const Tally& tally : tallies) {
    mean.examples += static_cast<double>(tally.examples);
    mean.texts += static_cast<double>(tally.texts);
    mean.tokens += static_cast<double>(tally.tokens);
  }
  const auto over = static_cast<double>(trainer.mixing == Mixing::kSum ? steps : batches);
  return {mean.examples / over, mean.texts / over, mean.tokens / over};
}

void EstimateCosts(const CheckedRequest& checked, const MeanStep& step, const std::optional<JobRate>& rate,
                   TrainingEstimate& estimate) {
  const TrainerOptions& trainer = checked.trainer;
  const ModelShape shape = ShapeOf(checked);
  const auto text_tokens = static_cast<int64_t>(step.tokens / std::max(1.0, step.texts));
  const bool cached = trainer.micro_batch_size && *trainer.micro_batch_size < step.texts;
  const auto pass_tokens =
      static_cast<int64_t>(cached ? step.tokens * *trainer.micro_batch_size / step.texts : step.tokens);
  estimate.tokens_per_step = static_cast<int64_t>(step.tokens);
  estimate.peak_memory_bytes = kTrainerBytes + 16 * shape.parameters +  // Weight, gradient and two moments.
                               pass_tokens * ActivationBytesPerToken(shape, text_tokens);
  const auto steps = static_cast<double>(estimate.total_steps);
  if (rate) {
    estimate.job = rate->job;
    estimate.time = absl::Seconds(steps * step.examples / rate->examples_per_second);
  } else {
    const double operations = steps * step.tokens * OperationsPerToken(shape, text_tokens, cached);
    estimate.time = absl::Seconds(operations / (kOperationsPerThread * trainer.threads));
  }
}

}  // namespace

absl::StatusOr<TrainingEstimate> EstimateTraining(const TrainingJobsOptions& options, const TrainingJobRequest& request,
                                                  MetaStore* store) {
  ASSIGN_OR_RETURN(const CheckedRequest checked, CheckRequest(options, request, store));
  const TrainerOptions& trainer = checked.trainer;
  Counter counter(checked, store);
  RETURN_IF_ERROR(counter.ReadValidation());
  TrainingEstimate estimate;
  std::vector<Tally> tallies(checked.sources.size());
  std::vector<ExampleCounts> counts;
  int64_t batches = 0, most_batches = 0;
  for (size_t i = 0; i < checked.sources.size(); ++i) {
    ASSIGN_OR_RETURN(counts.emplace_back(), counter.ReadObjective(i, tallies[i]));
    const int64_t of_objective = BatchesOf(tallies[i].examples, trainer.batch_size);
    if (of_objective == 0) {
      return InvalidField(checked.FieldOf(i, "dataset"),
                          Concat("datasets/", checked.sources[i].dataset, ": has ", tallies[i].examples,
                                 " examples that are not validated on, and a batch needs ", kFewestExamples));
    }
    estimate.objectives.push_back(
        {checked.sources[i].dataset, checked.sources[i].commit, tallies[i].examples, of_objective});
    batches += of_objective;
    most_batches = std::max(most_batches, of_objective);
  }
  RETURN_IF_ERROR(CheckAgainstExamples(checked, counts));
  estimate.validation_examples = counter.validation_examples();
  estimate.steps_per_epoch = trainer.mixing == Mixing::kSum ? most_batches : batches;
  estimate.total_steps = estimate.steps_per_epoch * trainer.epochs;
  if (trainer.max_steps) estimate.total_steps = std::min(estimate.total_steps, *trainer.max_steps);
  ASSIGN_OR_RETURN(const std::optional<JobRate> rate, FindRate(options, request, store));
  EstimateCosts(checked, MeanOf(trainer, tallies, batches, estimate.steps_per_epoch), rate, estimate);
  return estimate;
}

}  // namespace tandem
