#include "server/training/sampler.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <queue>
#include <unordered_map>
#include <utility>
#include <variant>

#include "server/base/random.h"
#include "server/base/status.h"

namespace tandem {
namespace {

template <typename T>
using MinHeap = std::priority_queue<T, std::vector<T>, std::greater<T>>;

// One pass of the no-duplicates rule over an order. Examples are named by their position in it.
class NoDuplicatesPass {
 public:
  NoDuplicatesPass(std::span<const TrainingExample> examples, std::span<const int32_t> order,
                   const SamplerOptions& options, TextId texts)
      : examples_(examples), order_(order), options_(options), batch_of_text_(texts, -1) {}

  EpochBatches Run() {
    EpochBatches result;
    while (next_ < static_cast<int32_t>(order_.size()) || waiting_ > 0) {
      FillBatch(result.examples);
      ++batch_;
      const int64_t begin = result.offsets.back();
      if (static_cast<int64_t>(result.examples.size()) - begin < options_.fewest) {
        result.examples.resize(begin);
      } else {
        result.offsets.push_back(static_cast<int64_t>(result.examples.size()));
      }
    }
    return result;
  }

 private:
  void FillBatch(std::vector<int32_t>& out) {
    ReleaseQueues();
    int size = 0;
    while (size < options_.batch_size) {
      const int32_t position = TakeWaiting();
      const int32_t candidate = position >= 0 ? position : next_ < static_cast<int32_t>(order_.size()) ? next_++ : -1;
      if (candidate < 0) return;
      if (Offer(candidate)) {
        out.push_back(order_[candidate]);
        ++size;
      }
    }
  }

  // The texts of the last batch block nobody any more.
  void ReleaseQueues() {
    for (const TextId text : batch_texts_) Announce(text);
    batch_texts_.clear();
  }

  void Announce(TextId text) {
    const auto queue = queues_.find(text);
    if (queue == queues_.end()) return;
    if (queue->second.empty()) {
      queues_.erase(queue);
    } else {
      fronts_.push({queue->second.top(), text});
    }
  }

  // The first waiting position whose blocking text is not in the batch, or -1. All waiting positions come before next_.
  // An entry of fronts_ whose queue has another front by now is stale and dropped; one whose text is in the batch is
  // dropped too and announced again when the batch ends.
  int32_t TakeWaiting() {
    while (!fronts_.empty()) {
      const auto [position, text] = fronts_.top();
      fronts_.pop();
      const auto queue = queues_.find(text);
      if (queue == queues_.end() || queue->second.empty() || queue->second.top() != position) continue;
      if (batch_of_text_[text] == batch_) continue;
      queue->second.pop();
      --waiting_;
      Announce(text);
      return position;
    }
    return -1;
  }

  // Puts the example into the batch, or into the queue of a text that blocks it.
  bool Offer(int32_t position) {
    const TrainingExample& example = examples_[order_[position]];
    TextId blocking = -1;
    ForEachText(example, [&](TextId text) {
      if (batch_of_text_[text] == batch_) blocking = text;
    });
    if (blocking >= 0) {
      queues_[blocking].push(position);
      ++waiting_;
      return false;
    }
    ForEachText(example, [&](TextId text) {
      if (batch_of_text_[text] == batch_) return;  // Twice in this example.
      batch_of_text_[text] = batch_;
      batch_texts_.push_back(text);
    });
    return true;
  }

  const std::span<const TrainingExample> examples_;
  const std::span<const int32_t> order_;
  const SamplerOptions& options_;
  int64_t batch_ = 0;
  int32_t next_ = 0;  // First position that was not looked at yet.
  int64_t waiting_ = 0;
  std::vector<int64_t> batch_of_text_;  // The last batch that holds the text.
  std::vector<TextId> batch_texts_;
  std::unordered_map<TextId, MinHeap<int32_t>> queues_;  // Positions by the text that blocked them.
  MinHeap<std::pair<int32_t, TextId>> fronts_;           // Fronts of the queues of texts outside the batch.
};

// One pass of the balanced rule over an order.
class BalancedPass {
 public:
  BalancedPass(std::span<const TrainingExample> examples, std::span<const int32_t> order, const SamplerOptions& options)
      : options_(options) {
    for (const int32_t i : order) {
      const size_t label = static_cast<size_t>(examples[i].label);
      if (label >= texts_.size()) texts_.resize(label + 1);
      texts_[label].push_back(i);
    }
    next_.resize(texts_.size(), 0);
    for (size_t label = 0; label < texts_.size(); ++label) {
      if (Left(label) >= 2) classes_.push_back(label);
    }
  }

