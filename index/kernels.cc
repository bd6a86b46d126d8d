#include "index/kernels.h"

#include <bit>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#define TANDEM_X86 1
// g++ 12's own header warns of itself (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace tandem {
namespace {

template <typename Term>
float SumOfTerms(const float* a, const float* b, size_t dimensions, Term term) {
  float sums[4] = {};
  size_t i = 0;
  for (; i + 4 <= dimensions; i += 4) {
    for (size_t lane = 0; lane < 4; ++lane) sums[lane] += term(a[i + lane], b[i + lane]);
  }
  for (; i < dimensions; ++i) sums[0] += term(a[i], b[i]);
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

float PlainInnerProduct(const float* a, const float* b, size_t dimensions) {
  return SumOfTerms(a, b, dimensions, [](float x, float y) { return x * y; });
}

float PlainSquaredDistance(const float* a, const float* b, size_t dimensions) {
  return SumOfTerms(a, b, dimensions, [](float x, float y) { return (x - y) * (x - y); });
}

int32_t PlainInnerProductInt8(const int8_t* a, const int8_t* b, size_t size) {
  int32_t sum = 0;
  for (size_t i = 0; i < size; ++i) sum += int32_t{a[i]} * b[i];
  return sum;
}

// Eight bytes at a time; inlined into functions for CPUs that count bits in one instruction.
inline __attribute__((always_inline)) int32_t CountDifferentBits(const uint8_t* a, const uint8_t* b, size_t size) {
  int32_t count = 0;
  size_t i = 0;
  for (; i + 8 <= size; i += 8) {
    uint64_t x, y;
    std::memcpy(&x, a + i, 8);
    std::memcpy(&y, b + i, 8);
    count += std::popcount(x ^ y);
  }
  for (; i < size; ++i) count += std::popcount(static_cast<uint8_t>(a[i] ^ b[i]));
  return count;
}

inline __attribute__((always_inline)) void CountAllDifferentBits(const uint8_t* query, const uint8_t* codes,
                                                                 size_t size, size_t count, int32_t* distances) {
  for (size_t i = 0; i < count; ++i) distances[i] = CountDifferentBits(query, codes + i * size, size);
}

void PlainHammingDistances(const uint8_t* query, const uint8_t* codes, size_t size, size_t count, int32_t* distances) {
  CountAllDifferentBits(query, codes, size, count, distances);
}

int64_t PlainWeightedSum(const uint8_t* codes, const int8_t* high, const int8_t* low, size_t size) {
  int64_t sum = 0;
  for (size_t i = 0; i < size; ++i) sum += int64_t{codes[i]} * (128 * high[i] + low[i]);
  return sum;
}

#if TANDEM_X86

__attribute__((target("popcnt"))) void PopcntHammingDistances(const uint8_t* query, const uint8_t* codes, size_t size,
                                                              size_t count, int32_t* distances) {
  CountAllDifferentBits(query, codes, size, count, distances);
}

__attribute__((target("avx512f,avx512bw,avx512vpopcntdq"))) void Avx512HammingDistances(const uint8_t* query,
                                                                                        const uint8_t* codes,
                                                                                        size_t size, size_t count,
                                                                                        int32_t* distances) {
  for (size_t i = 0; i < count; ++i, codes += size) {
    __m512i bits = _mm512_setzero_si512();
    for (size_t at = 0; at < size; at += 64) {
      const __mmask64 mask = size - at >= 64 ? ~__mmask64{0} : (__mmask64{1} << (size - at)) - 1;
      const __m512i x = _mm512_maskz_loadu_epi8(mask, query + at), y = _mm512_maskz_loadu_epi8(mask, codes + at);
      bits = _mm512_add_epi64(bits, _mm512_popcnt_epi64(_mm512_xor_si512(x, y)));
    }
    distances[i] = static_cast<int32_t>(_mm512_reduce_add_epi64(bits));
  }
}

// What the two float kernels have in common: four sums of 16 lanes, 64 floats a step, and a masked rest.
#define TANDEM_AVX512_SUM(ADD)                                                                \
  __m512 sum0 = _mm512_setzero_ps(), sum1 = sum0, sum2 = sum0, sum3 = sum0;                   \
  size_t i = 0;                                                                               \
  for (; i + 64 <= dimensions; i += 64) {                                                     \
    sum0 = ADD(sum0, _mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i));                         \
    sum1 = ADD(sum1, _mm512_loadu_ps(a + i + 16), _mm512_loadu_ps(b + i + 16));               \
    sum2 = ADD(sum2, _mm512_loadu_ps(a + i + 32), _mm512_loadu_ps(b + i + 32));               \
    sum3 = ADD(sum3, _mm512_loadu_ps(a + i + 48), _mm512_loadu_ps(b + i + 48));               \
  }                                                                                           \
  for (; i + 16 <= dimensions; i += 16) {                                                     \
    sum0 = ADD(sum0, _mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i));                         \
  }                                                                                           \
  if (i < dimensions) {                                                                       \
    const __mmask16 rest = static_cast<__mmask16>((1u << (dimensions - i)) - 1);              \
    sum1 = ADD(sum1, _mm512_maskz_loadu_ps(rest, a + i), _mm512_maskz_loadu_ps(rest, b + i)); \
  }                                                                                           \
  return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(sum0, sum1), _mm512_add_ps(sum2, sum3)))

