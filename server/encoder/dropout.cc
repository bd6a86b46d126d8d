#include "server/encoder/dropout.h"

#include <cmath>

#include "server/encoder/vector_clones.h"

namespace tandem {
namespace {

// SplitMix64's finalizer (Steele, Lea and Flood 2014).
uint64_t Mix(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9u;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

uint64_t Absorb(uint64_t state, uint64_t value) { return Mix(state + 0x9e3779b97f4a7c15u + Mix(value)); }

// The "lowbias32" mixer (Wellons 2018): 32-bit multiplications only, which every vector unit has.
inline uint32_t Mix32(uint32_t x) {
  x ^= x >> 16;
  x *= 0x7feb352du;
  x ^= x >> 15;
  x *= 0x846ca68bu;
  return x ^ (x >> 16);
}

}  // namespace

DropoutKey MakeDropoutKey(uint64_t seed, int64_t step, uint64_t example, int64_t layer, DropoutPlace place) {
  uint64_t state = Absorb(0, seed);
  state = Absorb(state, static_cast<uint64_t>(step));
  state = Absorb(state, example);
  state = Absorb(state, static_cast<uint64_t>(layer) << 32 | static_cast<uint32_t>(place));
  return {static_cast<uint32_t>(state), static_cast<uint32_t>(state >> 32)};
}

TANDEM_VECTOR_CLONES
void FillDropoutMask(DropoutKey key, uint32_t first, double rate, std::span<float> mask) {
  // Dropped when bits < rate * 2^32; the rate is below 1, so the limit fits.
  const uint32_t limit = static_cast<uint32_t>(std::ldexp(rate, 32));
  const float scale = static_cast<float>(1 / (1 - rate));
  float* const values = mask.data();
  const uint32_t size = static_cast<uint32_t>(mask.size());
  for (uint32_t i = 0; i < size; ++i) {
    const uint32_t bits = Mix32(Mix32((first + i) ^ key.low) + key.high);
    values[i] = bits < limit ? 0.0f : scale;
  }
}

}  // namespace tandem
