#pragma once
// [torch] Triplet losses (Schroff et al. 2015, "FaceNet"; Hermans et al. 2017, "In Defense of the Triplet Loss for
// Person Re-Identification"): an anchor a shall be closer to its positive p than to a negative n, by the margin m. With
// d the distance, a triplet's value is max(d(a, p) - d(a, n) + m, 0).
//
//   kExplicit             the mean over all (anchor, positive, negative) of the examples           (TripletLoss)
//   of labelled texts, where p has the class of a and n another one:
//   kBatchAll             the mean over all triplets whose value is above 0 (BatchAllTripletLoss) kBatchHard the mean
//   over all anchors, with the farthest p and the closest n         (BatchHardTripletLoss) kBatchHardSoftMargin  the
//   same with log(1 + exp(d(a, p) - d(a, n))) as value        (BatchHardSoftMarginTripletLoss) kBatchSemiHard the mean
//   over all (a, p), with the closest n that is farther than p, or, when there is none,
//                         the farthest n (BatchSemiHardTripletLoss)
//
// Numbers are those of sentence-transformers 6.2.0, in brackets. Like there, in kBatchHard and kBatchHardSoftMargin an
// anchor that is alone in its class is its own positive, 0 apart. A batch without any triplet gives 0 (there it is a
// constant for one class).

#include <torch/torch.h>

#include "server/base/loss_options.h"
#include "server/training/losses/loss.h"

namespace tandem {

// `block_numbers`: see row_blocks.h.
torch::Tensor Triplet(const TripletOptions& options, const LossBatch& batch, int64_t block_numbers);

}  // namespace tandem