#define TANDEM_AVX512_FMA(sum, x, y) _mm512_fmadd_ps(x, y, sum)
#define TANDEM_AVX512_SQUARE(sum, x, y) _mm512_fmadd_ps(_mm512_sub_ps(x, y), _mm512_sub_ps(x, y), sum)

__attribute__((target("avx512f"))) float Avx512InnerProduct(const float* a, const float* b, size_t dimensions) {
  TANDEM_AVX512_SUM(TANDEM_AVX512_FMA);
}

__attribute__((target("avx512f"))) float Avx512SquaredDistance(const float* a, const float* b, size_t dimensions) {
  TANDEM_AVX512_SUM(TANDEM_AVX512_SQUARE);
}

// VNNI multiplies unsigned by signed bytes: a is moved up by 128, and 128 times b's sum is taken off again.
__attribute__((target("avx512f,avx512bw,avx512vnni"))) int32_t Avx512InnerProductInt8(const int8_t* a, const int8_t* b,
                                                                                      size_t size) {
  const __m512i offset = _mm512_set1_epi8(static_cast<char>(0x80));
  __m512i moved = _mm512_setzero_si512(), off = _mm512_setzero_si512();
  for (size_t i = 0; i < size; i += 64) {
    const __m512i y = _mm512_loadu_si512(b + i);
    moved = _mm512_dpbusd_epi32(moved, _mm512_xor_si512(_mm512_loadu_si512(a + i), offset), y);
    off = _mm512_dpbusd_epi32(off, offset, y);
  }
  return _mm512_reduce_add_epi32(_mm512_sub_epi32(moved, off));
}

__attribute__((target("avx512f,avx512bw,avx512vnni"))) int64_t Avx512WeightedSum(const uint8_t* codes,
                                                                                 const int8_t* high, const int8_t* low,
                                                                                 size_t size) {
  __m512i high_sum = _mm512_setzero_si512(), low_sum = high_sum;
  for (size_t i = 0; i < size; i += 64) {
    const __mmask64 mask = size - i >= 64 ? ~__mmask64{0} : (__mmask64{1} << (size - i)) - 1;
    const __m512i code = _mm512_maskz_loadu_epi8(mask, codes + i);
    high_sum = _mm512_dpbusd_epi32(high_sum, code, _mm512_loadu_si512(high + i));
    low_sum = _mm512_dpbusd_epi32(low_sum, code, _mm512_loadu_si512(low + i));
  }
  return 128 * int64_t{_mm512_reduce_add_epi32(high_sum)} + _mm512_reduce_add_epi32(low_sum);
}

__attribute__((target("avx2"))) inline float HorizontalSum(__m256 lanes) {
  const __m128 half = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1));
  const __m128 quarter = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(quarter, _mm_shuffle_ps(quarter, quarter, 1)));
}

#define TANDEM_AVX2_SUM(ADD, TAIL)                                                            \
  __m256 sum0 = _mm256_setzero_ps(), sum1 = sum0, sum2 = sum0, sum3 = sum0;                   \
  size_t i = 0;                                                                               \
  for (; i + 32 <= dimensions; i += 32) {                                                     \
    sum0 = ADD(sum0, _mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i));                         \
    sum1 = ADD(sum1, _mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8));                 \
    sum2 = ADD(sum2, _mm256_loadu_ps(a + i + 16), _mm256_loadu_ps(b + i + 16));               \
    sum3 = ADD(sum3, _mm256_loadu_ps(a + i + 24), _mm256_loadu_ps(b + i + 24));               \
  }                                                                                           \
  return HorizontalSum(_mm256_add_ps(_mm256_add_ps(sum0, sum1), _mm256_add_ps(sum2, sum3))) + \
         TAIL(a + i, b + i, dimensions - i)

