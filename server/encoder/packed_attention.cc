#include "server/encoder/packed_attention.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "server/encoder/vector_clones.h"

extern "C" void sgemm_(const char* trans_a, const char* trans_b, const int* m, const int* n, const int* k,
                       const float* alpha, const float* a, const int* lda, const float* b, const int* ldb,
                       const float* beta, float* c, const int* ldc);

namespace tandem {
namespace {

// Queries computed at once: their scores against a text of 512 tokens (128 KiB) stay in the second-level cache.
constexpr int64_t kQueryBlock = 64;

// Column-major c[m, n] = alpha * op(a)[m, k] op(b)[k, n] + beta * c. A row-major matrix is its transpose to BLAS.
void Multiply(char trans_a, char trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float* a, int64_t lda,
              const float* b, int64_t ldb, float beta, float* c, int64_t ldc) {
  const int m32 = static_cast<int>(m), n32 = static_cast<int>(n), k32 = static_cast<int>(k);
  const int lda32 = static_cast<int>(lda), ldb32 = static_cast<int>(ldb), ldc32 = static_cast<int>(ldc);
  sgemm_(&trans_a, &trans_b, &m32, &n32, &k32, &alpha, a, &lda32, b, &ldb32, &beta, c, &ldc32);
}

// e^x for x <= 0, to about 1 ulp: 2^n times the Cephes polynomial on [-ln2/2, ln2/2]. Below -87 it gives 2^-126's
// order, which is nothing beside the largest term, 1.
inline float Exp(float x) {
  x = std::max(x, -87.0f);
  const float shifted = x * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: rounds to an integer in the low bits.
  const float n = shifted - 12582912.0f;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  return p * std::bit_cast<float>((std::bit_cast<int32_t>(shifted) << 23) + 0x3f800000);
}

// Each row of scores[rows, size] becomes its softmax.
TANDEM_VECTOR_CLONES
void Softmax(float* scores, int64_t rows, int64_t size) {
  for (int64_t row = 0; row < rows; ++row) {
    float* const s = scores + row * size;
    float largest = s[0];
#pragma omp simd reduction(max : largest)
    for (int64_t j = 0; j < size; ++j) largest = std::max(largest, s[j]);
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < size; ++j) {
      s[j] = Exp(s[j] - largest);
      sum += s[j];
    }
    const float factor = 1 / sum;
#pragma omp simd
    for (int64_t j = 0; j < size; ++j) s[j] *= factor;
  }
}

TANDEM_VECTOR_CLONES
void MultiplyElements(const float* factors, int64_t size, const float* in, float* out) {
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) out[i] = in[i] * factors[i];
}

// Softmax backward, in place: gradient[i][j] = scale * p[i][j] * (gradient[i][j] - sum_k p[i][k] gradient[i][k]).
TANDEM_VECTOR_CLONES
void SoftmaxBackward(const float* probabilities, int64_t rows, int64_t size, float scale, float* gradient) {
  for (int64_t row = 0; row < rows; ++row) {
    const float* const p = probabilities + row * size;
    float* const g = gradient + row * size;
    float dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int64_t j = 0; j < size; ++j) dot += p[j] * g[j];
#pragma omp simd
    for (int64_t j = 0; j < size; ++j) g[j] = scale * p[j] * (g[j] - dot);
  }
}

// One text and head: where its rows begin, and the steps from row to row.
struct Slice {
  int64_t rows, head_size, qkv_step, context_step;
  int64_t head;
  float scale;
  const float *query, *key, *value;
  int64_t row_begin;  // Of the text.
};

Slice MakeSlice(const AttentionShape& shape, const float* qkv, int64_t item) {
  const int64_t text = item / shape.heads, head = item % shape.heads, hidden = shape.hidden();
  const int64_t begin = shape.offsets[text];
  const float* const query = qkv + begin * 3 * hidden + head * shape.head_size;
  return {.rows = shape.offsets[text + 1] - begin,
          .head_size = shape.head_size,
          .qkv_step = 3 * hidden,
          .context_step = hidden,
          .head = head,
          .scale = 1 / std::sqrt(static_cast<float>(shape.head_size)),
          .query = query,
          .key = query + hidden,
          .value = query + 2 * hidden,
          .row_begin = begin};
}

// probabilities[count, rows] of the queries first .. first + count.
void Probabilities(const Slice& s, int64_t first, int64_t count, float* probabilities) {
  Multiply('T', 'N', s.rows, count, s.head_size, s.scale, s.key, s.qkv_step, s.query + first * s.qkv_step, s.qkv_step,
           0, probabilities, s.rows);
  Softmax(probabilities, count, s.rows);
}

