#include "index/row_scan.h"

#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include <gtest/gtest.h>

namespace tandem {
namespace {

std::vector<int64_t> Labels(const std::vector<ScoredLabel>& hits) {
  std::vector<int64_t> labels;
  for (const ScoredLabel& hit : hits) labels.push_back(hit.label);
  return labels;
}

TEST(TopHitsTest, TiesFallToTheSmallerLabelInAnyOrderOfOffers) {
  std::vector<int64_t> order(20);
  std::iota(order.begin(), order.end(), 0);
  std::mt19937 random(1);
  for (int round = 0; round < 50; ++round) {
    std::shuffle(order.begin(), order.end(), random);
    TopHits top(5);
    for (int64_t label : order) top.Offer(label, label < 2 ? 1.0f : 0.5f);
    EXPECT_EQ(Labels(top.TakeBestFirst()), (std::vector<int64_t>{0, 1, 2, 3, 4}));
  }
}

TEST(TopHitsTest, ScoreThatIsNotANumberRanksLast) {
  TopHits top(2);
  top.Offer(1, std::numeric_limits<float>::quiet_NaN());
  top.Offer(2, -1e30f);
  top.Offer(3, std::numeric_limits<float>::quiet_NaN());
  EXPECT_EQ(Labels(top.TakeBestFirst()), (std::vector<int64_t>{2, 1}));
}

TEST(TopHitsTest, ZeroHitsAreWanted) {
  TopHits top(0);
  top.Offer(1, 1);
  EXPECT_TRUE(top.TakeBestFirst().empty());
}

// Equal vectors must tie wherever they lie, or answers would depend on how rows happen to be grouped.
TEST(ScanRowsTest, ScoreDoesNotDependOnTheRowsPlace) {
  constexpr int kDimensions = 77, kRows = 23;
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  std::vector<float> one(kDimensions), query(kDimensions), vectors;
  for (float& value : one) value = normal(random);
  for (float& value : query) value = normal(random);
  for (int i = 0; i < kRows; ++i) vectors.insert(vectors.end(), one.begin(), one.end());
  std::vector<int64_t> labels(kRows);
  std::iota(labels.begin(), labels.end(), 100);
  for (uint32_t count = 1; count <= kRows; ++count) {
    TopHits top(kRows);
    ScanRows({.vector = query}, {.vectors = vectors.data(), .labels = labels.data(), .count = count}, Roaring(), &top);
    const std::vector<ScoredLabel> hits = top.TakeBestFirst();
    ASSERT_EQ(hits.size(), count);
    for (uint32_t i = 0; i < count; ++i) {
      EXPECT_EQ(hits[i].label, 100 + i);
      EXPECT_EQ(hits[i].score, hits[0].score);
    }
  }
}

TEST(RowsWithLabelsTest, EqualsASetIntersectionAtAnyDensity) {
  std::mt19937 random(9);
  for (const double row_share : {0.001, 0.1, 0.9, 1.0}) {
    for (const double label_share : {0.001, 0.1, 0.9, 1.0}) {
      std::vector<int64_t> row_labels, expected;
      Roaring64Map labels;
      Roaring hidden;
      const int64_t first = (int64_t{1} << 32) - 5000;  // Labels on both sides of what 32 bits hold.
      for (int64_t label = first; label < first + 10000; ++label) {
        const bool wanted = std::uniform_real_distribution<>()(random) < label_share;
        if (wanted) labels.add(static_cast<uint64_t>(label));
        if (std::uniform_real_distribution<>()(random) >= row_share) continue;
        const bool is_hidden = random() % 10 == 0;
        if (is_hidden) hidden.add(static_cast<uint32_t>(70 + row_labels.size()));
        if (wanted && !is_hidden) expected.push_back(static_cast<int64_t>(row_labels.size()));
        row_labels.push_back(label);
      }
      labels.add(uint64_t{3});  // Below and above all rows.
      labels.add(static_cast<uint64_t>(first) + 20000);
      const RowRange rows{
          .labels = row_labels.data(), .first_position = 70, .count = static_cast<uint32_t>(row_labels.size())};
      EXPECT_EQ(RowsWithLabels(rows, labels, hidden), expected) << row_share << " " << label_share;
    }
  }
}

TEST(ScanRowsTest, HiddenPositionsAreLeftOut) {
  constexpr uint32_t kRows = 300, kFirst = 1000;
  std::vector<float> vectors(kRows);
  std::vector<int64_t> labels(kRows);
  std::iota(labels.begin(), labels.end(), 0);
  std::iota(vectors.begin(), vectors.end(), 0.0f);
  std::mt19937 random(5);
  for (double share : {0.0, 0.05, 0.5, 0.95, 1.0}) {
    Roaring hidden;
    std::vector<int64_t> expected;
    hidden.add(kFirst - 1);  // Outside of the range on both sides.
    hidden.add(kFirst + kRows);
    for (uint32_t row = kRows; row-- > 0;) {
      if (std::uniform_real_distribution<>()(random) < share) {
        hidden.add(kFirst + row);
      } else {
        expected.push_back(row);
      }
    }
    TopHits top(kRows);
    const float query[] = {1};
    ScanRows({.vector = query},
             {.vectors = vectors.data(), .labels = labels.data(), .first_position = kFirst, .count = kRows}, hidden,
             &top);
    EXPECT_EQ(Labels(top.TakeBestFirst()), expected) << share;
  }
}

}  // namespace
}  // namespace tandem
