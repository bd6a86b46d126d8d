#pragma once
// [torch] Losses that hold each text of a batch against all others, besides InfoNCE. Numbers are those of
// pytorch-metric-learning 2.9.0. Each returns a scalar. `block_numbers`: see row_blocks.h.

#include <torch/torch.h>

#include "server/base/loss_options.h"
#include "server/training/losses/loss.h"

namespace tandem {

// NT-Xent (Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual Representations"). The anchors and
// positives of n pairs are 2n views z, view i' the partner of view i, and the explicit negatives are more texts z:
//   mean over the 2n views of  -log( exp(cos(z_i, z_i') / t) / sum over all z but z_i of exp(cos(z_i, z) / t) )
// (NTXentLoss; explicit negatives are texts with labels of their own there.) REQUIRES: one positive an example.
torch::Tensor NtXent(const NtXentOptions& options, const LossBatch& batch, int64_t block_numbers);

// N-pair loss (Sohn 2016, "Improved Deep Metric Learning with Multi-class N-pair Loss Objective"):
//   mean_i -log( exp(a_i . p_i) / sum over all documents d of exp(a_i . d) )  +  r * mean over all vectors x of ||x||^2
// (NPairsLoss with DotProductSimilarity(normalize_embeddings=False) and LpRegularizer(power=2); it has no explicit
// negatives, which are documents for every anchor here.) REQUIRES: one positive an example.
torch::Tensor NPair(const NPairOptions& options, const LossBatch& batch, int64_t block_numbers);

// Supervised contrastive loss (Khosla et al. 2020, "Supervised Contrastive Learning", L_out). With P(i) the other texts
// of the class of text i:
//   mean over the i with a P(i) of  mean over p in P(i) of
//     -log( exp(cos(z_i, z_p) / t) / sum over all k != i of exp(cos(z_i, z_k) / t) )
// (SupConLoss; it also leaves out of the mean what is exactly 0 in float32.) 0 when the batch has one class only.
torch::Tensor SupCon(const SupConOptions& options, const LossBatch& batch, int64_t block_numbers);

}  // namespace tandem
