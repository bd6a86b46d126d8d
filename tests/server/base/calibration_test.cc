#include "server/base/calibration.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "server/base/random.h"

namespace tandem {
namespace {

double Fraction(uint64_t x) { return static_cast<double>(MixBits(x)) / 18446744073709551616.0; }

// Relevant with probability 1 / (1 + exp(-(8 * score - shift))); five scores a query.
std::vector<JudgedScore> Drawn(uint64_t seed, int count, double shift) {
  std::vector<JudgedScore> scores;
  for (int i = 0; i < count; ++i) {
    const double score = Fraction(seed + 2 * i), chance = Fraction(seed + 2 * i + 1);
    scores.push_back({score, chance < 1 / (1 + std::exp(-(8 * score - shift))), i / 5});
  }
  return scores;
}

// What scikit-learn 1.x's sklearn.calibration._sigmoid_calibration gives for the same scores, with both signs turned:
// it fits 1 / (1 + exp(a * score + b)), by L-BFGS.
TEST(CalibrationTest, PlattScalingIsThatOfScikitLearn) {
  struct Case {
    uint64_t seed;
    int count;
    double shift, slope, intercept;
  };
  for (const Case& each :
       {Case{1, 200, 4, 8.176960471743351, -4.123293262981143}, Case{2, 1000, 6, 7.836232402286242, -5.944745755796496},
        Case{3, 50, 3, 6.4939309110807475, -2.771344196531445}}) {
    const PlattScaling scaling = FitPlatt(Drawn(each.seed, each.count, each.shift));
    EXPECT_NEAR(scaling.slope, each.slope, 1e-3) << each.seed;
    EXPECT_NEAR(scaling.intercept, each.intercept, 1e-3) << each.seed;
  }
}

TEST(CalibrationTest, ScoresOfAnySizeAndKindsThatDoNotOverlapHaveAScaling) {
  std::vector<JudgedScore> scores;
  for (int i = 0; i < 100; ++i) scores.push_back({i < 50 ? 1e-3 : 2e-3, i >= 50, i});
  const PlattScaling small = FitPlatt(scores);
  EXPECT_NEAR(small.Probability(1e-3), 1.0 / 52, 1e-6);  // The targets.
  EXPECT_NEAR(small.Probability(2e-3), 51.0 / 52, 1e-6);
  for (JudgedScore& score : scores) score.score *= 1e7;
  const PlattScaling large = FitPlatt(scores);
  EXPECT_NEAR(large.Probability(1e4), 1.0 / 52, 1e-6);
  EXPECT_EQ(large.Probability(-1e9), 0);
  EXPECT_EQ(large.Probability(1e9), 1);
}

TEST(CalibrationTest, ScoreAndProbabilityAreInverse) {
  const PlattScaling scaling{.slope = 7, .intercept = -3};
  for (const double p : {0.01, 0.3, 0.5, 0.99}) EXPECT_NEAR(scaling.Probability(scaling.Score(p)), p, 1e-12);
}

TEST(CalibrationTest, TheErrorIsTheGapOfEachBin) {
  const std::vector<JudgedScore> scores = {{0, true, 0}, {0, false, 0}, {0, true, 0}, {0, true, 0}};
  const std::vector<double> probabilities = {0.62, 0.68, 0.91, 1.0};  // Bins 6, 6, 9, 9.
  EXPECT_NEAR(CalibrationError(scores, probabilities), (std::abs(1.30 - 1) + std::abs(1.91 - 2)) / 4, 1e-12);
}

TEST(CalibrationTest, WhatWasDrawnFromTheModelIsWellCalibratedOnOtherQueries) {
  const std::optional<Calibration> calibration = Calibrate(Drawn(5, 5000, 4));
  ASSERT_TRUE(calibration.has_value());
  EXPECT_EQ(calibration->scores, 5000);
  EXPECT_NEAR(calibration->scaling.slope, 8, 0.8);
  EXPECT_LT(calibration->expected_error, 0.03);
  EXPECT_GT(calibration->expected_error, 0);
}

TEST(CalibrationTest, TooLittleOrScoresThatMeanNothingGiveNone) {
  EXPECT_FALSE(Calibrate({}).has_value());
  EXPECT_FALSE(Calibrate(Drawn(1, 30, 4)).has_value());
  std::vector<JudgedScore> upside_down = Drawn(5, 1000, 4);
  for (JudgedScore& score : upside_down) score.relevant = !score.relevant;
  EXPECT_FALSE(Calibrate(upside_down).has_value());
  std::vector<JudgedScore> one_fold = Drawn(5, 1000, 4);
  for (JudgedScore& score : one_fold) score.query = score.relevant ? 0 : 1;  // All relevant ones in one fold.
  EXPECT_FALSE(Calibrate(one_fold).has_value());
}

}  // namespace
}  // namespace tandem