#define TANDEM_AVX2_FMA(sum, x, y) _mm256_fmadd_ps(x, y, sum)
#define TANDEM_AVX2_SQUARE(sum, x, y) _mm256_fmadd_ps(_mm256_sub_ps(x, y), _mm256_sub_ps(x, y), sum)

__attribute__((target("avx2,fma"))) float Avx2InnerProduct(const float* a, const float* b, size_t dimensions) {
  TANDEM_AVX2_SUM(TANDEM_AVX2_FMA, PlainInnerProduct);
}

__attribute__((target("avx2,fma"))) float Avx2SquaredDistance(const float* a, const float* b, size_t dimensions) {
  TANDEM_AVX2_SUM(TANDEM_AVX2_SQUARE, PlainSquaredDistance);
}

__attribute__((target("avx2"))) inline int32_t HorizontalSum(__m256i lanes) {
  __m128i half = _mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
  half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1)));
}

__attribute__((target("avx2"))) int32_t Avx2InnerProductInt8(const int8_t* a, const int8_t* b, size_t size) {
  __m256i sum = _mm256_setzero_si256();
  for (size_t i = 0; i < size; i += 16) {
    const __m256i x = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a + i)));
    const __m256i y = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(b + i)));
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(x, y));
  }
  return HorizontalSum(sum);
}

__attribute__((target("avx2"))) int64_t Avx2WeightedSum(const uint8_t* codes, const int8_t* high, const int8_t* low,
                                                        size_t size) {
  __m256i high_sum = _mm256_setzero_si256(), low_sum = high_sum;
  size_t i = 0;
  for (; i + 16 <= size; i += 16) {
    const __m256i code = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + i)));
    const __m256i x = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(high + i)));
    const __m256i y = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(low + i)));
    high_sum = _mm256_add_epi32(high_sum, _mm256_madd_epi16(code, x));
    low_sum = _mm256_add_epi32(low_sum, _mm256_madd_epi16(code, y));
  }
  return 128 * int64_t{HorizontalSum(high_sum)} + HorizontalSum(low_sum) +
         PlainWeightedSum(codes + i, high + i, low + i, size - i);
}

#endif  // TANDEM_X86

struct Kernels {
  float (*inner_product)(const float*, const float*, size_t) = PlainInnerProduct;
  float (*squared_distance)(const float*, const float*, size_t) = PlainSquaredDistance;
  int32_t (*inner_product_int8)(const int8_t*, const int8_t*, size_t) = PlainInnerProductInt8;
  int64_t (*weighted_sum)(const uint8_t*, const int8_t*, const int8_t*, size_t) = PlainWeightedSum;
  void (*hamming_distances)(const uint8_t*, const uint8_t*, size_t, size_t, int32_t*) = PlainHammingDistances;
};

Kernels ForThisCpu() {
  Kernels kernels;
#if TANDEM_X86
  __builtin_cpu_init();
  if (__builtin_cpu_supports("popcnt")) kernels.hamming_distances = PopcntHammingDistances;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    kernels.inner_product = Avx2InnerProduct;
    kernels.squared_distance = Avx2SquaredDistance;
    kernels.inner_product_int8 = Avx2InnerProductInt8;
    kernels.weighted_sum = Avx2WeightedSum;
  }
  if (__builtin_cpu_supports("avx512f")) {
    kernels.inner_product = Avx512InnerProduct;
    kernels.squared_distance = Avx512SquaredDistance;
  }
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni")) {
    kernels.inner_product_int8 = Avx512InnerProductInt8;
    kernels.weighted_sum = Avx512WeightedSum;
  }
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vpopcntdq")) {
    kernels.hamming_distances = Avx512HammingDistances;
  }
#endif
  return kernels;
}

const Kernels kKernels = ForThisCpu();

}  // namespace

float InnerProduct(const float* a, const float* b, size_t dimensions) {
  return kKernels.inner_product(a, b, dimensions);
}

float SquaredDistance(const float* a, const float* b, size_t dimensions) {
  return kKernels.squared_distance(a, b, dimensions);
}

int32_t InnerProductInt8(const int8_t* a, const int8_t* b, size_t size) {
  return kKernels.inner_product_int8(a, b, size);
}

int64_t WeightedSum(const uint8_t* codes, const int8_t* high, const int8_t* low, size_t size) {
  return kKernels.weighted_sum(codes, high, low, size);
}

void HammingDistances(const uint8_t* query, const uint8_t* codes, size_t size, size_t count, int32_t* distances) {
  kKernels.hamming_distances(query, codes, size, count, distances);
}

}  // namespace tandem
