#pragma once
// [torch] How well a model finds the positives of held-out anchors: each anchor searches among all positives and
// negatives of the validation pairs, by the contract's metric; its relevant documents are all its positives. The corpus
// is the split's own, so the numbers are higher than on a real collection and never gate a promotion.

#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "server/base/job_directory.h"
#include "server/encoder/text_model.h"
#include "server/training/token_cache.h"
#include "server/training/trainer_events.h"

namespace tandem {

class Validator {
 public:
  // `pairs` and `tokens` outlive this. Scale, symmetric and batch size for the loss are the training's.
  Validator(std::span<const TrainingPair> pairs, const TokenCache* tokens, const TrainerOptions& options);

  // Embeds without dropout and measures. The loss is the mean over the pairs in batches without duplicates, in given
  // order. `proceed` is called between chunks with the counts of texts done and of all; a status that is not OK ends
  // the run and is returned. Throws c10::Error.
  absl::StatusOr<ValidationResult> Run(TextModel& model,
                                       const std::function<absl::Status(int64_t, int64_t)>& proceed) const;

 private:
  struct Embeddings {
    torch::Tensor anchors, documents;  // Rows in the order of anchors_ and documents_.
  };
  absl::StatusOr<Embeddings> Embed(TextModel& model,
                                   const std::function<absl::Status(int64_t, int64_t)>& proceed) const;
  double MeanLoss(const Embeddings& embeddings) const;
  RetrievalMetrics Measure(const Embeddings& embeddings, MetricKind metric) const;

  const std::span<const TrainingPair> pairs_;
  const TokenCache* const tokens_;
  const TrainerOptions options_;
  std::vector<TextId> anchors_, documents_;         // Each text once.
  std::vector<int64_t> anchor_row_, document_row_;  // Row of a text; -1 when it is none.
  std::vector<std::vector<int64_t>> relevant_;      // Document rows of an anchor's positives, sorted.
};

}  // namespace tandem
