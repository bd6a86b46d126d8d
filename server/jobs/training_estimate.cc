#include "server/jobs/training_estimate.h"

#include <algorithm>
#include <cmath>
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
#include "server/jobs/training_cost.h"

namespace tandem {
namespace {

// English text has about four bytes a token of a WordPiece vocabulary of 30,000.
constexpr int64_t kBytesPerToken = 4;
constexpr int64_t kSpecialTokens = 2;
// Of float32 on one thread of a server CPU, with the losses of attention and of small matrices.
constexpr double kOperationsPerThread = 20e9;
constexpr int64_t kFewestExamples = 2;
constexpr int kJobsToSearch = 100;

// Counts the examples that are trained on, and the tokens and texts that they bring into a batch.
struct Tally {
  int64_t examples = 0, tokens = 0, texts = 0;
  double squares = 0;  // Sum over the examples of their tokens' square.
  // Of texts that are embedded to mine negatives; those that repeat count each time.
  int64_t anchors = 0, documents = 0, mining_tokens = 0;
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
    const int64_t before = tally.tokens;
    AddTexts(example, loss, made, tally);
    if (made == 0) return;
    const double of_one = static_cast<double>(tally.tokens - before) / static_cast<double>(made);
    tally.squares += of_one * of_one * static_cast<double>(made);
  }

  void AddTexts(const Example& example, const LossOptions& loss, int64_t made, Tally& tally) const {
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
    int64_t positives = 0;
    for (const std::string& text : example.positives) positives += TokensOf(text);
    tally.tokens += positives;
    if (checked_.trainer.mining && TakesNegatives(loss)) AddMined(example, made, shared, positives, tally);
  }

