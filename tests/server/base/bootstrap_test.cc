#include "server/base/bootstrap.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "tests/server/base/metrics_golden.h"

namespace tandem {
namespace {

constexpr double kTolerance = 1e-12;

// Two percentile bootstraps with generators of their own differ by what 10,000 resamples leave of chance: an end's
// standard error is about a fiftieth of the interval.
TEST(BootstrapTest, IntervalsAreThoseOfScipy) {
  const nlohmann::json golden = test::MetricsGolden("bootstrap");
  const auto x = golden["x"].get<std::vector<double>>(), y = golden["y"].get<std::vector<double>>();
  const BootstrapOptions options = {.confidence = golden["confidence"]};
  const auto check = [](const Interval& interval, const nlohmann::json& expected) {
    const double lower = expected[0], upper = expected[1], tolerance = (upper - lower) / 20;
    EXPECT_NEAR(interval.lower, lower, tolerance);
    EXPECT_NEAR(interval.upper, upper, tolerance);
    EXPECT_LT(interval.lower, interval.value);
    EXPECT_GT(interval.upper, interval.value);
  };
  check(BootstrapMean(x, options), golden["mean"]);
  check(BootstrapSpearman(x, y, options), golden["spearman"]);
}

TEST(BootstrapTest, MoreConfidenceIsAWiderInterval) {
  std::vector<double> values;
  for (int i = 0; i < 50; ++i) values.push_back(std::sin(i));
  const Interval narrow = BootstrapMean(values, {.confidence = 0.5}),
                 wide = BootstrapMean(values, {.confidence = 0.99});
  EXPECT_LT(wide.lower, narrow.lower);
  EXPECT_GT(wide.upper, narrow.upper);
  EXPECT_EQ(wide.value, narrow.value);
}

TEST(BootstrapTest, SeedsRepeat) {
  const std::vector<double> x = {1, 2, 3, 4, 5, 6}, y = {2, 1, 4, 3, 6, 5};
  const BootstrapOptions options = {.resamples = 200, .seed = 9};
  EXPECT_EQ(BootstrapSpearman(x, y, options).lower, BootstrapSpearman(x, y, options).lower);
  EXPECT_NE(BootstrapMean(x, options).lower, BootstrapMean(x, {.resamples = 200, .seed = 10}).lower);
}

TEST(PairedBootstrapTest, EqualSystemsDifferByNothing) {
  const double a[] = {0.1, 0.5, 0.9};
  const PairedDifference difference = PairedBootstrap(a, a);
  EXPECT_EQ(difference.mean, 0);
  EXPECT_EQ(difference.lower, 0);
  EXPECT_EQ(difference.upper, 0);
}

TEST(PairedBootstrapTest, ConstantDifferenceHasNoSpread) {
  const double a[] = {0.75, 0.5, 1}, b[] = {0.5, 0.25, 0.75};
  const PairedDifference difference = PairedBootstrap(a, b);
  EXPECT_NEAR(difference.lower, 0.25, kTolerance);
  EXPECT_NEAR(difference.upper, 0.25, kTolerance);
}

TEST(PairedBootstrapTest, IntervalEqualsTheNormalApproximation) {
  std::vector<double> a(400), b(400, 0.0);
  for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<double>(i % 20) / 20;  // Mean 0.475.
  double variance = 0;
  for (double value : a) variance += (value - 0.475) * (value - 0.475) / a.size();
  const double half_width = 1.96 * std::sqrt(variance / a.size());
  const PairedDifference difference = PairedBootstrap(a, b);
  EXPECT_NEAR(difference.mean, 0.475, 1e-9);
  EXPECT_NEAR(difference.lower, 0.475 - half_width, 0.003);
  EXPECT_NEAR(difference.upper, 0.475 + half_width, 0.003);
}

TEST(PairedBootstrapTest, SwappingSystemsMirrorsAndSeedsRepeat) {
  std::vector<double> a(50), b(50);
  for (size_t i = 0; i < a.size(); ++i) {
    a[i] = std::sin(i) * 0.5 + 0.5;
    b[i] = std::cos(3.0 * i) * 0.5 + 0.5;
  }
  const PairedDifference one = PairedBootstrap(a, b, 2000, 7), again = PairedBootstrap(a, b, 2000, 7);
  EXPECT_EQ(one.lower, again.lower);
  EXPECT_EQ(one.upper, again.upper);
  EXPECT_LE(one.lower, one.mean);
  EXPECT_GE(one.upper, one.mean);
  const PairedDifference swapped = PairedBootstrap(b, a, 2000, 7);
  EXPECT_NEAR(swapped.lower, -one.upper, 1e-12);
  EXPECT_NEAR(swapped.upper, -one.lower, 1e-12);
  EXPECT_NE(PairedBootstrap(a, b, 2000, 8).lower, one.lower);
}

}  // namespace
}  // namespace tandem
