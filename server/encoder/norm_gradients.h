#pragma once
// The gradients of LayerNorm's weight and bias (Ba et al. 2016), which are sums over all tokens of a batch, in float64.
// Where they cancel, as those of the last bias do under losses on distances, float32 leaves little but the rounding of
// thousands of additions: 3e-5 of the gradient in a batch of 400 tokens.

#include <cstdint>

namespace tandem {

// What backward has. Rows are tokens, row-major.
struct NormRows {
  int64_t rows = 0, size = 0;
  const float* gradient = nullptr;  // [rows, size], of the output.
  const float* input = nullptr;     // [rows, size]
  const float* mean = nullptr;      // [rows], of the input.
  const float* rstd = nullptr;      // [rows], one over its standard deviation.
};

// weight[j] = sum over i of gradient[i, j] * (input[i, j] - mean[i]) * rstd[i], bias[j] = that of gradient[i, j]: both
// [size]. The same for any number of threads.
void NormGradients(const NormRows& rows, int threads, float* weight, float* bias);

}  // namespace tandem
