#pragma once
// [torch] Angles and distances of vectors, with gradients that are finite everywhere.

#include <torch/torch.h>

#include "server/base/loss_options.h"

namespace tandem {

// Each row brought to length 1.
torch::Tensor Unit(const torch::Tensor& rows);

// Cosine of row i of one with row i of the other: [n].
torch::Tensor RowCosines(const torch::Tensor& a, const torch::Tensor& b);

// Distance of row i of one from row i of the other: [n]. The Euclidean distance has no gradient at 0; there it is 0, so
// that equal vectors are left where they are.
torch::Tensor RowDistances(const torch::Tensor& a, const torch::Tensor& b, Distance distance);

// Distance of each row of one from each row of the other: [n, m]. As above, equal rows have no gradient.
torch::Tensor AllDistances(const torch::Tensor& a, const torch::Tensor& b, Distance distance);

// 0, with gradients of 0 for both tensors.
torch::Tensor NoLoss(const torch::Tensor& anchors, const torch::Tensor& documents);

}  // namespace tandem
