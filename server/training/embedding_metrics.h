#pragma once
// [torch] Figures of sets of vectors that need the inner products of all with all; computed in blocks of rows, so that
// memory is bounded by kBlockProducts values whatever their number. Vectors are the rows of float32 [n, dimensions] and
// have length 1. Throw c10::Error.

#include <cstdint>
#include <functional>
#include <vector>

#include <torch/torch.h>

namespace tandem {

inline constexpr int64_t kBlockProducts = int64_t{1} << 24;  // 64 MiB of float32.

// Calls visit(first row, products) for block after block of `a`'s rows: products is [rows of the block, rows of b].
void ForEachBlock(const torch::Tensor& a, const torch::Tensor& b,
                  const std::function<void(int64_t, const torch::Tensor&)>& visit);

// For each vector the index of the one nearest to it, other than itself. REQUIRES: at least two.
std::vector<int64_t> NearestNeighbours(const torch::Tensor& vectors);

// Wang and Isola 2020, "Understanding Contrastive Representation Learning through Alignment and Uniformity on the
// Hypersphere", with the paper's alpha = 2 and t = 2: mean ||a_i - b_i||^2, and log mean exp(-2 ||x_i - x_j||^2) over
// all i < j. REQUIRES: at least one pair, resp. two vectors.
double Alignment(const torch::Tensor& a, const torch::Tensor& b);
double Uniformity(const torch::Tensor& vectors);

}  // namespace tandem
