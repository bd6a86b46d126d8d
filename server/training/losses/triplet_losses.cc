#include "server/training/losses/triplet_losses.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "server/training/losses/distances.h"
#include "server/training/losses/row_blocks.h"

namespace tandem {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

torch::Tensor ExplicitTriplets(const TripletOptions& options, const LossBatch& batch) {
  std::vector<int64_t> owners(batch.documents.size(0)), near, far;  // Of each triplet: the rows of its documents.
  for (int64_t i = 0; i < batch.anchors.size(0); ++i) {
    for (int64_t p = batch.positive_offsets[i]; p < batch.positive_offsets[i + 1]; ++p) {
      owners[p] = i;
      for (int64_t n = batch.negative_offsets[i]; n < batch.negative_offsets[i + 1]; ++n) {
        owners[n] = i;
        near.push_back(p);
        far.push_back(n);
      }
    }
  }
  if (near.empty()) return NoLoss(batch.anchors, batch.documents);
  const torch::Tensor distances =
      RowDistances(batch.anchors.index_select(0, torch::tensor(owners)), batch.documents, options.distance);
  const torch::Tensor overtaken =
      distances.index_select(0, torch::tensor(near)) - distances.index_select(0, torch::tensor(far));
  return torch::relu(overtaken + options.margin).mean();
}

// A block of anchors against all texts.
struct Mined {
  torch::Tensor distances;             // [anchors, texts]
  torch::Tensor positives, negatives;  // bool [anchors, texts]: of the anchor's class, without itself; of another one.
};

// The sum of all triplets' values, and how many are above 0.
std::pair<torch::Tensor, int64_t> BatchAll(const Mined& mined, float margin) {
  // For each (a, p) the negatives within d(a, p) + m are the first of the row's sorted ones, and their sum is a prefix
  // sum: n^2 numbers instead of n^3. In double, for the prefix sums.
  const torch::Tensor sorted =
      std::get<0>(mined.distances.masked_fill(~mined.negatives, kInfinity).sort(1)).to(torch::kFloat64);
  const torch::Tensor bounds = mined.distances.to(torch::kFloat64) + margin;
  const torch::Tensor within = torch::searchsorted(sorted.detach().contiguous(), bounds.detach().contiguous());
  const torch::Tensor sums = torch::constant_pad_nd(sorted.masked_fill(torch::isinf(sorted), 0).cumsum(1), {1, 0});
  const torch::Tensor values = bounds * within - sums.gather(1, within);
  return {values.masked_fill(~mined.positives, 0).sum().to(torch::kFloat32),
          within.masked_fill(~mined.positives, 0).sum().item<int64_t>()};
}

// d(a, p) - d(a, n) of the farthest p and the closest n: [anchors].
torch::Tensor BatchHard(const Mined& mined) {
  const torch::Tensor farthest = std::get<0>(mined.distances.masked_fill(~mined.positives, 0).max(1));
  return farthest - std::get<0>(mined.distances.masked_fill(~mined.negatives, kInfinity).min(1));
}

// The sum over all (a, p).
torch::Tensor BatchSemiHard(const Mined& mined, float margin) {
  const torch::Tensor& distances = mined.distances;
  const torch::Tensor sorted = std::get<0>(distances.masked_fill(~mined.negatives, kInfinity).sort(1));
  const torch::Tensor next = torch::searchsorted(sorted.detach().contiguous(), distances.detach().contiguous(),
                                                 /*out_int32=*/false, /*right=*/true);
  const torch::Tensor outside = sorted.gather(1, next.clamp_max(distances.size(1) - 1));
  const torch::Tensor inside =
      std::get<0>(distances.masked_fill(~mined.negatives, -kInfinity).max(1, /*keepdim=*/true));
  const torch::Tensor negative = torch::where((next == distances.size(1)) | torch::isinf(outside), inside, outside);
  return torch::relu(distances - negative + margin).masked_select(mined.positives).sum();
}

// What the sum is divided by, but for BatchAll: anchors, or pairs (a, p). `sizes` [classes]: texts of each class.
int64_t Terms(TripletOptions::Mining mining, const torch::Tensor& sizes) {
  if (mining == TripletOptions::Mining::kBatchSemiHard) return (sizes * (sizes - 1)).sum().item<int64_t>();
  return sizes.sum().item<int64_t>();
}

torch::Tensor MinedTriplets(const TripletOptions& options, const LossBatch& batch, int64_t block_numbers) {
  const torch::Tensor labels = torch::tensor(batch.labels);
  const torch::Tensor sizes = std::get<2>(torch::_unique2(labels, /*sorted=*/true, /*return_inverse=*/false,
                                                          /*return_counts=*/true));
  if (sizes.size(0) == 1 || sizes.max().item<int64_t>() == 1) return NoLoss(batch.anchors, batch.documents);
  const int64_t texts = labels.size(0);
  int64_t hard_triplets = 0;  // Of BatchAll.
  const auto block = [&](const torch::Tensor& rows, const torch::Tensor&, int64_t begin, int64_t count) {
    const torch::Tensor same = labels.narrow(0, begin, count).unsqueeze(1) == labels.unsqueeze(0);
    const torch::Tensor self = torch::arange(begin, begin + count).unsqueeze(1) == torch::arange(texts).unsqueeze(0);
    const Mined mined{AllDistances(rows.narrow(0, begin, count), rows, options.distance), same & ~self, ~same};
    switch (options.mining) {
      case TripletOptions::Mining::kExplicit:
        break;
      case TripletOptions::Mining::kBatchAll: {
        const auto [sum, hard] = BatchAll(mined, options.margin);
        hard_triplets += hard;
        return sum;
      }
      case TripletOptions::Mining::kBatchHard:
        return torch::relu(BatchHard(mined) + options.margin).sum();
      case TripletOptions::Mining::kBatchHardSoftMargin:
        return torch::softplus(BatchHard(mined)).sum();
      case TripletOptions::Mining::kBatchSemiHard:
        return BatchSemiHard(mined, options.margin);
    }
    return NoLoss(rows, batch.documents);
  };
  const torch::Tensor sum = SumOverRows(batch.anchors, batch.documents, texts, texts, block_numbers, block);
  const bool all = options.mining == TripletOptions::Mining::kBatchAll;
  return sum / (all ? std::max<int64_t>(hard_triplets, 1) : Terms(options.mining, sizes));
}

}  // namespace

torch::Tensor Triplet(const TripletOptions& options, const LossBatch& batch, int64_t block_numbers) {
  if (options.mining == TripletOptions::Mining::kExplicit) return ExplicitTriplets(options, batch);
  return MinedTriplets(options, batch, block_numbers);
}

}  // namespace tandem
