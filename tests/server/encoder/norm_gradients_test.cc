#include "server/encoder/norm_gradients.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

namespace tandem {
namespace {

// Gradients of two kinds of rows that cancel but for the last one.
TEST(NormGradientsTest, SumsThatCancelKeepWhatIsLeft) {
  constexpr int64_t kRows = 20'001, kSize = 70;
  std::vector<float> gradient(kRows * kSize), input(kRows * kSize), mean(kRows), rstd(kRows);
  for (int64_t i = 0; i < kRows; ++i) {
    const bool last = i + 1 == kRows;
    const int64_t kind = i / 2;
    mean[i] = 0.1f * static_cast<float>(kind % 7);
    rstd[i] = 1.0f + 0.01f * static_cast<float>(kind % 5);
    for (int64_t j = 0; j < kSize; ++j) {
      const float size = last ? 1e-4f : 0.3f + 0.001f * static_cast<float>(kind % 1000 + j);
      gradient[i * kSize + j] = i % 2 == 0 ? size : -size;
      input[i * kSize + j] = static_cast<float>(j + kind % 11);
    }
  }
  const NormRows rows{kRows, kSize, gradient.data(), input.data(), mean.data(), rstd.data()};
  std::vector<float> weight(kSize), bias(kSize), weight_of_two(kSize), bias_of_two(kSize);
  NormGradients(rows, 1, weight.data(), bias.data());
  NormGradients(rows, 2, weight_of_two.data(), bias_of_two.data());
  EXPECT_EQ(weight, weight_of_two);
  EXPECT_EQ(bias, bias_of_two);
  for (int64_t j = 0; j < kSize; ++j) {
    const float normed = (input[(kRows - 1) * kSize + j] - mean[kRows - 1]) * rstd[kRows - 1];
    EXPECT_NEAR(bias[j], 1e-4, 1e-10) << j;
    EXPECT_NEAR(weight[j], 1e-4 * normed, 1e-10 + 1e-7 * std::abs(normed)) << j;
  }
}

}  // namespace
}  // namespace tandem
