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

// scores[size] becomes its softmax.
TANDEM_VECTOR_CLONES
void Softmax(float* s, int64_t size) {
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

TANDEM_VECTOR_CLONES
void AddElements(const float* in, int64_t size, float* out) {
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) out[i] += in[i];
}

TANDEM_VECTOR_CLONES
void MultiplyElements(const float* factors, int64_t size, const float* in, float* out) {
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) out[i] = in[i] * factors[i];
}

// Softmax backward, in place: gradient[i][j] = p[i][j] * (gradient[i][j] - sum_k p[i][k] gradient[i][k]).
TANDEM_VECTOR_CLONES
void SoftmaxBackward(const float* probabilities, int64_t rows, int64_t size, float* gradient) {
  for (int64_t row = 0; row < rows; ++row) {
    const float* const p = probabilities + row * size;
    float* const g = gradient + row * size;
    float dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int64_t j = 0; j < size; ++j) dot += p[j] * g[j];
#pragma omp simd
    for (int64_t j = 0; j < size; ++j) g[j] = p[j] * (g[j] - dot);
  }
}

// One text and head: where its rows begin, and the steps from row to row.
struct Slice {
  const AttentionShape* shape;
  DistanceBias<const float> bias;
  int64_t text, head;
  int64_t row_begin, rows;  // Of the text.
  int64_t head_size, qkv_step, context_step;
  int64_t query_offset, key_offset, value_offset;  // In a row of qkv.
  float scale;
  const float* qkv;  // The text's first row.

  const float* query(int64_t row) const { return qkv + row * qkv_step + query_offset; }
  const float* key(int64_t row) const { return qkv + row * qkv_step + key_offset; }
  const float* value(int64_t row) const { return qkv + row * qkv_step + value_offset; }
  // Keys that the queries first .. last see, as [begin, end).
  int64_t keys_begin(int64_t first) const { return std::max<int64_t>(0, first - shape->before); }
  int64_t keys_end(int64_t last) const { return std::min(rows, last + shape->after + 1); }
};

Slice MakeSlice(const AttentionShape& shape, const DistanceBias<const float>& bias, const float* qkv, int64_t text,
                int64_t head) {
  const int64_t key_value_head = head / (shape.heads / shape.key_value_heads);
  const int64_t keys = shape.heads + key_value_head, values = keys + shape.key_value_heads;
  return {.shape = &shape,
          .bias = bias,
          .text = text,
          .head = head,
          .row_begin = shape.offsets[text],
          .rows = shape.offsets[text + 1] - shape.offsets[text],
          .head_size = shape.head_size,
          .qkv_step = shape.qkv_size(),
          .context_step = shape.context_size(),
          .query_offset = head * shape.head_size,
          .key_offset = keys * shape.head_size,
          .value_offset = values * shape.head_size,
          .scale = 1 / std::sqrt(static_cast<float>(shape.head_size)),
          .qkv = qkv + shape.offsets[text] * shape.qkv_size()};
}

// Consecutive queries of a slice and all keys that any of them sees.
struct Block {
  int64_t first, count, keys_begin, keys;
};

Block BlockAt(const Slice& s, int64_t first) {
  const int64_t count = std::min(kQueryBlock, s.rows - first), begin = s.keys_begin(first);
  return {.first = first, .count = count, .keys_begin = begin, .keys = s.keys_end(first + count - 1) - begin};
}

// probabilities[block.count, block.keys]; 0 for keys that a query does not see.
void Probabilities(const Slice& s, const Block& block, float* probabilities) {
  Multiply('T', 'N', block.keys, block.count, s.head_size, s.scale, s.key(block.keys_begin), s.qkv_step,
           s.query(block.first), s.qkv_step, 0, probabilities, block.keys);
  for (int64_t i = 0; i < block.count; ++i) {
    float* const row = probabilities + i * block.keys;
    const int64_t query = block.first + i;
    if (s.bias.values != nullptr) {
      const float* const of_head = s.bias.values + s.head * s.bias.row() + s.bias.span - 1;
      AddElements(of_head + (block.keys_begin - query), block.keys, row);
    }
    const int64_t begin = s.keys_begin(query) - block.keys_begin, end = s.keys_end(query) - block.keys_begin;
    std::fill(row, row + begin, 0.0f);
    Softmax(row + begin, end - begin);
    std::fill(row + end, row + block.keys, 0.0f);
  }
}

// A mask element's number is that of [head][query][key], whatever part of the keys a block has.
void Mask(const Slice& s, const Block& block, const AttentionDropout& dropout, float* mask) {
  const DropoutKey key = dropout.keys[static_cast<size_t>(s.text)];
  const int64_t first = (s.head * s.rows + block.first) * s.rows;
  if (block.keys == s.rows) {
    FillDropoutMask(key, static_cast<uint32_t>(first), dropout.rate, {mask, static_cast<size_t>(block.count * s.rows)});
    return;
  }
  for (int64_t i = 0; i < block.count; ++i) {
    FillDropoutMask(key, static_cast<uint32_t>(first + i * s.rows + block.keys_begin), dropout.rate,
                    {mask + i * block.keys, static_cast<size_t>(block.keys)});
  }
}

// Floats of one block of queries against all keys that they may see, for the longest text.
int64_t BlockSize(const AttentionShape& shape) {
  int64_t longest = 0;
  for (int64_t i = 0; i < shape.texts(); ++i) longest = std::max(longest, shape.offsets[i + 1] - shape.offsets[i]);
  return std::min(longest, kQueryBlock + shape.before + shape.after) * std::min(longest, kQueryBlock);
}

