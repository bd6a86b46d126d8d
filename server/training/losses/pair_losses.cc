#include "server/training/losses/pair_losses.h"

#include <limits>

#include "server/training/losses/distances.h"

namespace tandem {
namespace {

// The distances of similar and of dissimilar pairs, taken to what is summed.
torch::Tensor Penalty(const torch::Tensor& values, bool squared) { return squared ? values.square() : values; }

// REQUIRES: not both are empty.
torch::Tensor OnlyHard(const torch::Tensor& similar, const torch::Tensor& dissimilar,
                       const ContrastiveOptions& options) {
  const torch::Tensor farthest = (similar.numel() > 0 ? similar.max() : dissimilar.mean()).detach();
  const torch::Tensor closest = (dissimilar.numel() > 0 ? dissimilar.min() : similar.mean()).detach();
  const torch::Tensor far = similar.masked_select(similar > closest);
  const torch::Tensor close = dissimilar.masked_select(dissimilar < farthest);
  return Penalty(far, options.squared).sum() + Penalty(torch::relu(options.margin - close), options.squared).sum();
}

// CoSENT over any similarity: [n] of each pair, not yet scaled.
torch::Tensor Ordered(const torch::Tensor& similarity, float scale, const LossBatch& batch) {
  const auto [scores, order] = torch::sort(torch::tensor(batch.scores));
  const torch::Tensor values = (similarity * scale).index_select(0, order);
  // For each pair, log sum exp(-value) over the pairs with a higher score, which are those from `higher` on.
  const torch::Tensor higher = torch::searchsorted(scores, scores, /*out_int32=*/false, /*right=*/true);
  const torch::Tensor nobody = torch::full({1}, -std::numeric_limits<float>::infinity());
  const torch::Tensor suffix = torch::cat({torch::logcumsumexp(-values.flip(0), 0).flip(0), nobody});
  const torch::Tensor terms = values + suffix.index_select(0, higher);
  return torch::logsumexp(torch::cat({torch::zeros({1}), terms}), 0);
}

// The halves of vectors with an even number of values.
torch::Tensor AngleSimilarity(torch::Tensor a, torch::Tensor b) {
  namespace F = torch::nn::functional;
  if (a.size(1) % 2 != 0) {
    a = F::pad(a, F::PadFuncOptions({0, 1}));
    b = F::pad(b, F::PadFuncOptions({0, 1}));
  }
  a = Unit(a);
  b = Unit(b);
  const int64_t half = a.size(1) / 2;
  const torch::Tensor sines =
      (a.narrow(1, half, half) * b.narrow(1, 0, half) - a.narrow(1, 0, half) * b.narrow(1, half, half)).sum(1);
  return ((a * b).sum(1) + sines).abs();
}

}  // namespace

torch::Tensor Contrastive(const ContrastiveOptions& options, const LossBatch& batch) {
  const torch::Tensor distances = RowDistances(batch.anchors, batch.documents, options.distance);
  const torch::Tensor similar =
      torch::tensor(std::vector<int64_t>(batch.similar.begin(), batch.similar.end())).to(torch::kBool);
  if (options.only_hard) {
    return OnlyHard(distances.masked_select(similar), distances.masked_select(~similar), options);
  }
  const torch::Tensor values = torch::where(similar, distances, torch::relu(options.margin - distances));
  return options.squared ? values.square().mean() / 2 : values.mean();
}

torch::Tensor Cosent(const CosentOptions& options, const LossBatch& batch) {
  return Ordered(RowCosines(batch.anchors, batch.documents), options.scale, batch);
}

torch::Tensor Angle(const AngleOptions& options, const LossBatch& batch) {
  return Ordered(AngleSimilarity(batch.anchors, batch.documents), options.scale, batch);
}

torch::Tensor CosineMse(const LossBatch& batch) {
  return (RowCosines(batch.anchors, batch.documents) - torch::tensor(batch.scores)).square().mean();
}

}  // namespace tandem
