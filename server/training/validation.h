#pragma once
// [torch] How good a model is on held-out examples, by their form:
//   pairs           each anchor searches among all positives and negatives of the set, by the contract's metric; its
//                   relevant documents are all its positives. The corpus is the set's own, so the numbers are higher
//                   than on a real collection and never gate a promotion
//   scored pairs    correlation of the cosines with the scores
//   labelled pairs  how well a threshold of the cosine tells similar pairs from the others
//   labelled texts  whether the text nearest by cosine has the same label
// Of every form: the loss, when the first objective's takes the form; alignment of pairs (a labelled pair must be
// similar); uniformity of all texts, each once, of at most 4,096 of them.
// Memory: one embedding for each text, besides blocks of a fixed size and what the loss of one batch needs.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "server/base/job_directory.h"
#include "server/base/validation_metrics.h"
#include "server/encoder/text_model.h"
#include "server/training/example_file.h"
#include "server/training/losses/loss.h"
#include "server/training/sampler.h"
#include "server/training/token_cache.h"
#include "server/training/validation_outcomes.h"

namespace tandem {

class Validator {
 public:
  // `set` and `tokens` outlive this. Loss and batch size are those of the training.
  Validator(const ExampleSet& set, const TokenCache* tokens, const TrainerOptions& options);

  // Embeds without dropout and measures. The loss is the mean over the examples, in the same batches each time: in
  // given order, labelled texts by class. `proceed` is called between chunks with the counts of texts done and of all;
  // a status that is not OK ends the run and is returned. FAILED_PRECONDITION when an embedding is not finite. Throws
  // c10::Error.
  absl::StatusOr<ValidationOutcomes> Run(TextModel& model,
                                         const std::function<absl::Status(int64_t, int64_t)>& proceed) const;

 private:
  struct Embeddings {
    torch::Tensor anchors, documents;  // Rows in the order of anchors_ and documents_.
  };
  absl::StatusOr<Embeddings> Embed(TextModel& model,
                                   const std::function<absl::Status(int64_t, int64_t)>& proceed) const;
  std::optional<double> MeanLoss(const Embeddings& embeddings) const;
  LossBatch MakeBatch(const Embeddings& embeddings, std::span<const int32_t> examples) const;

  // `unit` are of length 1.
  void Measure(const Embeddings& embeddings, const Embeddings& unit, MetricKind metric, ValidationOutcomes& out) const;
  void MeasureRetrieval(const Embeddings& embeddings, ValidationOutcomes& out) const;
  void MeasureClasses(const Embeddings& unit, ValidationOutcomes& out) const;
  std::vector<double> Cosines(const Embeddings& unit) const;  // Of each example with its one positive.
  std::optional<double> MeasureAlignment(const Embeddings& unit) const;
  std::optional<double> MeasureUniformity(const Embeddings& unit) const;
  torch::Tensor AnchorsOf(const Embeddings& embeddings, std::span<const int32_t> examples) const;

  const ExampleSet& set_;
  const TokenCache* const tokens_;
  const LossOptions loss_;
  SamplerOptions batches_;                          // For the loss.
  std::vector<TextId> anchors_, documents_;         // Each text once.
  std::vector<int64_t> anchor_row_, document_row_;  // Row of a text; -1 when it is none.
  std::vector<std::vector<int64_t>> relevant_;      // Document rows of an anchor's positives, sorted.
};

}  // namespace tandem
