#pragma once
// Self-attention over texts that lie end to end, without padding: text i is the rows offsets[i] .. offsets[i + 1). A
// row of `qkv` is [query | key | value]: `heads * head_size` floats of queries, then `key_value_heads * head_size` of
// keys and as many of values; a row of the context is [heads, head_size]. Forward keeps nothing: backward computes the
// probabilities again, in memory of threads x kQueryBlock x the longest text, or the width of the window if that is
// less. The products are single-threaded BLAS calls per text and head; texts and heads are spread over the threads, and
// no result depends on how.

#include <cstdint>
#include <span>

#include "server/encoder/dropout.h"
#include "server/encoder/transformer_config.h"

namespace tandem {

struct AttentionShape {
  std::span<const int64_t> offsets;  // texts + 1.
  int64_t heads = 0;
  int64_t key_value_heads = 0;  // Divides heads; each serves heads / key_value_heads query heads in a row.
  int64_t head_size = 0;
  // A query sees the keys from `before` tokens before it to `after` tokens after it: after = 0 is causal attention,
  // before = after a local window around each token.
  int64_t before = kUnlimited, after = kUnlimited;
  int threads = 1;

  int64_t texts() const { return static_cast<int64_t>(offsets.size()) - 1; }
  int64_t context_size() const { return heads * head_size; }
  int64_t qkv_size() const { return (heads + 2 * key_value_heads) * head_size; }
};

// What is added to the score of a query and a key that lies `distance` tokens after it: values[head * (2 * span - 1) +
// distance + span - 1], with span at least the length of the longest text. Null values: nothing.
template <typename Float>
struct DistanceBias {
  Float* values = nullptr;
  int64_t span = 0;
  int64_t row() const { return 2 * span - 1; }
};

// Of the probabilities; keys has one entry a text, or none for no dropout.
struct AttentionDropout {
  std::span<const DropoutKey> keys;
  double rate = 0;
  bool on() const { return !keys.empty() && rate > 0; }
};

// context [rows, context_size] from qkv [rows, qkv_size], both row-major and whole.
void AttentionForward(const AttentionShape& shape, const DistanceBias<const float>& bias,
                      const AttentionDropout& dropout, const float* qkv, float* context);

// Writes every element of grad_qkv [rows, qkv_size]; adds to grad_bias, which has the span of bias or no values.
void AttentionBackward(const AttentionShape& shape, const DistanceBias<const float>& bias,
                       const AttentionDropout& dropout, const float* qkv, const float* grad_context, float* grad_qkv,
                       const DistanceBias<float>& grad_bias);

}  // namespace tandem
