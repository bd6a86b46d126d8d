#pragma once
// Dropout masks from a counter: whether a value is kept depends on (seed, step, example key of its text, layer, place,
// index of the element in that text) and on nothing else, so that gradient caching in any chunks, any order of a batch
// and a resumed run see the same masks. The hash must not change between releases: checkpoints of running jobs rely on
// it.

#include <cstdint>
#include <span>

namespace tandem {

// Values enter the hash: do not change.
enum class DropoutPlace : uint32_t {
  kEmbeddings = 1,              // Elements [token][hidden].
  kAttentionProbabilities = 2,  // Elements [head][query][key].
  kAttentionOutput = 3,         // Elements [token][hidden].
  kFeedForward = 4,             // Elements [token][hidden].
  kFeedForwardInner = 5,        // Elements [token][intermediate].
  kAdapterInput = 16,           // Elements [token][input]; 16 + the number of the linear map in the model.
};

struct DropoutKey {
  uint32_t low = 0, high = 0;
};

// `layer` is 0 for the embeddings.
DropoutKey MakeDropoutKey(uint64_t seed, int64_t step, uint64_t example, int64_t layer, DropoutPlace place);

// mask[i] = 0 with probability `rate`, else 1 / (1 - rate), for the elements first, first + 1, ... modulo 2^32.
// REQUIRES: 0 <= rate < 1.
void FillDropoutMask(DropoutKey key, uint32_t first, double rate, std::span<float> mask);

}  // namespace tandem