void Mask(const Slice& s, const AttentionDropout& dropout, int64_t text, int64_t first, int64_t count, float* mask) {
  const int64_t element = (s.head * s.rows + first) * s.rows;
  FillDropoutMask(dropout.keys[text], static_cast<uint32_t>(element), dropout.rate,
                  {mask, static_cast<size_t>(count * s.rows)});
}

// Floats of one block of queries against the longest text.
int64_t BlockSize(const AttentionShape& shape) {
  int64_t longest = 0;
  for (int64_t i = 0; i < shape.texts(); ++i) longest = std::max(longest, shape.offsets[i + 1] - shape.offsets[i]);
  return longest * std::min(longest, kQueryBlock);
}

void ForwardSlice(const Slice& s, const AttentionDropout& dropout, int64_t text, float* block, int64_t block_size,
                  float* context) {
  float* const out = context + s.row_begin * s.context_step + s.head * s.head_size;
  for (int64_t first = 0; first < s.rows; first += kQueryBlock) {
    const int64_t count = std::min(kQueryBlock, s.rows - first);
    Probabilities(s, first, count, block);
    if (dropout.on()) {
      float* const mask = block + block_size;
      Mask(s, dropout, text, first, count, mask);
      MultiplyElements(mask, count * s.rows, block, block);
    }
    Multiply('N', 'N', s.head_size, count, s.rows, 1, s.value, s.qkv_step, block, s.rows, 0,
             out + first * s.context_step, s.context_step);
  }
}

void BackwardSlice(const Slice& s, const AttentionDropout& dropout, int64_t text, float* block, int64_t block_size,
                   const float* grad_context, float* grad_qkv) {
  const int64_t d = s.head_size, n = s.rows, step = s.qkv_step;
  const float* const grad_out = grad_context + s.row_begin * s.context_step + s.head * d;
  float* const grad_query = grad_qkv + s.row_begin * step + s.head * d;
  float* const grad_key = grad_query + s.context_step;
  float* const grad_value = grad_key + s.context_step;
  float *const probabilities = block, *const gradient = block + block_size;
  float *const mask = block + 2 * block_size, *const dropped = block + 3 * block_size;
  for (int64_t first = 0; first < n; first += kQueryBlock) {
    const int64_t count = std::min(kQueryBlock, n - first);
    const float so_far = first == 0 ? 0.0f : 1.0f;  // The first block overwrites, the others add.
    const float* const out = grad_out + first * s.context_step;
    Probabilities(s, first, count, probabilities);
    Multiply('T', 'N', n, count, d, 1, s.value, step, out, s.context_step, 0, gradient, n);
    const float* used = probabilities;
    if (dropout.on()) {
      Mask(s, dropout, text, first, count, mask);
      MultiplyElements(mask, count * n, probabilities, dropped);
      MultiplyElements(mask, count * n, gradient, gradient);
      used = dropped;
    }
    Multiply('N', 'T', d, n, count, 1, out, s.context_step, used, n, so_far, grad_value, step);
    SoftmaxBackward(probabilities, count, n, s.scale, gradient);
    Multiply('N', 'N', d, count, n, 1, s.key, step, gradient, n, 0, grad_query + first * step, step);
    Multiply('N', 'T', d, n, count, 1, s.query + first * step, step, gradient, n, so_far, grad_key, step);
  }
}

}  // namespace

void AttentionForward(const AttentionShape& shape, const AttentionDropout& dropout, const float* qkv, float* context) {
  const int64_t items = shape.texts() * shape.heads, block_size = BlockSize(shape);
#pragma omp parallel num_threads(shape.threads)
  {
    std::vector<float> block(static_cast<size_t>(block_size * 2));
#pragma omp for schedule(dynamic, 4)
    for (int64_t item = 0; item < items; ++item) {
      ForwardSlice(MakeSlice(shape, qkv, item), dropout, item / shape.heads, block.data(), block_size, context);
    }
  }
}

void AttentionBackward(const AttentionShape& shape, const AttentionDropout& dropout, const float* qkv,
                       const float* grad_context, float* grad_qkv) {
  const int64_t items = shape.texts() * shape.heads, block_size = BlockSize(shape);
#pragma omp parallel num_threads(shape.threads)
  {
    std::vector<float> block(static_cast<size_t>(block_size * 4));
#pragma omp for schedule(dynamic, 4)
    for (int64_t item = 0; item < items; ++item) {
      BackwardSlice(MakeSlice(shape, qkv, item), dropout, item / shape.heads, block.data(), block_size, grad_context,
                    grad_qkv);
    }
  }
}

}  // namespace tandem
