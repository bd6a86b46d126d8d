#pragma once
// [torch] InfoNCE (van den Oord et al. 2018, "Representation Learning with Contrastive Predictive Coding"; with
// in-batch negatives Henderson et al. 2017, "Efficient Natural Language Response Suggestion for Smart Reply"). For
// anchors a_1..a_n and the pool d of all documents of the batch (all positives, then all explicit negatives), with s(x,
// y) = scale * cos(x, y), and for example i with its positive p:
//
//   Q = sum over d of exp(s(a_i, d))           anchor to documents; d = p is one of them
//   R = sum over j of exp(s(a_j, p))           positive to anchors; j = i is one of them        (symmetric)
//   A = sum over j != i of exp(s(a_i, a_j))    anchor to the other anchors                      (query_negatives)
//   D = sum over d of other examples of exp(s(p, d))                                            (document_negatives)
//
//   one-way:                                    log Q - s(a_i, p)
//   symmetric, without query or document negatives:  (log Q + log R) / 2 - s(a_i, p)            (Günther et al. 2024)
//   with query or document negatives:           log(Q [+ R] [+ A] [+ D]) - s(a_i, p)            (Li et al. 2023, GTE)
//
// each as the mean over all examples. That is MultipleNegativesRankingLoss of sentence-transformers 6.2.0 with the
// directions of the same names; partition_mode is "per_direction" for symmetric alone and else "joint", where it counts
// the pair in both Q and R.
//
// hardness h > 0: in Q a negative d counts exp(s(a_i, d) + h * cos(a_i, d)), where the second cosine is a constant to
// the gradient (Lan et al. 2025, equation 5); hard_negatives says which: kAll is the peer's hardness_mode
// "all_negatives", kInBatch "in_batch_negatives", kExplicit "hard_negatives".
//
// false_negative_margin m: a text x of Q, R, A or D whose cosine with the text that it is held against is greater than
// cos(a_i, p) - m is left out; p itself never is (Solatorio 2024, "GISTEmbed", with the model as its own guide: the
// numbers of GISTEmbedLoss, whose contrast_anchors and contrast_positives are query_negatives and document_negatives.
// It lets p face other positives only, not other explicit negatives).
//
// several_positives: the value of an example is the mean over its positives; the others of them are no negatives of a_i
// and p. Examples may have different counts of positives and of negatives. Explicit negatives take no part in R.

#include <torch/torch.h>

#include "server/base/loss_options.h"
#include "server/training/losses/loss.h"

namespace tandem {

// A scalar. REQUIRES: at least one positive in each example. `block_numbers`: see row_blocks.h.
torch::Tensor InfoNce(const InfoNceOptions& options, const LossBatch& batch, int64_t block_numbers);

}  // namespace tandem
