#pragma once
// Which examples of a set make which batch. Everything follows from (seed, epoch), so that a resumed run sees the same
// batches.
//
// Order: as given, or a Fisher-Yates shuffle from (seed, epoch).
// kNoDuplicates: no text stands in two examples of one batch; it would be its own negative. Examples are taken in
// order; one that shares a text with the batch waits for the next batch that it fits into. These are exactly the
// batches of sentence-transformers' NoDuplicatesBatchSampler (drop_last=False) for the same order, but in O(n log n):
// an example waits in the queue of the text that blocked it, instead of being looked at again for each batch. kPlain:
// examples in order, cut every batch_size. kBalanced, of labelled texts: in each round every class, in an order of that
// round, gives its next texts_per_class texts, or what it has left if that is at least two; a batch ends when the next
// class's texts do not fit into it. No text is used twice in an epoch. Rounds end when fewer than two classes have
// texts: the tail of a class that is much larger than all others waits for another epoch's shuffle, and so does the
// last text of a class when it is alone; a class of one text is never used. With at least batch_size / texts_per_class
// classes a batch within a round holds as many different ones (pytorch-metric-learning's MPerClassSampler, but without
// its repetitions); with fewer it holds several rounds. With texts_per_class 2 these are the batches of
// sentence-transformers' GroupByLabelBatchSampler for the same orders.
//
// A batch that cannot be filled is kept when it holds at least `fewest` examples (kBalanced: two classes).

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "server/base/job_directory.h"
#include "server/training/example_file.h"

namespace tandem {

struct SamplerOptions {
  BatchSampler kind = BatchSampler::kNoDuplicates;
  ExampleOrder order = ExampleOrder::kShuffled;
  int batch_size = 32;
  int texts_per_class = 4;  // kBalanced; at most batch_size / 2.
  int fewest = 2;           // See FewestExamples.
  uint64_t seed = 0;
};

// The smallest batch that the loss can learn from: 2 when it compares the examples of a batch with each other, else 1.
int FewestExamples(const LossOptions& loss);

// The options for one objective's examples. INVALID_ARGUMENT when the form and the sampler that was asked for do not go
// together.
absl::StatusOr<SamplerOptions> SamplerOptionsFor(const TrainerOptions& options, const LossOptions& loss,
                                                 ExampleForm form);

// The batches of one epoch; examples by their index.
struct EpochBatches {
  std::vector<int32_t> examples;       // All batches end to end.
  std::vector<int64_t> offsets = {0};  // Batch b is examples[offsets[b] .. offsets[b+1]).

  int64_t size() const { return static_cast<int64_t>(offsets.size()) - 1; }
  std::span<const int32_t> batch(int64_t b) const {
    return std::span(examples).subspan(offsets[b], offsets[b + 1] - offsets[b]);
  }
};

// Immutable.
class Sampler {
 public:
  // `set` outlives the sampler.
  Sampler(const ExampleSet& set, const SamplerOptions& options);

  EpochBatches Epoch(int64_t epoch) const;

  // Whether every epoch has as many batches as the first.
  bool SameSizeEachEpoch() const;

 private:
  EpochBatches Plain(std::span<const int32_t> order) const;

  const std::span<const TrainingExample> examples_;
  const SamplerOptions options_;
  TextId texts_ = 0;  // One more than the largest text number.
};

}  // namespace tandem
