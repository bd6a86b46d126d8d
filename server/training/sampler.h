#pragma once
// Which pairs make which batch. Everything follows from (seed, epoch), so that (epoch, position) is the whole state and
// a resumed run sees the same batches.
//
// Order: as given, or a Fisher-Yates shuffle from (seed, epoch).
// kNoDuplicates: no text stands in two pairs of one batch; it would be its own negative. Pairs are taken in order; one
// that shares a text with the batch waits for the next batch that it fits into. These are exactly the batches of
// sentence-transformers' NoDuplicatesBatchSampler (drop_last=False) for the same order, but in O(n log n): a pair waits
// in the queue of the text that blocked it, instead of being looked at again for each batch. kPlain: pairs in order,
// cut every batch_size. Batches that cannot be filled are kept when they hold at least two pairs; a lone pair has no
// negatives.

#include <cstdint>
#include <span>
#include <vector>

#include "server/base/job_directory.h"
#include "server/training/example_file.h"

namespace tandem {

// The batches of one epoch; pairs by their index.
struct EpochBatches {
  std::vector<int32_t> pairs;    // All batches end to end.
  std::vector<int64_t> offsets;  // Batch b is pairs[offsets[b] .. offsets[b+1]).

  int64_t size() const { return static_cast<int64_t>(offsets.size()) - 1; }
  std::span<const int32_t> batch(int64_t b) const {
    return std::span(pairs).subspan(offsets[b], offsets[b + 1] - offsets[b]);
  }
};

class Sampler {
 public:
  // `pairs` outlives the sampler.
  Sampler(std::span<const TrainingPair> pairs, const TrainerOptions& options);

  EpochBatches Epoch(int64_t epoch) const;

  // Batches of all epochs, counted; at most `max_steps` of the options.
  int64_t TotalSteps() const;

 private:
  EpochBatches Plain(std::span<const int32_t> order) const;
  EpochBatches NoDuplicates(std::span<const int32_t> order) const;

  const std::span<const TrainingPair> pairs_;
  const int batch_size_;
  const int epochs_;
  const std::optional<int64_t> max_steps_;
  const uint64_t seed_;
  const ExampleOrder order_;
  const BatchSampler kind_;
  TextId texts_ = 0;  // One more than the largest text number.
};

// Walks the batches of all epochs in order. The state to save is (epoch, position).
class BatchCursor {
 public:
  // Starts at batch `position` of `epoch`; `sampler` outlives this.
  BatchCursor(const Sampler* sampler, int64_t epoch, int64_t position);

  std::span<const int32_t> batch() const { return batches_.batch(position_); }
  void Advance();
  int64_t epoch() const { return epoch_; }
  int64_t position() const { return position_; }  // Of the batch within its epoch.
  // Epochs done once the current batch is done: 1.5 in the middle of the second.
  double EpochAfterBatch() const;

 private:
  void SkipFinishedEpoch();

  const Sampler* const sampler_;
  int64_t epoch_;
  int64_t position_;
  EpochBatches batches_;
};

}  // namespace tandem