  // As long as the positives, of which there is one at least.
  void AddMined(const Example& example, int64_t made, int64_t shared, int64_t positives, Tally& tally) const {
    const auto texts = static_cast<int64_t>(example.positives.size()),
               own = static_cast<int64_t>(example.negatives.size());
    const int64_t mined = std::clamp<int64_t>(kMostNegatives - own, 0, checked_.trainer.mining->options.negatives);
    tally.texts += made * mined;
    tally.tokens += made * mined * (positives / texts);
    tally.anchors += 1;
    tally.documents += texts + own;
    tally.mining_tokens += shared + positives;
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

bool HaveSameLosses(const TrainerOptions& a, const TrainerOptions& b) {
  return std::ranges::equal(a.objectives, b.objectives, [](const ObjectiveOptions& x, const ObjectiveOptions& y) {
    return NameOf(x.loss) == NameOf(y.loss);
  });
}

struct FinishedJob {
  std::string id;
  TrainerOptions options;
  double tokens_per_second = 0;
};

// The newest finished training of the same base model with the same losses and precision.
absl::StatusOr<std::optional<FinishedJob>> FindJob(const TrainingJobsOptions& options,
                                                   const TrainingJobRequest& request, MetaStore* store) {
  ASSIGN_OR_RETURN(const std::vector<JobRecord> jobs, store->ListJobs(request.tenant, {.size = kJobsToSearch}));
  for (const JobRecord& job : jobs) {
    if (job.kind != JobKind::kTrain || job.state != JobState::kSucceeded) continue;
    const absl::StatusOr<JobPlan> plan = JobPlanFromOptionsJson(job.options_json);
    if (!plan.ok() || plan->base_model != request.base_model) continue;
    nlohmann::json trainer_json = nlohmann::json::parse(plan->trainer_options);
    trainer_json["base_directory"] = plan->base_model;  // Plans leave the directory out, and options have one.
    const absl::StatusOr<TrainerOptions> trainer = TrainerOptionsFromJson(trainer_json);
    if (!trainer.ok() || trainer->precision != request.options.precision) continue;
    if (!HaveSameLosses(*trainer, request.options)) continue;
    const absl::StatusOr<JobEventsTail> tail = ReadEventsTail(JobDirectory(options.data_directory, job.tenant, job.id));
    if (tail.ok() && tail->tokens_per_second > 0) return FinishedJob{job.id, *trainer, tail->tokens_per_second};
  }
  return std::nullopt;
}

// A step over all objectives: with SUM it takes a batch of each.
struct Step {
  double texts = 0, tokens = 0;  // Mean.
  double deviation = 0;          // Of the tokens of a step, standard.
};

Step StepOf(const TrainerOptions& trainer, const std::vector<Tally>& tallies, int64_t batches, int64_t steps) {
  Step step;
  double examples = 0, squares = 0;
  for (const Tally& tally : tallies) {
    examples += static_cast<double>(tally.examples);
    step.texts += static_cast<double>(tally.texts);
    step.tokens += static_cast<double>(tally.tokens);
    squares += tally.squares;
  }
  const auto over = static_cast<double>(trainer.mixing == Mixing::kSum ? steps : batches);
  const double mean = step.tokens / examples, variance = std::max(0.0, squares / examples - mean * mean);
  return {step.texts / over, step.tokens / over, std::sqrt(variance * examples / over)};
}

bool IsCached(const TrainerOptions& trainer, double texts) {
  return trainer.micro_batch_size.has_value() && *trainer.micro_batch_size < texts;
}

// Batches are as different as examples drawn at random make them: of thousands, one is three deviations above the mean.
int64_t TokensOfLargestPass(const TrainerOptions& trainer, const Step& step) {
  const double largest = step.tokens + 3 * step.deviation;
  return static_cast<int64_t>(IsCached(trainer, step.texts) ? largest * *trainer.micro_batch_size / step.texts
                                                            : largest);
}

// Of mining before every epoch that is due: a forward pass of all texts, and the product of each anchor with each
// document.
double MiningOperations(const TrainerOptions& trainer, const ModelShape& shape, double text_tokens,
                        const std::vector<Tally>& tallies, const TrainingEstimate& estimate) {
  if (!trainer.mining) return 0;
  double once = 0;
  for (const Tally& tally : tallies) {
    once += static_cast<double>(tally.mining_tokens) * ForwardOperationsPerToken(shape, text_tokens) +
            2.0 * static_cast<double>(tally.anchors) * static_cast<double>(tally.documents * shape.hidden);
  }
  const int64_t epochs = (estimate.total_steps + estimate.steps_per_epoch - 1) / estimate.steps_per_epoch;
  const int64_t refresh = trainer.mining->refresh_epochs;
  return once * static_cast<double>((epochs + refresh - 1) / refresh);
}

// The time goes by floating-point operations. How many a second there are, a finished job shows.
void EstimateCosts(const CheckedRequest& checked, const std::vector<Tally>& tallies, const Step& step,
                   const std::optional<FinishedJob>& job, TrainingEstimate& estimate) {
  const TrainerOptions& trainer = checked.trainer;
  const ModelShape shape = ShapeOf(checked.base.parameters, checked.config);
  const double text_tokens = step.tokens / std::max(1.0, step.texts);
  estimate.tokens_per_step = static_cast<int64_t>(step.tokens);
  estimate.peak_memory_bytes = PeakMemoryBytes(shape, trainer, TokensOfLargestPass(trainer, step));
  double operations_per_second = kOperationsPerThread * trainer.threads;
  if (job) {
    estimate.job = job->id;
    const bool was_cached = IsCached(job->options, step.texts / trainer.batch_size * job->options.batch_size);
    operations_per_second = job->tokens_per_second * OperationsPerToken(shape, job->options, text_tokens, was_cached);
  }
  const double a_token = OperationsPerToken(shape, trainer, text_tokens, IsCached(trainer, step.texts));
  const double operations = static_cast<double>(estimate.total_steps) * step.tokens * a_token +
                            MiningOperations(trainer, shape, text_tokens, tallies, estimate);
  estimate.time = absl::Seconds(operations / operations_per_second);
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
  ASSIGN_OR_RETURN(const std::optional<FinishedJob> job, FindJob(options, request, store));
  EstimateCosts(checked, tallies, StepOf(trainer, tallies, batches, estimate.steps_per_epoch), job, estimate);
  return estimate;
}

}  // namespace tandem
