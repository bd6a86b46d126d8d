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

TEST(CompareTest, FiguresAndIntervalsOfTwoSystemsAreThoseOfScipy) {
  const nlohmann::json golden = test::MetricsGolden("compared");
  const auto before = golden["before"].get<std::vector<double>>(), after = golden["after"].get<std::vector<double>>(),
             target = golden["target"].get<std::vector<double>>();
  std::vector<char> similar;
  for (const int label : golden["similar"]) similar.push_back(label ? 1 : 0);
  const auto check_interval = [](const Interval& interval, const nlohmann::json& expected) {
    const double lower = expected[0], upper = expected[1], tolerance = (upper - lower) / 20;
    EXPECT_NEAR(interval.lower, lower, tolerance);
    EXPECT_NEAR(interval.upper, upper, tolerance);
  };
  const auto check = [&](const char* name, const ComparedFigure& figure) {
    SCOPED_TRACE(name);
    const nlohmann::json& expected = golden[name];
    EXPECT_NEAR(figure.before.value, expected["values"][0].get<double>(), kTolerance);
    EXPECT_NEAR(figure.after.value, expected["values"][1].get<double>(), kTolerance);
    EXPECT_EQ(figure.difference.value, figure.after.value - figure.before.value);
    check_interval(figure.before, expected["before"]);
    check_interval(figure.after, expected["after"]);
    check_interval(figure.difference, expected["difference"]);
  };
  check("mean", CompareMeans(before, after));
  check("spearman", CompareSpearman(before, after, target));
  check("pearson", ComparePearson(before, after, target));
  check("average_precision", CompareAveragePrecision(before, after, similar));
}

TEST(CompareTest, TheDifferenceOfMeansIsThatOfThePairedBootstrap) {
  std::vector<double> before, after;
  for (int i = 0; i < 40; ++i) before.push_back(std::sin(i)), after.push_back(std::cos(2 * i));
  const ComparedFigure figure = CompareMeans(before, after);
  const PairedDifference difference = PairedBootstrap(after, before);
  EXPECT_NEAR(figure.difference.value, difference.mean, kTolerance);
  EXPECT_NEAR(figure.difference.lower, difference.lower, kTolerance);
  EXPECT_NEAR(figure.difference.upper, difference.upper, kTolerance);
}

TEST(CompareTest, OneElementAndEqualElementsHaveFigures) {
  const double one[] = {0.1}, equal[] = {0.1, 0.1, 0.1}, target[] = {1, 2, 3};
  const char dissimilar[] = {0, 0, 0};
  EXPECT_EQ(CompareSpearman(one, one, one).after.upper, 0);
  EXPECT_EQ(CompareSpearman(equal, target, target).before.upper, 0);
  EXPECT_EQ(ComparePearson(equal, equal, target).before.upper, 0);
  EXPECT_EQ(CompareAveragePrecision(target, equal, dissimilar).difference.upper, 0);
  EXPECT_NEAR(CompareMeans(one, one).after.lower, 0.1, kTolerance);
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
