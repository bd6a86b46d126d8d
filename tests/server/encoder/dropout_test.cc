#include "server/encoder/dropout.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

namespace tandem {
namespace {

std::vector<float> Mask(DropoutKey key, uint32_t first, double rate, size_t size) {
  std::vector<float> mask(size);
  FillDropoutMask(key, first, rate, mask);
  return mask;
}

DropoutKey Key(uint64_t example) { return MakeDropoutKey(1, 2, example, 3, DropoutPlace::kFeedForward); }

// Five standard deviations of a binomial count.
TEST(DropoutTest, DropsAtItsRate) {
  constexpr size_t kSize = 1'000'000;
  for (const double rate : {0.0, 0.1, 0.5, 0.9}) {
    size_t dropped = 0;
    for (const float value : Mask(Key(4), 0, rate, kSize)) {
      if (value == 0)
        ++dropped;
      else
        EXPECT_FLOAT_EQ(value, static_cast<float>(1 / (1 - rate)));
    }
    EXPECT_NEAR(static_cast<double>(dropped), rate * kSize, 5 * std::sqrt(kSize * rate * (1 - rate))) << rate;
  }
}

// What one example drops says nothing about what its neighbour drops, at the same element or the next one.
TEST(DropoutTest, MasksOfNeighboursAreIndependent) {
  constexpr size_t kSize = 200'000;
  const std::vector<float> a = Mask(Key(4), 0, 0.5, kSize + 1), b = Mask(Key(5), 0, 0.5, kSize + 1);
  size_t same = 0, next = 0;
  for (size_t i = 0; i < kSize; ++i) {
    same += (a[i] == 0) == (b[i] == 0);
    next += (a[i] == 0) == (a[i + 1] == 0);
  }
  const double bound = 5 * std::sqrt(kSize * 0.25);
  EXPECT_NEAR(static_cast<double>(same), kSize / 2.0, bound);
  EXPECT_NEAR(static_cast<double>(next), kSize / 2.0, bound);
}

TEST(DropoutTest, AnyPartOfAMaskIsTheSameAsInTheWhole) {
  const std::vector<float> whole = Mask(Key(4), 0, 0.3, 1000);
  for (const size_t first : {0u, 1u, 17u, 640u}) {
    const std::vector<float> part = Mask(Key(4), static_cast<uint32_t>(first), 0.3, 300);
    EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + static_cast<std::ptrdiff_t>(first))) << first;
  }
}

TEST(DropoutTest, EveryPartOfTheKeyMatters) {
  const DropoutKey keys[] = {
      MakeDropoutKey(1, 2, 3, 4, DropoutPlace::kEmbeddings), MakeDropoutKey(9, 2, 3, 4, DropoutPlace::kEmbeddings),
      MakeDropoutKey(1, 9, 3, 4, DropoutPlace::kEmbeddings), MakeDropoutKey(1, 2, 9, 4, DropoutPlace::kEmbeddings),
      MakeDropoutKey(1, 2, 3, 9, DropoutPlace::kEmbeddings), MakeDropoutKey(1, 2, 3, 4, DropoutPlace::kFeedForward)};
  for (size_t i = 0; i < std::size(keys); ++i) {
    for (size_t j = 0; j < i; ++j) EXPECT_NE(Mask(keys[i], 0, 0.5, 256), Mask(keys[j], 0, 0.5, 256)) << i << " " << j;
  }
}

// A resumed run must see the masks that it saw before, whatever binary wrote its checkpoint.
TEST(DropoutTest, TheHashStaysAsItIs) {
  std::string bits;
  for (const float value : Mask(Key(4), 0, 0.5, 64)) bits += value == 0 ? '0' : '1';
  EXPECT_EQ(bits, "0000110100111111101111110000010011001000000000011110001101000011");
}

}  // namespace
}  // namespace tandem
