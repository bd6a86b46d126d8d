#pragma once
// [torch] Losses on pairs of texts (a_i, b_i) that somebody judged: as similar or not, or with a score. b_i is the
// positive of example i. Numbers are those of sentence-transformers 6.2.0 unless said otherwise. Each returns a scalar.

#include <torch/torch.h>

#include "server/base/loss_options.h"
#include "server/training/losses/loss.h"

namespace tandem {

// With d_i = distance(a_i, b_i), Y_i = 0 for a similar and 1 for a dissimilar pair, and m the margin:
//   squared:  mean_i ( (1 - Y_i) d_i^2 + Y_i max(m - d_i, 0)^2 ) / 2    (Hadsell, Chopra and LeCun 2006,
//   "Dimensionality
//             Reduction by Learning an Invariant Mapping"; ContrastiveLoss)
//   linear:   mean_i ( (1 - Y_i) d_i + Y_i max(m - d_i, 0) )
//   only_hard: the sum, without the factor 1/2, over the dissimilar pairs that are closer than the farthest similar
//   pair
//             and the similar pairs that are farther than the closest dissimilar one; when the batch has one kind only,
//             than its mean (OnlineContrastiveLoss, which has the squared form)
torch::Tensor Contrastive(const ContrastiveOptions& options, const LossBatch& batch);

// log( 1 + sum over i, j with score_i > score_j of exp(scale * (c_j - c_i)) ), c_i = cos(a_i, b_i): a pair with a
// higher score shall have a higher cosine. Pairs with equal scores are not held against each other; when all are equal
// it is 0. (Su 2022, "CoSENT"; CoSENTLoss). n log n, not n^2, in the pairs of the batch.
torch::Tensor Cosent(const CosentOptions& options, const LossBatch& batch);

// The same with |cos + sin| in place of the cosine, where sin is sum_k (v_a u_b - u_a v_b)_k of the halves (u, v) of
// the vectors, the parts of complex numbers (Li and Li 2024, "AoE: Angle-optimized Embeddings"; AnglELoss). A vector
// with an odd number of values gets a 0 at its end.
torch::Tensor Angle(const AngleOptions& options, const LossBatch& batch);

// mean_i (cos(a_i, b_i) - score_i)^2 (CosineSimilarityLoss).
torch::Tensor CosineMse(const LossBatch& batch);

}  // namespace tandem
