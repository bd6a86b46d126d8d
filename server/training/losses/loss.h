#pragma once
// [torch] The value of any loss on one batch, as a function of the batch's embeddings alone: that is what makes
// gradient caching possible for all of them (gradients of the embeddings first, those of the weights afterwards, in
// pieces).
//
// Matryoshka (Kusupati et al. 2022, "Matryoshka Representation Learning") goes around each of them: with dimensions
// D_1..D_k and weights w_1..w_k the value is
//   sum_i w_i L( x[0..D_i) / ||x[0..D_i)||  of every vector x )
// with the numbers of sentence-transformers 6.2.0's MatryoshkaLoss, which brings vectors to length 1 for losses on
// distances and inner products, too.

#include <cstdint>
#include <vector>

#include <torch/torch.h>

#include "server/base/loss_options.h"
#include "server/training/losses/row_blocks.h"

namespace tandem {

// The embeddings of a batch of n examples of one form, of any length (losses that look at angles divide by it).
struct LossBatch {
  torch::Tensor anchors;    // float32 [n, dimensions]: the first text of each example.
  torch::Tensor documents;  // float32 [m, dimensions]: all positives, example by example, then all negatives, example
                            // by example. A scored or labelled pair's second text, a text's second view, is its
                            // positive. [0, dimensions] for labelled texts.
  std::vector<int64_t> positive_offsets;  // n + 1: positives of example i are rows [offsets[i], offsets[i+1]).
  std::vector<int64_t> negative_offsets;  // n + 1, rows of `documents` too: the first is positive_offsets[n].
  std::vector<float> scores;              // n, of scored pairs; else empty.
  std::vector<char> similar;              // n, of labelled pairs: 1 or 0; else empty.
  std::vector<int64_t> labels;            // n, of labelled texts: the number of the class; else empty.
};

// A scalar that autograd can go back from. REQUIRES: n >= 1, the loss takes examples of the batch's form, and each
// example of a loss on pairs has one positive (InfoNCE with several_positives: one or more). A batch on which the loss
// is not defined (no triplet, one class only) gives 0 with zero gradients. Throws c10::Error, also when the vectors
// have less than matryoshka's dimensions. `block_numbers`: see row_blocks.h; tests have small ones.
torch::Tensor ComputeLoss(const LossOptions& loss, const LossBatch& batch, int64_t block_numbers = kBlockNumbers);

}  // namespace tandem
