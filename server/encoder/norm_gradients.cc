#include "server/encoder/norm_gradients.h"

#include <algorithm>
#include <array>

#include "server/encoder/vector_clones.h"

namespace tandem {
namespace {

constexpr int64_t kColumns = 64;  // Of a thread's turn: 256 bytes of each row.

TANDEM_VECTOR_CLONES
void AddColumns(const NormRows& r, int64_t begin, int64_t count, double* weight, double* bias) {
  for (int64_t i = 0; i < r.rows; ++i) {
    const float* const gradient = r.gradient + i * r.size + begin;
    const float* const input = r.input + i * r.size + begin;
    const float mean = r.mean[i], rstd = r.rstd[i];
#pragma omp simd
    for (int64_t j = 0; j < count; ++j) {
      weight[j] += static_cast<double>(gradient[j] * ((input[j] - mean) * rstd));
      bias[j] += static_cast<double>(gradient[j]);
    }
  }
}

}  // namespace

void NormGradients(const NormRows& rows, int threads, float* weight, float* bias) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t begin = 0; begin < rows.size; begin += kColumns) {
    const int64_t count = std::min(kColumns, rows.size - begin);
    std::array<double, kColumns> weights = {}, biases = {};
    AddColumns(rows, begin, count, weights.data(), biases.data());
    for (int64_t j = 0; j < count; ++j) {
      weight[begin + j] = static_cast<float>(weights[j]);
      bias[begin + j] = static_cast<float>(biases[j]);
    }
  }
}

}  // namespace tandem
