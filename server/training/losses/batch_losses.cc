#include "server/training/losses/batch_losses.h"

#include "server/training/losses/distances.h"
#include "server/training/losses/row_blocks.h"

namespace tandem {
namespace {

// The logit of a text against itself; see info_nce.cc.
constexpr float kNothing = -1e30f;

// Inner products of rows [begin, begin + count) with all rows, over the temperature, without those with themselves.
torch::Tensor LogitsWithoutSelf(const torch::Tensor& rows, int64_t begin, int64_t count, float temperature) {
  const torch::Tensor logits = torch::matmul(rows.narrow(0, begin, count), rows.t()) / temperature;
  const torch::Tensor self =
      torch::arange(begin, begin + count).unsqueeze(1) == torch::arange(rows.size(0)).unsqueeze(0);
  return logits.masked_fill(self, kNothing);
}

// The sum over rows of log sum exp - the logit of the row's target.
torch::Tensor CrossEntropySum(const torch::Tensor& logits, const torch::Tensor& targets) {
  return torch::cross_entropy_loss(logits, targets, /*weight=*/{}, at::Reduction::Sum);
}

}  // namespace

torch::Tensor NtXent(const NtXentOptions& options, const LossBatch& batch, int64_t block_numbers) {
  const int64_t pairs = batch.anchors.size(0), views = 2 * pairs;
  const torch::Tensor partners = torch::arange(views).roll(pairs);
  const auto block = [&](const torch::Tensor& anchors, const torch::Tensor& documents, int64_t begin, int64_t count) {
    const torch::Tensor logits = LogitsWithoutSelf(torch::cat({anchors, documents}), begin, count, options.temperature);
    return CrossEntropySum(logits, partners.narrow(0, begin, count));
  };
  return SumOverRows(Unit(batch.anchors), Unit(batch.documents), views, pairs + batch.documents.size(0), block_numbers,
                     block) /
         views;
}

torch::Tensor NPair(const NPairOptions& options, const LossBatch& batch, int64_t block_numbers) {
  const int64_t pairs = batch.anchors.size(0);
  const auto block = [](const torch::Tensor& anchors, const torch::Tensor& documents, int64_t begin, int64_t count) {
    return CrossEntropySum(torch::matmul(anchors.narrow(0, begin, count), documents.t()),
                           torch::arange(begin, begin + count));
  };
  const torch::Tensor loss =
      SumOverRows(batch.anchors, batch.documents, pairs, batch.documents.size(0), block_numbers, block) / pairs;
  if (options.regularization == 0) return loss;
  return loss + torch::cat({batch.anchors, batch.documents}).square().sum(1).mean() * options.regularization;
}

torch::Tensor SupCon(const SupConOptions& options, const LossBatch& batch, int64_t block_numbers) {
  const torch::Tensor labels = torch::tensor(batch.labels);
  const torch::Tensor counts = std::get<2>(torch::_unique2(labels, /*sorted=*/true, /*return_inverse=*/false,
                                                           /*return_counts=*/true));
  const int64_t anchors_with_positive = counts.masked_select(counts > 1).sum().item<int64_t>();
  if (anchors_with_positive == 0 || counts.size(0) == 1) return NoLoss(batch.anchors, batch.documents);
  const int64_t texts = labels.size(0);
  const auto block = [&](const torch::Tensor& unit, const torch::Tensor&, int64_t begin, int64_t count) {
    const torch::Tensor logits = LogitsWithoutSelf(unit, begin, count, options.temperature);
    const torch::Tensor positives =
        (labels.narrow(0, begin, count).unsqueeze(1) == labels.unsqueeze(0)) & (logits > kNothing);
    const torch::Tensor log_probability = logits - torch::logsumexp(logits, 1, /*keepdim=*/true);
    return -(log_probability.masked_fill(~positives, 0).sum(1) / positives.sum(1).clamp_min(1)).sum();
  };
  return SumOverRows(Unit(batch.anchors), batch.documents, texts, texts, block_numbers, block) / anchors_with_positive;
}

}  // namespace tandem
