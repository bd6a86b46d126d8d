#include "server/analysis/folded_text.h"

#include <gtest/gtest.h>

namespace tandem {
namespace {

TEST(FoldedTextTest, CaseDoesNotMatter) {
  EXPECT_EQ(FoldText("Search INDEX 9"), "search index 9");
  EXPECT_EQ(FoldText("ÄÖÜ ÀÞ×ß"), "äöü àþ×ß");
  EXPECT_EQ(FoldText("ΑΒΩ"), "αβω");
  EXPECT_EQ(FoldText("ПРИВЕТ Ёж"), "привет ёж");
  EXPECT_EQ(FoldText("日本語😀"), "日本語😀");
}

TEST(FoldedTextTest, AmountOfWhiteSpaceDoesNotMatter) {
  EXPECT_EQ(FoldText("  a \t\n b\u00A0\u3000c "), "a b c");
  EXPECT_EQ(FoldText("ab"), "ab");
  EXPECT_EQ(FoldText(" \n"), "");
}

TEST(FoldedTextTest, BytesThatAreNotUtf8Stay) {
  EXPECT_EQ(FoldText("A\xC3"), "a\xC3");
  EXPECT_EQ(FoldText("\xFF\x80 B"), "\xFF\x80 b");
  EXPECT_EQ(FoldText("\xE2\x80"), "\xE2\x80");
}

}  // namespace
}  // namespace tandem
