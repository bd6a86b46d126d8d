#include "server/training/sampler.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <queue>
#include <unordered_map>
#include <utility>

#include "server/training/random.h"

namespace tandem {
namespace {

template <typename Visit>
void ForEachText(const TrainingPair& pair, Visit visit) {
  visit(pair.anchor);
  visit(pair.positive);
  for (const TextId text : pair.negatives) visit(text);
}

template <typename T>
using MinHeap = std::priority_queue<T, std::vector<T>, std::greater<T>>;

// One pass of the no-duplicates rule over an order. Pairs are named by their position in it.
class NoDuplicatesPass {
 public:
  NoDuplicatesPass(std::span<const TrainingPair> pairs, std::span<const int32_t> order, int batch_size, TextId texts)
      : pairs_(pairs), order_(order), batch_size_(batch_size), batch_of_text_(texts, -1) {}

  EpochBatches Run() {
    EpochBatches result;
    result.offsets.push_back(0);
    while (next_ < static_cast<int32_t>(order_.size()) || waiting_ > 0) {
      FillBatch(result.pairs);
      ++batch_;
      const int64_t begin = result.offsets.back();
      if (static_cast<int64_t>(result.pairs.size()) - begin < 2) {
        result.pairs.resize(begin);
      } else {
        result.offsets.push_back(static_cast<int64_t>(result.pairs.size()));
      }
    }
    return result;
  }

 private:
  void FillBatch(std::vector<int32_t>& out) {
    ReleaseQueues();
    int size = 0;
    while (size < batch_size_) {
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

  // Puts the pair into the batch, or into the queue of a text that blocks it.
  bool Offer(int32_t position) {
    const TrainingPair& pair = pairs_[order_[position]];
    TextId blocking = -1;
    ForEachText(pair, [&](TextId text) {
      if (batch_of_text_[text] == batch_) blocking = text;
    });
    if (blocking >= 0) {
      queues_[blocking].push(position);
      ++waiting_;
      return false;
    }
    ForEachText(pair, [&](TextId text) {
      if (batch_of_text_[text] == batch_) return;  // Twice in this pair.
      batch_of_text_[text] = batch_;
      batch_texts_.push_back(text);
    });
    return true;
  }

  const std::span<const TrainingPair> pairs_;
  const std::span<const int32_t> order_;
  const int batch_size_;
  int64_t batch_ = 0;
  int32_t next_ = 0;  // First position that was not looked at yet.
  int64_t waiting_ = 0;
  std::vector<int64_t> batch_of_text_;  // The last batch that holds the text.
  std::vector<TextId> batch_texts_;
  std::unordered_map<TextId, MinHeap<int32_t>> queues_;  // Positions by the text that blocked them.
  MinHeap<std::pair<int32_t, TextId>> fronts_;           // Fronts of the queues of texts outside the batch.
};

}  // namespace

Sampler::Sampler(std::span<const TrainingPair> pairs, const TrainerOptions& options)
    : pairs_(pairs),
      batch_size_(options.batch_size),
      epochs_(options.epochs),
      max_steps_(options.max_steps),
      seed_(static_cast<uint64_t>(options.seed)),
      order_(options.order),
      kind_(options.batch_sampler) {
  for (const TrainingPair& pair : pairs_) {
    ForEachText(pair, [&](TextId text) { texts_ = std::max(texts_, text + 1); });
  }
}

EpochBatches Sampler::Epoch(int64_t epoch) const {
  std::vector<int32_t> order(pairs_.size());
  std::iota(order.begin(), order.end(), 0);
  if (order_ == ExampleOrder::kShuffled) {
    SplitMix64 random(MixBits(seed_) ^ MixBits(~static_cast<uint64_t>(epoch)));
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.Below(i)]);
  }
  switch (kind_) {
    case BatchSampler::kNoDuplicates:
      return NoDuplicates(order);
    case BatchSampler::kPlain:
      return Plain(order);
  }
  __builtin_unreachable();
}

int64_t Sampler::TotalSteps() const {
  const int64_t most = max_steps_.value_or(INT64_MAX);
  int64_t steps = 0;
  const bool same_each_epoch = kind_ == BatchSampler::kPlain || order_ == ExampleOrder::kGiven;
  if (same_each_epoch) return std::min(most, Epoch(0).size() * epochs_);
  for (int64_t epoch = 0; epoch < epochs_ && steps < most; ++epoch) steps += Epoch(epoch).size();
  return std::min(most, steps);
}

EpochBatches Sampler::Plain(std::span<const int32_t> order) const {
  EpochBatches result;
  result.pairs.assign(order.begin(), order.end());
  const int64_t pairs = static_cast<int64_t>(order.size());
  result.offsets.push_back(0);
  for (int64_t begin = 0; pairs - begin >= 2; begin = result.offsets.back()) {
    result.offsets.push_back(std::min<int64_t>(begin + batch_size_, pairs));
  }
  return result;
}

EpochBatches Sampler::NoDuplicates(std::span<const int32_t> order) const {
  return NoDuplicatesPass(pairs_, order, batch_size_, texts_).Run();
}

BatchCursor::BatchCursor(const Sampler* sampler, int64_t epoch, int64_t position)
    : sampler_(sampler), epoch_(epoch), position_(position), batches_(sampler->Epoch(epoch)) {
  SkipFinishedEpoch();
}

void BatchCursor::Advance() {
  ++position_;
  SkipFinishedEpoch();
}

double BatchCursor::EpochAfterBatch() const {
  return static_cast<double>(epoch_) + static_cast<double>(position_ + 1) / static_cast<double>(batches_.size());
}

void BatchCursor::SkipFinishedEpoch() {
  // An epoch always has a batch: the trainer refuses sets whose sampler has none.
  while (position_ >= batches_.size()) {
    position_ = 0;
    batches_ = sampler_->Epoch(++epoch_);
  }
}

}  // namespace tandem
