#pragma once
// Self-attention over texts that lie end to end, without padding: text i is the rows offsets[i] .. offsets[i + 1). A
// row of `qkv` is [query | key | value], each `heads * head_size` floats; a row of the context is [heads, head_size].
// Forward keeps nothing: backward computes the probabilities again, in memory of threads x kQueryBlock x the longest
// text. The products are single-threaded BLAS calls per text and head; texts and heads are spread over the threads.

#include <cstdint>
#include <span>

#include "server/encoder/dropout.h"

namespace tandem {

struct AttentionShape {
  std::span<const int64_t> offsets;  // texts + 1.
  int64_t heads = 0;
  int64_t head_size = 0;
  int threads = 1;

  int64_t texts() const { return static_cast<int64_t>(offsets.size()) - 1; }
  int64_t hidden() const { return heads * head_size; }
};

// Of the probabilities; keys has one entry a text, or none for no dropout.
struct AttentionDropout {
  std::span<const DropoutKey> keys;
  double rate = 0;
  bool on() const { return !keys.empty() && rate > 0; }
};

// context [rows, hidden] from qkv [rows, 3 * hidden], both row-major and whole.
void AttentionForward(const AttentionShape& shape, const AttentionDropout& dropout, const float* qkv, float* context);

// Writes every element of grad_qkv [rows, 3 * hidden].
void AttentionBackward(const AttentionShape& shape, const AttentionDropout& dropout, const float* qkv,
                       const float* grad_context, float* grad_qkv);

}  // namespace tandem