  // `random` gives the order of the classes in each round; null: that of their numbers.
  EpochBatches Run(SplitMix64* random) {
    while (classes_.size() >= 2) {
      if (random != nullptr) Shuffle(classes_, *random);
      // Neighbours of a batch differ, so that its two texts_per_class are of two classes.
      if (BatchSize() > 0 && classes_[0] == last_class_) std::swap(classes_[0], classes_[1]);
      for (const size_t label : classes_) Add(label);
      std::erase_if(classes_, [&](size_t label) { return Left(label) < 2; });
    }
    if (groups_ >= 2) CloseBatch();
    batches_.examples.resize(static_cast<size_t>(batches_.offsets.back()));
    return std::move(batches_);
  }

 private:
  int64_t Left(size_t label) const { return static_cast<int64_t>(texts_[label].size() - next_[label]); }
  int64_t BatchSize() const { return static_cast<int64_t>(batches_.examples.size()) - batches_.offsets.back(); }

  void Add(size_t label) {
    const int64_t count = std::min<int64_t>(Left(label), options_.texts_per_class);
    if (BatchSize() + count > options_.batch_size) CloseBatch();
    const auto first = texts_[label].begin() + static_cast<std::ptrdiff_t>(next_[label]);
    batches_.examples.insert(batches_.examples.end(), first, first + count);
    next_[label] += static_cast<size_t>(count);
    last_class_ = label;
    ++groups_;
    if (BatchSize() == options_.batch_size) CloseBatch();
  }

  void CloseBatch() {
    batches_.offsets.push_back(static_cast<int64_t>(batches_.examples.size()));
    groups_ = 0;
  }

  const SamplerOptions& options_;
  std::vector<std::vector<int32_t>> texts_;  // Of each class, in order.
  std::vector<size_t> next_;                 // First text of each class that was not used yet.
  std::vector<size_t> classes_;              // Those that take part in the next round.
  EpochBatches batches_;
  int groups_ = 0;  // In the open batch, which begins at the last offset.
  size_t last_class_ = 0;
};

// Whether the loss has a value for one example by itself.
struct LearnsFromOne {
  bool operator()(const TripletOptions& triplet) const { return triplet.mining == TripletOptions::Mining::kExplicit; }
  bool operator()(const ContrastiveOptions&) const { return true; }
  bool operator()(const CosineMseOptions&) const { return true; }
  bool operator()(const InfoNceOptions&) const { return false; }
  bool operator()(const NtXentOptions&) const { return false; }
  bool operator()(const NPairOptions&) const { return false; }
  bool operator()(const SupConOptions&) const { return false; }
  bool operator()(const SimCseOptions&) const { return false; }
  bool operator()(const CosentOptions&) const { return false; }  // Compares the scores of two pairs.
  bool operator()(const AngleOptions&) const { return false; }
};

}  // namespace

int FewestExamples(const LossOptions& loss) { return std::visit(LearnsFromOne(), loss.kind) ? 1 : 2; }

absl::StatusOr<SamplerOptions> SamplerOptionsFor(const TrainerOptions& options, const LossOptions& loss,
                                                 ExampleForm form) {
  RETURN_IF_ERROR(options.ValidateFor(form));
  return SamplerOptions{.kind = options.SamplerFor(form),
                        .order = options.order,
                        .batch_size = options.batch_size,
                        .texts_per_class = options.texts_per_class,
                        .fewest = FewestExamples(loss),
                        .seed = static_cast<uint64_t>(options.seed)};
}

Sampler::Sampler(const ExampleSet& set, const SamplerOptions& options) : examples_(set.examples), options_(options) {
  for (const TrainingExample& example : examples_) {
    ForEachText(example, [&](TextId text) { texts_ = std::max(texts_, text + 1); });
  }
}

EpochBatches Sampler::Epoch(int64_t epoch) const {
  std::vector<int32_t> order(examples_.size());
  std::iota(order.begin(), order.end(), 0);
  SplitMix64 random(MixBits(options_.seed) ^ MixBits(~static_cast<uint64_t>(epoch)));
  const bool shuffled = options_.order == ExampleOrder::kShuffled;
  if (shuffled) Shuffle(order, random);
  switch (options_.kind) {
    case BatchSampler::kNoDuplicates:
      return NoDuplicatesPass(examples_, order, options_, texts_).Run();
    case BatchSampler::kPlain:
      return Plain(order);
    case BatchSampler::kBalanced:
      return BalancedPass(examples_, order, options_).Run(shuffled ? &random : nullptr);
  }
  __builtin_unreachable();
}

bool Sampler::SameSizeEachEpoch() const {
  return options_.kind == BatchSampler::kPlain || options_.order == ExampleOrder::kGiven;
}

EpochBatches Sampler::Plain(std::span<const int32_t> order) const {
  EpochBatches result;
  const int64_t count = static_cast<int64_t>(order.size());
  for (int64_t begin = 0; count - begin >= options_.fewest; begin = result.offsets.back()) {
    result.offsets.push_back(std::min<int64_t>(begin + options_.batch_size, count));
  }
  result.examples.assign(order.begin(), order.begin() + result.offsets.back());
  return result;
}

}  // namespace tandem
