#pragma once
// The loops that searching and building spend their time in, for the widest registers that the CPU has: AVX-512 (with
// VNNI for the small integers), AVX2 with FMA, or plain C++. A result depends on the CPU and on the two operands only.
// Thread-safe, without state.
//
// FAISS 1.12 compiled by g++ sums an inner product in one register, so that each addition waits for the one before:
// 384 floats that are in the cache take 3 times as long as with the four sums kept here.

#include <cstddef>
#include <cstdint>

namespace tandem {

// How far ahead of a scan of a mapped file memory is asked for: the CPU's own prefetching ends at each page of 4 KiB,
// and a scan of 100,000 rows of 384 byte codes took 4 times as long without.
inline constexpr size_t kPrefetchBytes = 4096;

// Asks for `size` bytes that will be read soon; they need not be there.
inline void Prefetch(const void* bytes, size_t size) {
  for (size_t at = 0; at < size; at += 64) __builtin_prefetch(static_cast<const char*>(bytes) + at);
}

// Of two vectors of `dimensions` floats, anywhere in memory.
float InnerProduct(const float* a, const float* b, size_t dimensions);
float SquaredDistance(const float* a, const float* b, size_t dimensions);

// Of two rows of `size` small integers. REQUIRES: `size` is a multiple of 64, at most 65536; values in [-127, 127].
int32_t InnerProductInt8(const int8_t* a, const int8_t* b, size_t size);

// Sum of codes[i] * (128 * high[i] + low[i]). REQUIRES: `size` at most 65536; `high` and `low` have zeros up to the
// next multiple of 64, `codes` ends at `size`.
int64_t WeightedSum(const uint8_t* codes, const int8_t* high, const int8_t* low, size_t size);

// Bits of `query` that differ from each of `count` codes of `size` bytes that lie one behind the other.
void HammingDistances(const uint8_t* query, const uint8_t* codes, size_t size, size_t count, int32_t* distances);

}  // namespace tandem
