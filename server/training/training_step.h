#pragma once
// [torch] One step from batches to gradients.
//
// All texts of a step go through the model with dropout, the losses are functions of their embeddings alone, and
// backward leaves the gradients in the parameters. When a step has more texts than a forward pass may have, gradients
// are cached (Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup"): the texts go
// through the model in pieces without autograd, loss and backward stop at the embeddings, then each piece goes through
// the model again, with autograd and the same dropout masks, and back from its part of the embeddings' gradients.
// Values and gradients are those of the whole batch but for rounding; what grows with the batch is one embedding and
// its gradient a text, and what the loss makes of them.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include <torch/torch.h>

#include "absl/status/statusor.h"
#include "server/base/job_directory.h"
#include "server/encoder/text_model.h"
#include "server/training/example_file.h"
#include "server/training/losses/loss.h"
#include "server/training/objective_plan.h"
#include "server/training/token_cache.h"

namespace tandem {

// The vectors of texts, one a row, that losses are functions of. Autograd records unless the caller holds a
// NoGradGuard.
using EmbedTexts = std::function<torch::Tensor(const PackedTokens& tokens, const DropoutSource& dropout)>;

class TrainingStep {
 public:
  // `tokens` and what is given to Add outlive this. Dropout masks follow from (seed, step, objective, example, place of
  // the text in it). With kBFloat16 the linear maps of the model multiply in bfloat16 (autocast: Micikevicius et al.
  // 2018, without loss scaling, which bfloat16's exponents do not need); weights, gradients of weights, attention,
  // norms and losses stay float32.
  TrainingStep(const TokenCache* tokens, uint64_t seed, int64_t step, Precision precision = Precision::kFloat32);

  // The batch's texts, and `loss` times `weight` as a part of the step's loss. `mined`: more negatives, one list an
  // example of the batch, after the example's own; empty: none.
  void Add(const ObjectiveBatch& batch, const ExampleSet& set, const LossOptions& loss, double weight,
           std::span<const std::vector<TextId>> mined = {});

  int64_t examples() const { return examples_; }
  int64_t tokens() const { return token_count_; }
  int64_t texts() const { return static_cast<int64_t>(texts_.size()); }

  // Adds the gradients of the step's loss to those of what `embed` computes with and requires them, and returns the
  // loss; when it is not finite there are no gradients. `micro_batch_size`: texts of a forward pass, at least 1; not
  // set: all at once. `proceed` is called after each piece with the counts of texts done and of all, counting both
  // passes; a status that is not OK ends the step and is returned. Throws c10::Error.
  absl::StatusOr<double> Backward(const EmbedTexts& embed, std::optional<int> micro_batch_size,
                                  const std::function<absl::Status(int64_t, int64_t)>& proceed) const;

 private:
  struct Part {
    const LossOptions* loss = nullptr;
    double weight = 1;
    int64_t first = 0;  // Row of the first anchor; documents follow the anchors.
    int64_t anchors = 0, documents = 0;
    LossBatch batch;  // But for the embeddings.
  };

  void AddText(const TokenizedText& text, int objective, int32_t example, int64_t place);
  torch::Tensor Loss(const torch::Tensor& embeddings) const;
  torch::Tensor Forward(const EmbedTexts& embed, std::span<const int64_t> rows) const;
  absl::StatusOr<double> BackwardInPieces(const EmbedTexts& embed, int micro_batch_size,
                                          const std::function<absl::Status(int64_t, int64_t)>& proceed) const;
  std::vector<std::vector<int64_t>> Pieces(int micro_batch_size) const;

  const TokenCache* const tokens_;
  const uint64_t seed_;
  const int64_t step_;
  const Precision precision_;
  int64_t examples_ = 0, token_count_ = 0;
  std::vector<const TokenizedText*> texts_;  // Row by row of the embeddings.
  std::vector<uint64_t> keys_;               // Of dropout, for each text.
  std::vector<Part> parts_;
};

}  // namespace tandem
