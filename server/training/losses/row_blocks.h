#pragma once
// [torch] Losses that hold each text against all others have a matrix of similarities, which does not fit in memory for
// the batches that gradient caching allows: of 65,536 texts it has 17 GB, and its gradient as many. All of them are
// sums over its rows. Here the sum is taken in blocks of rows, and each block is differentiated as soon as it is
// computed.

#include <cstdint>
#include <functional>

#include <torch/torch.h>

namespace tandem {

// Numbers of a block: 64 MiB, of which a loss has a few at a time. A batch of 4,096 is one block.
inline constexpr int64_t kBlockNumbers = 1 << 24;

// The sum of the loss over rows [begin, begin + count), as a function of the two inputs alone.
using BlockLoss = std::function<torch::Tensor(const torch::Tensor& anchors, const torch::Tensor& documents,
                                              int64_t begin, int64_t count)>;

// The sum over all `rows`, each of which needs `columns` numbers: a scalar with gradients for both inputs, the same as
// block(anchors, documents, 0, rows), which it is when rows * columns is at most `block_numbers`.
torch::Tensor SumOverRows(const torch::Tensor& anchors, const torch::Tensor& documents, int64_t rows, int64_t columns,
                          int64_t block_numbers, const BlockLoss& block);

}  // namespace tandem
