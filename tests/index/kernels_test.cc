#include "index/kernels.h"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace tandem {
namespace {

// At every length and offset: the tails are where such loops go wrong.
TEST(KernelsTest, FloatsEqualSumsInDouble) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> a(1100), b(1100);
  for (float& value : a) value = normal(random);
  for (float& value : b) value = normal(random);
  for (size_t size = 1; size <= 1024; size += size < 200 ? 1 : 37) {
    const size_t from = size % 5;
    double product = 0, distance = 0, magnitude = 0;
    for (size_t i = 0; i < size; ++i) {
      const double x = a[from + i], y = b[from + i];
      product += x * y;
      magnitude += std::abs(x * y);
      distance += (x - y) * (x - y);
    }
    EXPECT_NEAR(InnerProduct(&a[from], &b[from], size), product, 1e-6 * magnitude) << size;
    EXPECT_NEAR(SquaredDistance(&a[from], &b[from], size), distance, 1e-6 * distance) << size;
  }
}

TEST(KernelsTest, NothingBehindTheEndIsRead) {
  std::vector<float> a(64, std::numeric_limits<float>::quiet_NaN());
  for (size_t size = 1; size < 60; ++size) {
    std::fill_n(a.begin(), size, 1.0f);
    EXPECT_EQ(InnerProduct(a.data(), a.data(), size), size);
    EXPECT_EQ(SquaredDistance(a.data(), a.data(), size), 0);
  }
}

TEST(KernelsTest, SmallIntegersAreExactUpToTheLargestRow) {
  std::mt19937 random(2);
  std::uniform_int_distribution<> any(-127, 127);
  for (const size_t size : {64, 128, 384, 1024, 65536}) {
    std::vector<int8_t> a(size), b(size);
    for (int8_t& value : a) value = static_cast<int8_t>(any(random));
    for (int8_t& value : b) value = static_cast<int8_t>(any(random));
    int64_t sum = 0;
    for (size_t i = 0; i < size; ++i) sum += int{a[i]} * b[i];
    EXPECT_EQ(InnerProductInt8(a.data(), b.data(), size), sum);
    for (const int value : {127, -127}) {
      std::fill(a.begin(), a.end(), static_cast<int8_t>(127));
      std::fill(b.begin(), b.end(), static_cast<int8_t>(value));
      EXPECT_EQ(InnerProductInt8(a.data(), b.data(), size), 127 * value * static_cast<int64_t>(size));
    }
  }
}

TEST(KernelsTest, DifferentBitsAreCountedInAnyNumberOfBytes) {
  std::mt19937 random(3);
  std::vector<uint8_t> a(300), b(300);
  for (uint8_t& value : a) value = static_cast<uint8_t>(random());
  for (uint8_t& value : b) value = static_cast<uint8_t>(random());
  for (size_t size = 1; size < 140; ++size) {
    std::vector<int32_t> expected(2), found(2);
    for (size_t code = 0; code < 2; ++code) {
      for (size_t i = 0; i < 8 * size; ++i) {
        expected[code] += (a[3 + i / 8] >> i % 8 & 1) != (b[1 + code * size + i / 8] >> i % 8 & 1);
      }
    }
    HammingDistances(&a[3], &b[1], size, 2, found.data());
    EXPECT_EQ(found, expected) << size;
  }
}

TEST(KernelsTest, WeightedSumsAreExactAtEveryLength) {
  std::mt19937 random(4);
  for (size_t size = 1; size <= 65536; size = size < 300 ? size + 1 : 4 * size + 3) {
    std::vector<uint8_t> codes(size);
    std::vector<int8_t> high((size + 63) / 64 * 64), low(high.size());
    int64_t sum = 0;
    for (size_t i = 0; i < size; ++i) {
      codes[i] = size % 2 == 0 ? 255 : static_cast<uint8_t>(random());
      high[i] = size % 2 == 0 ? 127 : static_cast<int8_t>(static_cast<int>(random() % 255) - 127);
      low[i] = static_cast<int8_t>(static_cast<int>(random() % 129) - 64);
      sum += int64_t{codes[i]} * (128 * high[i] + low[i]);
    }
    EXPECT_EQ(WeightedSum(codes.data(), high.data(), low.data(), size), sum) << size;
  }
}

}  // namespace
}  // namespace tandem
