#include "client/cli/line_input.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

namespace tandem::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class LineInputTest : public ::testing::Test {
 protected:
  LineInputTest() : path_(::testing::TempDir() + "line_input_test." + std::to_string(::getpid())) {}
  ~LineInputTest() override { std::remove(path_.c_str()); }

  LineInput Input(const std::string& content) {
    std::ofstream(path_, std::ios::binary) << content;
    return *LineInput::Open(path_);
  }

  const std::string path_;
};

TEST_F(LineInputTest, SkipsEmptyLinesAndCountsThem) {
  LineInput input = Input(
      "\xEF\xBB\xBF"
      "one\r\n\n\r\ntwo\nthree");
  std::string line;
  ASSERT_TRUE(input.Next(&line));
  EXPECT_EQ(line, "one");
  EXPECT_EQ(input.line_number(), 1);
  ASSERT_TRUE(input.Next(&line));
  EXPECT_EQ(line, "two");
  EXPECT_EQ(input.line_number(), 4);
  ASSERT_TRUE(input.Next(&line));
  EXPECT_EQ(line, "three");
  EXPECT_FALSE(input.Next(&line));
  EXPECT_DOUBLE_EQ(*input.fraction(), 1.0);
}

TEST_F(LineInputTest, AMissingFileAndADirectoryAreRefused) {
  EXPECT_EQ(LineInput::Open(path_ + ".none").status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(LineInput::Open(::testing::TempDir()).status().message()), HasSubstr("is a directory"));
}

TEST_F(LineInputTest, BadLinesAreReportedByNumberAndTheOthersGoOn) {
  LineInput input = Input("1\nx\n3\n");
  std::vector<std::string> said;
  RefusedLines refused("f", [&](const std::string& line) { said.push_back(line); });
  struct Item {
    std::string text;
  };
  const ItemSource<Item> source = RecordsOf<Item>(&input, &refused, [](absl::string_view line) -> absl::StatusOr<Item> {
    if (line == "x") return absl::InvalidArgumentError("is bad");
    return Item{std::string(line)};
  });
  EXPECT_EQ((**source()).position, 1);
  EXPECT_EQ((**source()).item.text, "3");
  EXPECT_FALSE(source()->has_value());
  EXPECT_THAT(said, ElementsAre("f:2: is bad"));
  EXPECT_THAT(std::string(refused.Summary(2).message()), HasSubstr("1 of 3 lines"));
}

TEST_F(LineInputTest, ManyBadLinesAreOnlyCounted) {
  std::vector<std::string> said;
  RefusedLines refused("f", [&](const std::string& line) { said.push_back(line); });
  EXPECT_TRUE(refused.Summary(5).ok());
  for (int i = 1; i <= 1000; ++i) refused.Add(i, "is bad");
  EXPECT_EQ(said.size(), 21);
  EXPECT_EQ(refused.count(), 1000);
}

}  // namespace
}  // namespace tandem::cli
