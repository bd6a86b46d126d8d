#include "server/release/release_directory.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/temporary_directory.h"

namespace tandem {
namespace {

using testing::ElementsAre;

class ReleaseDirectoryTest : public testing::Test {
 protected:
  test::TemporaryDirectory data_;
  const ReleaseDirectory directory_{data_.path(), "r1"};
};

TEST_F(ReleaseDirectoryTest, SealedCommitsAreNewestFirstByNumber) {
  ASSERT_TRUE(directory_.Prepare().ok());
  for (const char* name : {"sealed-9", "sealed-10", "sealed-200", "sealed-x", "sealed--1", "other"}) {
    std::filesystem::create_directories(directory_.path() / name);
  }
  std::ofstream(directory_.path() / "sealed-300") << "a file is no sealed directory";
  EXPECT_THAT(*directory_.SealedCommits(), ElementsAre(200, 10, 9));
  EXPECT_EQ(directory_.SealedPath(10), data_.path() / "releases" / "r1" / "sealed-10");
}

TEST_F(ReleaseDirectoryTest, KeepOnlyRemovesTheOthers) {
  for (const char* name : {"sealed-9", "sealed-10", "sealed-200"}) {
    std::filesystem::create_directories(directory_.path() / name / "x");
  }
  ASSERT_TRUE(directory_.KeepOnly(10).ok());
  EXPECT_THAT(*directory_.SealedCommits(), ElementsAre(10));
  ASSERT_TRUE(directory_.KeepOnly(0).ok());
  EXPECT_THAT(*directory_.SealedCommits(), ElementsAre());
}

TEST_F(ReleaseDirectoryTest, PrepareRemovesUnfinishedWorkOnly) {
  std::filesystem::create_directories(directory_.path() / ".staging-sealed-7" / "x");
  std::filesystem::create_directories(directory_.path() / "sealed-5");
  ASSERT_TRUE(directory_.Prepare().ok());
  EXPECT_FALSE(std::filesystem::exists(directory_.path() / ".staging-sealed-7"));
  EXPECT_TRUE(std::filesystem::exists(directory_.path() / "sealed-5"));
}

TEST_F(ReleaseDirectoryTest, TheRebuildingMarkerStaysUntilItIsCleared) {
  ASSERT_TRUE(directory_.Prepare().ok());
  EXPECT_FALSE(directory_.Rebuilding());
  EXPECT_EQ(directory_.ShownBefore(), 0);
  ASSERT_TRUE(directory_.MarkRebuilding(7).ok());
  ASSERT_TRUE(directory_.MarkRebuilding(3).ok());
  EXPECT_EQ(directory_.ShownBefore(), 7) << "damaged again before it had come as far";
  ASSERT_TRUE(directory_.Prepare().ok());
  EXPECT_TRUE(directory_.Rebuilding());
  ASSERT_TRUE(directory_.ClearRebuilding().ok());
  EXPECT_FALSE(directory_.Rebuilding());
  EXPECT_TRUE(directory_.ClearRebuilding().ok());
}

TEST_F(ReleaseDirectoryTest, AMissingParentHasNoDirectories) {
  EXPECT_THAT(*ListDirectories(data_.path() / "nowhere"), ElementsAre());
}

}  // namespace
}  // namespace tandem
