#include "client/cli/table.h"

#include <gtest/gtest.h>

#include "client/cli/display_width.h"

namespace tandem::cli {
namespace {

TEST(TableTest, ColumnsAreAligned) {
  Table table({{"NAME"}, {"DOCUMENTS", Table::kRight}});
  table.AddRow({"docs", "10,000"});
  table.AddRow({"a-longer-name", "3"});
  EXPECT_EQ(table.Render(),
            "NAME           DOCUMENTS\n"
            "docs              10,000\n"
            "a-longer-name          3\n");
}

TEST(TableTest, ChineseTakesTwoColumns) {
  Table table({{"TEXT"}, {"N", Table::kRight}});
  table.AddRow({"检索", "1"});
  table.AddRow({"abcd", "2"});
  EXPECT_EQ(table.Render(),
            "TEXT  N\n"
            "检索  1\n"
            "abcd  2\n");
}

TEST(TableTest, TheLastColumnIsCutToTheWidth) {
  Table table({{"ID"}, {"TEXT"}});
  table.AddRow({"d1", "a text that is longer than the terminal is wide"});
  EXPECT_EQ(table.Render(24), "ID  TEXT\nd1  a text that is long…\n");
}

TEST(TableTest, ControlCharactersCannotReachTheTerminal) {
  Table table({{"TEXT"}});
  table.AddRow({"a\x1b[2J\nb"});
  EXPECT_EQ(table.Render(), "TEXT\na [2J b\n");
}

TEST(TableTest, FieldsWithoutAValueAreLeftOut) {
  EXPECT_EQ(RenderFields({{"name", "docs"}, {"previous", ""}, {"commit", "7"}}), "name:   docs\ncommit: 7\n");
}

TEST(DisplayWidthTest, CombiningMarksAndEmoji) {
  EXPECT_EQ(DisplayWidth("e\u0301"), 1);
  EXPECT_EQ(DisplayWidth("🚀"), 2);
  EXPECT_EQ(DisplayWidth("\xff"), 1);
}

TEST(DisplayWidthTest, FitNeverSplitsACharacter) {
  EXPECT_EQ(FitWidth("检索系统", 5), "检索…");
  EXPECT_EQ(FitWidth("检索系统", 4), "检…");
  EXPECT_EQ(FitWidth("检索", 4), "检索");
  EXPECT_EQ(FitWidth("abc", 1), "…");
  EXPECT_EQ(FitWidth("abc", 0), "");
}

TEST(DisplayWidthTest, Utf8IsCheckedStrictly) {
  EXPECT_TRUE(IsUtf8("检索 a \U0001F680"));
  EXPECT_FALSE(IsUtf8("\xc0\xaf"));          // Overlong.
  EXPECT_FALSE(IsUtf8("\xed\xa0\x80"));      // A surrogate.
  EXPECT_FALSE(IsUtf8("\xf4\x90\x80\x80"));  // Above U+10FFFF.
  EXPECT_FALSE(IsUtf8("a\xe6\xa3"));         // Cut off.
}

}  // namespace
}  // namespace tandem::cli