void ForwardSlice(const Slice& s, const AttentionDropout& dropout, float* probabilities, float* mask, float* context) {
  float* const out = context + s.row_begin * s.context_step + s.query_offset;
  for (int64_t first = 0; first < s.rows; first += kQueryBlock) {
    const Block block = BlockAt(s, first);
    Probabilities(s, block, probabilities);
    if (dropout.on()) {
      Mask(s, block, dropout, mask);
      MultiplyElements(mask, block.count * block.keys, probabilities, probabilities);
    }
    Multiply('N', 'N', s.head_size, block.count, block.keys, 1, s.value(block.keys_begin), s.qkv_step, probabilities,
             block.keys, 0, out + first * s.context_step, s.context_step);
  }
}

void AddBiasGradient(const Slice& s, const Block& block, const float* gradient, const DistanceBias<float>& grad_bias) {
  float* const of_head = grad_bias.values + s.head * grad_bias.row() + grad_bias.span - 1;
  for (int64_t i = 0; i < block.count; ++i) {
    AddElements(gradient + i * block.keys, block.keys, of_head + (block.keys_begin - block.first - i));
  }
}

// Adds to the gradients of keys and values, which begin as 0; writes those of queries.
void BackwardSlice(const Slice& s, const AttentionDropout& dropout, float* block_memory, int64_t block_size,
                   const float* grad_context, float* grad_qkv, const DistanceBias<float>& grad_bias) {
  const int64_t d = s.head_size, step = s.qkv_step;
  float* const grad = grad_qkv + s.row_begin * step;
  float *const probabilities = block_memory, *const gradient = block_memory + block_size;
  float *const mask = block_memory + 2 * block_size, *const dropped = block_memory + 3 * block_size;
  for (int64_t first = 0; first < s.rows; first += kQueryBlock) {
    const Block block = BlockAt(s, first);
    const int64_t n = block.keys, count = block.count;
    const float* const out = grad_context + (s.row_begin + first) * s.context_step + s.query_offset;
    float* const grad_keys = grad + block.keys_begin * step;
    Probabilities(s, block, probabilities);
    Multiply('T', 'N', n, count, d, 1, s.value(block.keys_begin), step, out, s.context_step, 0, gradient, n);
    const float* used = probabilities;
    if (dropout.on()) {
      Mask(s, block, dropout, mask);
      MultiplyElements(mask, count * n, probabilities, dropped);
      MultiplyElements(mask, count * n, gradient, gradient);
      used = dropped;
    }
    Multiply('N', 'T', d, n, count, 1, out, s.context_step, used, n, 1, grad_keys + s.value_offset, step);
    SoftmaxBackward(probabilities, count, n, gradient);
    if (grad_bias.values != nullptr) AddBiasGradient(s, block, gradient, grad_bias);
    Multiply('N', 'N', d, count, n, s.scale, s.key(block.keys_begin), step, gradient, n, 0,
             grad + first * step + s.query_offset, step);
    Multiply('N', 'T', d, n, count, s.scale, s.query(first), step, gradient, n, 1, grad_keys + s.key_offset, step);
  }
}

// The keys' and values' part of the rows of one text that belong to one key/value head.
void ClearKeyValue(const Slice& s, float* grad_qkv) {
  for (int64_t row = s.row_begin; row < s.row_begin + s.rows; ++row) {
    for (const int64_t offset : {s.key_offset, s.value_offset}) {
      float* const begin = grad_qkv + row * s.qkv_step + offset;
      std::fill(begin, begin + s.head_size, 0.0f);
    }
  }
}

}  // namespace

void AttentionForward(const AttentionShape& shape, const DistanceBias<const float>& bias,
                      const AttentionDropout& dropout, const float* qkv, float* context) {
  const int64_t items = shape.texts() * shape.heads, block_size = BlockSize(shape);
#pragma omp parallel num_threads(shape.threads)
  {
    std::vector<float> block(static_cast<size_t>(block_size * 2));
#pragma omp for schedule(dynamic, 4)
    for (int64_t item = 0; item < items; ++item) {
      const Slice slice = MakeSlice(shape, bias, qkv, item / shape.heads, item % shape.heads);
      ForwardSlice(slice, dropout, block.data(), block.data() + block_size, context);
    }
  }
}

void AttentionBackward(const AttentionShape& shape, const DistanceBias<const float>& bias,
                       const AttentionDropout& dropout, const float* qkv, const float* grad_context, float* grad_qkv,
                       const DistanceBias<float>& grad_bias) {
  const int64_t texts = shape.texts(), groups = shape.key_value_heads, group = shape.heads / groups;
  const int64_t block_size = BlockSize(shape);
  // The heads of a group add to the same keys and values, so one thread takes them in order; with a bias, it takes a
  // group's texts in order too.
  const bool by_group = grad_bias.values != nullptr;
  const int64_t chunk = by_group ? std::max<int64_t>(texts, 1) : 4;
#pragma omp parallel num_threads(shape.threads)
  {
    std::vector<float> block(static_cast<size_t>(block_size * 4));
#pragma omp for schedule(dynamic, chunk)
    for (int64_t item = 0; item < texts * groups; ++item) {
      const int64_t text = by_group ? item % texts : item / groups,
                    first = (by_group ? item / texts : item % groups) * group;
      ClearKeyValue(MakeSlice(shape, bias, qkv, text, first), grad_qkv);
      for (int64_t head = first; head < first + group; ++head) {
        BackwardSlice(MakeSlice(shape, bias, qkv, text, head), dropout, block.data(), block_size, grad_context,
                      grad_qkv, grad_bias);
      }
    }
  }
}

}  // namespace tandem
