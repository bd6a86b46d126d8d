#include "server/jobs/oom_kills.h"

#include <fstream>
#include <string>

#include <gtest/gtest.h>

namespace tandem {
namespace {

std::optional<int64_t> ReadFrom(const std::string& text) {
  const std::filesystem::path file = testing::TempDir() + "/oom_kills_test";
  std::ofstream(file) << text;
  const std::optional<int64_t> kills = ReadOomKills(file);
  std::filesystem::remove(file);
  return kills;
}

TEST(OomKillsTest, ReadsTheCountOfBothVersions) {
  EXPECT_EQ(ReadFrom("low 0\nhigh 4\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n"), 2);
  EXPECT_EQ(ReadFrom("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n"), 7);
}

TEST(OomKillsTest, AFileWithoutTheCountOrNoFileHasNone) {
  EXPECT_EQ(ReadFrom("oom_kill_disable 0\nunder_oom 0\n"), std::nullopt);
  EXPECT_EQ(ReadFrom(""), std::nullopt);
  EXPECT_EQ(ReadOomKills("/no/such/file"), std::nullopt);
  EXPECT_EQ(ReadOomKills(""), std::nullopt);
}

TEST(OomKillsTest, WhatIsFoundCanBeRead) {
  const std::filesystem::path file = FindOomKillsFile();
  EXPECT_EQ(ReadOomKills(file).has_value(), !file.empty()) << file;
}

}  // namespace
}  // namespace tandem
