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

// Of two vectors of `dimensions` floats, anywhere in memory.
float InnerProduct(const float* a, const float* b, size_t dimensions);
float SquaredDistance(const float* a, const float* b, size_t dimensions);

// Of two rows of `size` small integers. REQUIRES: `size` is a multiple of 64, at most 65536; values in [-127, 127].
int32_t InnerProductInt8(const int8_t* a, const int8_t* b, size_t size);

// Bits that differ in `size` bytes.
int32_t HammingDistance(const uint8_t* a, const uint8_t* b, size_t size);

}  // namespace tandem
