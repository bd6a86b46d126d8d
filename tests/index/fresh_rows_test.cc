#include "index/fresh_rows.h"

#include <gtest/gtest.h>

namespace tandem {
namespace {

constexpr int kDimensions = 1024;  // 256 rows a chunk.

void Fill(FreshRows* rows, int64_t first, int64_t last) {
  for (int64_t label = first; label <= last; ++label) rows->Append(label)[0] = static_cast<float>(label);
}

TEST(FreshRowsTest, CopyKeepsWhatItShowed) {
  FreshRows rows(kDimensions);
  Fill(&rows, 1, 300);
  const FreshRows before = rows;
  Fill(&rows, 301, 900);
  EXPECT_EQ(before.size(), 300u);
  EXPECT_EQ(rows.size(), 900u);
  EXPECT_EQ(before.PositionOf(301), std::nullopt);
  EXPECT_EQ(before.vector(*before.PositionOf(300))[0], 300);
  EXPECT_EQ(rows.vector(*rows.PositionOf(900))[0], 900);
}

TEST(FreshRowsTest, RangesCoverAllRowsInOrder) {
  FreshRows rows(kDimensions);
  Fill(&rows, 1, 700);
  const FreshRows::Shortened shortened = rows.WithoutFirst(300);
  int64_t label = 300;
  for (const RowRange& range : shortened.rows.Ranges()) {
    for (uint32_t i = 0; i < range.count; ++i) {
      EXPECT_EQ(range.labels[i], ++label);
      EXPECT_EQ(range.vectors[static_cast<size_t>(i) * kDimensions], static_cast<float>(label));
      EXPECT_EQ(shortened.rows.PositionOf(label), range.first_position + i);
    }
  }
  EXPECT_EQ(label, 700);
}

TEST(FreshRowsTest, WithoutFirstDropsWholeChunksAndGoesOn) {
  for (int64_t up_to : {0, 1, 255, 256, 257, 511, 600, 700, 9999}) {
    FreshRows rows(kDimensions);
    Fill(&rows, 1, 700);
    FreshRows::Shortened shortened = rows.WithoutFirst(up_to);
    const int64_t left = std::max<int64_t>(0, 700 - up_to);
    EXPECT_EQ(shortened.rows.size(), left);
    if (left > 0) {
      EXPECT_EQ(*rows.PositionOf(700), *shortened.rows.PositionOf(700) + shortened.dropped);
    }
    EXPECT_EQ(shortened.rows.PositionOf(up_to), std::nullopt);
    Fill(&shortened.rows, 701, 1300);
    EXPECT_EQ(shortened.rows.size(), left + 600);
    EXPECT_EQ(shortened.rows.vector(*shortened.rows.PositionOf(1300))[0], 1300);
    EXPECT_EQ(rows.size(), 700u);
  }
}

TEST(FreshRowsTest, LabelsMayHaveGaps) {
  FreshRows rows(kDimensions);
  for (int64_t label : {3, 7, 20}) rows.Append(label);
  EXPECT_EQ(rows.PositionOf(7), 1u);
  EXPECT_EQ(rows.PositionOf(8), std::nullopt);
  EXPECT_EQ(rows.PositionOf(2), std::nullopt);
  EXPECT_EQ(rows.PositionAfter(7), 2u);
  EXPECT_EQ(rows.PositionAfter(19), 2u);
}

}  // namespace
}  // namespace tandem
