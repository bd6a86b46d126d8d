#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "client/report/embedding_figures.h"
#include "client/report/embedding_sample.h"
#include "client/report/projection.h"

namespace tandem::report {
namespace {

using ::testing::ElementsAre;

// 200 rows whose spread is 5 along one direction, 2 along another at right angles to it, and 0.1 elsewhere.
Vectors Ellipse(int dimensions, std::vector<double>* first, std::vector<double>* second) {
  std::mt19937_64 random(7);
  std::normal_distribution<double> normal;
  const size_t n = static_cast<size_t>(dimensions);
  first->assign(n, 0);
  second->assign(n, 0);
  for (size_t i = 0; i < n; ++i) {
    (*first)[i] = 1 / std::sqrt(dimensions);
    (*second)[i] = (i % 2 == 0 ? 1 : -1) / std::sqrt(dimensions);
  }
  Vectors rows;
  for (int i = 0; i < 200; ++i) {
    const double a = 5 * normal(random), b = 2 * normal(random);
    std::vector<float>& row = rows.emplace_back();
    for (size_t k = 0; k < n; ++k) {
      row.push_back(static_cast<float>(3 + a * (*first)[k] + b * (*second)[k] + 0.1 * normal(random)));
    }
  }
  return rows;
}

TEST(ProjectionTest, TheDirectionsOfMostVarianceAreFound) {
  std::vector<double> first, second;
  const Vectors rows = Ellipse(32, &first, &second);
  const Projection projection = Project({rows});
  double along_first = 0, along_second = 0, all_x = 0, all_y = 0;
  std::vector<double> mean(32, 0.0);
  for (const auto& row : rows) {
    for (size_t k = 0; k < row.size(); ++k) mean[k] += row[k] / static_cast<double>(rows.size());
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    double a = 0, b = 0;
    for (size_t k = 0; k < first.size(); ++k) {
      a += (rows[i][k] - mean[k]) * first[k];
      b += (rows[i][k] - mean[k]) * second[k];
    }
    along_first += a * a;
    along_second += b * b;
    all_x += projection.sets[0][i].x * projection.sets[0][i].x;
    all_y += projection.sets[0][i].y * projection.sets[0][i].y;
  }
  // Principal directions hold at least the variance of any others, and here hardly more than those that made the rows.
  EXPECT_NEAR(all_x / along_first, 1, 0.01);
  EXPECT_NEAR(all_y / along_second, 1, 0.05);
  EXPECT_GT(projection.explained[0], 0.95);
}

TEST(ProjectionTest, TheSameVectorsGiveTheSameMap) {
  std::vector<double> first, second;
  const Vectors rows = Ellipse(16, &first, &second);
  const Projection one = Project({rows, rows}), two = Project({rows, rows});
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(one.sets[0][i].x, two.sets[1][i].x);
    EXPECT_EQ(one.sets[0][i].y, two.sets[1][i].y);
  }
}

TEST(ProjectionTest, VectorsThatAreAllAlikeOrFewOrShortHaveAMap) {
  for (const Vectors& rows : {Vectors(5, {1, 2, 3}), Vectors{{1, 0}}, Vectors{{1}, {2}}, Vectors{{1, 0, 0}, {0, 1, 0}},
                              Vectors{{0, 0}, {0, 0}}}) {
    const Projection projection = Project({rows, rows});
    for (const Point& point : projection.sets[1]) {
      EXPECT_TRUE(std::isfinite(point.x) && std::isfinite(point.y));
    }
    EXPECT_GE(projection.explained[0], 0);
    EXPECT_LE(projection.explained[0], 1 + 1e-9);
  }
}

// Two pairs on a circle. Before, the first query is nearer to the other answer.
EmbeddingSample TwoPairs() {
  EmbeddingSample sample{.source = "2 examples of faq",
                         .texts = {"q1", "a1", "q2", "a2"},
                         .kinds = {"query", "document"},
                         .kind = {0, 1, 0, 1},
                         .pairs = {{0, 1}, {2, 3}}};
  sample.before = {{1, 0}, {0, 1}, {0.6f, 0.8f}, {0.8f, 0.6f}};
  sample.after = {{1, 0}, {1, 0}, {0, 1}, {0, 1}};
  return sample;
}

TEST(EmbeddingSampleTest, CosinesAreThoseOfTheVectors) {
  const EmbeddingSample sample = TwoPairs();
  const SampleFigures before = Measure(sample, sample.before);
  EXPECT_NEAR(before.pair_cosines[0], 0, 1e-6);
  EXPECT_NEAR(before.pair_cosines[1], 0.96, 1e-6);
  EXPECT_NEAR(before.other_means[0], 0.8, 1e-6);
  const SampleFigures after = Measure(sample, sample.after);
  EXPECT_THAT(after.pair_cosines, ElementsAre(1, 1));
}

TEST(EmbeddingSampleTest, ATextThatSeveralPairsShareIsOneCandidateAndNoOtherText) {
  EmbeddingSample sample = TwoPairs();
  sample.texts[3] = "a1";
  const SampleFigures figures = Measure(sample, sample.before);
  EXPECT_TRUE(figures.other_cosines.empty());
  EXPECT_TRUE(std::isnan(figures.other_means[0]));
  EXPECT_EQ(CompareSample(figures, figures).size(), 1u);
}

TEST(EmbeddingSampleTest, IntervalsHoldTheChangeAndAreTheSameEachTime) {
  std::vector<double> before, after;
  std::mt19937_64 random(3);
  std::normal_distribution<double> normal;
  for (int i = 0; i < 150; ++i) {
    before.push_back(normal(random));
    after.push_back(before.back() + 0.5 + 0.3 * normal(random));
  }
  const Change change = CompareMeans("x", before, after), again = CompareMeans("x", before, after);
  EXPECT_NEAR(change.after - change.before, 0.5, 0.1);
  // Standard error 0.3 / sqrt(150) = 0.0245, so 1.96 of them to both sides.
  EXPECT_NEAR(change.upper - change.lower, 2 * 1.96 * 0.0245, 0.02);
  EXPECT_LT(change.lower, change.after - change.before);
  EXPECT_GT(change.upper, change.after - change.before);
  EXPECT_EQ(change.lower, again.lower);
  EXPECT_EQ(change.upper, again.upper);
}

TEST(EmbeddingFiguresTest, MapsShowEveryTextOnceEachAndEscapeIt) {
  EmbeddingSample sample = TwoPairs();
  sample.texts[0] = "<script>\"x\"</script>";
  const std::string html = DrawMaps(sample);
  EXPECT_EQ(html.find("<script"), std::string::npos);
  size_t titles = 0;
  for (size_t at = html.find("<title>"); at != std::string::npos; at = html.find("<title>", at + 1)) ++titles;
  EXPECT_EQ(titles, 8u);
}

}  // namespace
}  // namespace tandem::report
