#include "server/training/losses/loss.h"

#include <variant>

#include "server/training/losses/batch_losses.h"
#include "server/training/losses/distances.h"
#include "server/training/losses/info_nce.h"
#include "server/training/losses/pair_losses.h"
#include "server/training/losses/triplet_losses.h"

namespace tandem {
namespace {

struct LossOfKind {
  const LossBatch& batch;
  int64_t block_numbers;

  torch::Tensor operator()(const InfoNceOptions& options) const { return InfoNce(options, batch, block_numbers); }
  torch::Tensor operator()(const NtXentOptions& options) const { return NtXent(options, batch, block_numbers); }
  torch::Tensor operator()(const NPairOptions& options) const { return NPair(options, batch, block_numbers); }
  torch::Tensor operator()(const TripletOptions& options) const { return Triplet(options, batch, block_numbers); }
  torch::Tensor operator()(const SupConOptions& options) const { return SupCon(options, batch, block_numbers); }
  torch::Tensor operator()(const ContrastiveOptions& options) const { return Contrastive(options, batch); }
  // Unsupervised SimCSE (Gao et al. 2021, "SimCSE: Simple Contrastive Learning of Sentence Embeddings"): one-way
  // InfoNCE from a view of each text to the other view of it.
  torch::Tensor operator()(const SimCseOptions& options) const {
    return InfoNce(InfoNceOptions{.scale = options.scale}, batch, block_numbers);
  }
  torch::Tensor operator()(const CosentOptions& options) const { return Cosent(options, batch); }
  torch::Tensor operator()(const AngleOptions& options) const { return Angle(options, batch); }
  torch::Tensor operator()(const CosineMseOptions&) const { return CosineMse(batch); }
};

}  // namespace

torch::Tensor ComputeLoss(const LossOptions& loss, const LossBatch& batch, int64_t block_numbers) {
  const MatryoshkaOptions& matryoshka = loss.matryoshka;
  if (matryoshka.dimensions.empty()) return std::visit(LossOfKind{batch, block_numbers}, loss.kind);
  LossBatch truncated = batch;
  torch::Tensor sum;
  for (size_t i = 0; i < matryoshka.dimensions.size(); ++i) {
    const int64_t dimensions = matryoshka.dimensions[i];
    TORCH_CHECK(dimensions <= batch.anchors.size(1), "matryoshka dimension ", dimensions,
                ": must be at most the model's ", batch.anchors.size(1));
    truncated.anchors = Unit(batch.anchors.narrow(1, 0, dimensions));
    truncated.documents = Unit(batch.documents.narrow(1, 0, dimensions));
    torch::Tensor value = std::visit(LossOfKind{truncated, block_numbers}, loss.kind);
    if (!matryoshka.weights.empty()) value = value * matryoshka.weights[i];
    sum = sum.defined() ? sum + value : value;
  }
  return sum;
}

}  // namespace tandem
