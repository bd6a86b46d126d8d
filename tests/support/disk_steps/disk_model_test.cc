#include "tests/support/disk_steps/disk_model.h"

#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/temporary_directory.h"

namespace tandem::test {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

using Tree = std::map<std::string, std::string>;  // Paths and content; "/" for a directory.

Tree TreeOf(const fs::path& directory) {
  Tree tree;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(directory)) {
    std::ifstream file(entry.path(), std::ios::binary);
    tree[entry.path().lexically_relative(directory)] =
        entry.is_directory() ? "/" : std::string(std::istreambuf_iterator<char>(file), {});
  }
  return tree;
}

// Inodes are small numbers; the root's is the real one.
class DiskModelTest : public testing::Test {
 protected:
  void SetUp() override {
    struct stat stat;
    ASSERT_EQ(::stat(start_.path().c_str(), &stat), 0);
    root_ = stat.st_ino;
  }

  DiskModel& disk() {
    if (disk_ == nullptr) disk_ = std::make_unique<DiskModel>(DiskModel::Of(start_.path()));
    return *disk_;
  }
  void Create(const std::string& path, uint64_t inode, uint64_t parent) {
    disk().Apply({.kind = StepKind::kCreate, .inode = inode, .parent = parent, .path = path});
  }
  void MakeDirectory(const std::string& path, uint64_t inode, uint64_t parent) {
    disk().Apply({.kind = StepKind::kMakeDirectory, .inode = inode, .parent = parent, .path = path});
  }
  void Write(uint64_t inode, std::string_view data, int64_t offset = 0) {
    disk().Apply({.kind = StepKind::kWrite, .inode = inode, .offset = offset, .data = data});
  }
  void Truncate(uint64_t inode, int64_t size) {
    disk().Apply({.kind = StepKind::kTruncate, .inode = inode, .offset = size});
  }
  void Sync(uint64_t inode) { disk().Apply({.kind = StepKind::kSync, .inode = inode}); }
  void Rename(const std::string& from, const std::string& to, uint64_t inode, uint64_t parent, uint64_t new_parent) {
    disk().Apply({.kind = StepKind::kRename,
                  .inode = inode,
                  .parent = parent,
                  .new_parent = new_parent,
                  .path = from,
                  .new_path = to});
  }
  void Remove(const std::string& path, uint64_t inode, uint64_t parent) {
    disk().Apply({.kind = StepKind::kRemove, .inode = inode, .parent = parent, .path = path});
  }
  Tree After(PowerCut cut, uint64_t seed = 0) {
    const TemporaryDirectory directory;
    disk().WriteTo(directory.path(), cut, seed);
    return TreeOf(directory.path());
  }

  const TemporaryDirectory start_;
  uint64_t root_ = 0;

 private:
  std::unique_ptr<DiskModel> disk_;
};

TEST_F(DiskModelTest, WhatLayThereBeforeIsDurable) {
  fs::create_directories(start_.path() / "a/b");
  std::ofstream(start_.path() / "a/b/file") << "before";
  for (const PowerCut cut : {PowerCut::kNothingLost, PowerCut::kDropUnsynced, PowerCut::kKeepEntries}) {
    EXPECT_THAT(After(cut), ElementsAre(Pair("a", "/"), Pair("a/b", "/"), Pair("a/b/file", "before")));
  }
}

TEST_F(DiskModelTest, AFileWhoseDirectoryWasNotSyncedIsGone) {
  Create("file", 1, root_);
  Write(1, "synced");
  Sync(1);
  EXPECT_THAT(After(PowerCut::kDropUnsynced), IsEmpty());
  EXPECT_THAT(After(PowerCut::kKeepEntries), ElementsAre(Pair("file", "synced")));
  Sync(root_);
  EXPECT_THAT(After(PowerCut::kDropUnsynced), ElementsAre(Pair("file", "synced")));
}

TEST_F(DiskModelTest, ADirectoryThatIsNotNamedDurablyTakesItsFilesAlong) {
  MakeDirectory("a", 1, root_);
  Create("a/file", 2, 1);
  Write(2, "x");
  Sync(2);
  Sync(1);
  EXPECT_THAT(After(PowerCut::kDropUnsynced), IsEmpty());
  Sync(root_);
  EXPECT_THAT(After(PowerCut::kDropUnsynced), ElementsAre(Pair("a", "/"), Pair("a/file", "x")));
}

TEST_F(DiskModelTest, AFileRenamedBeforeItWasSyncedIsEmpty) {
  Create("file", 1, root_);
  Write(1, "old");
  Sync(1);
  Create("new", 2, root_);
  Sync(root_);
  Write(2, "new content");
  Rename("new", "file", 2, root_, root_);
  EXPECT_THAT(After(PowerCut::kDropUnsynced), ElementsAre(Pair("file", "old"), Pair("new", "")));
  EXPECT_THAT(After(PowerCut::kKeepEntries), ElementsAre(Pair("file", "")));
  EXPECT_THAT(After(PowerCut::kNothingLost), ElementsAre(Pair("file", "new content")));
  Sync(root_);
  EXPECT_THAT(After(PowerCut::kDropUnsynced), ElementsAre(Pair("file", "")));
  Sync(2);
  EXPECT_THAT(After(PowerCut::kDropUnsynced), ElementsAre(Pair("file", "new content")));
}

TEST_F(DiskModelTest, ANameMovedBetweenDirectoriesNeedsBothOfThem) {
  MakeDirectory("a", 1, root_);
  MakeDirectory("b", 2, root_);
  Create("a/file", 3, 1);
  for (const uint64_t inode : {root_, uint64_t{1}, uint64_t{2}}) Sync(inode);
  Rename("a/file", "b/file", 3, 1, 2);
  EXPECT_THAT(After(PowerCut::kNothingLost), ElementsAre(Pair("a", "/"), Pair("b", "/"), Pair("b/file", "")));
  Sync(1);
  EXPECT_THAT(After(PowerCut::kDropUnsynced), ElementsAre(Pair("a", "/"), Pair("b", "/")));
  Sync(2);
  EXPECT_THAT(After(PowerCut::kDropUnsynced), ElementsAre(Pair("a", "/"), Pair("b", "/"), Pair("b/file", "")));
}

TEST_F(DiskModelTest, TruncationIsAChangeOfContent) {
  Create("file", 1, root_);
  Write(1, "0123456789");
  Sync(1);
  Sync(root_);
  Truncate(1, 3);
  Write(1, "z", 5);
  EXPECT_THAT(After(PowerCut::kDropUnsynced), ElementsAre(Pair("file", "0123456789")));
  EXPECT_THAT(After(PowerCut::kNothingLost), ElementsAre(Pair("file", std::string("012\0\0z", 6))));
  Sync(1);
  EXPECT_THAT(After(PowerCut::kDropUnsynced), ElementsAre(Pair("file", std::string("012\0\0z", 6))));
}

TEST_F(DiskModelTest, ARemovedFileIsThereUntilItsDirectoryIsSynced) {
  Create("file", 1, root_);
  Write(1, "x");
  Sync(1);
  Sync(root_);
  Remove("file", 1, root_);
  EXPECT_THAT(After(PowerCut::kDropUnsynced), ElementsAre(Pair("file", "x")));
  EXPECT_THAT(After(PowerCut::kKeepEntries), IsEmpty());
  Sync(root_);
  EXPECT_THAT(After(PowerCut::kDropUnsynced), IsEmpty());
}

TEST_F(DiskModelTest, AnInodeThatIsUsedAgainIsAnotherFile) {
  Create("old", 1, root_);
  Write(1, "old");
  Sync(1);
  Sync(root_);
  Remove("old", 1, root_);
  Create("new", 1, root_);
  Write(1, "new");
  EXPECT_THAT(After(PowerCut::kDropUnsynced), ElementsAre(Pair("old", "old")));
  EXPECT_THAT(After(PowerCut::kKeepEntries), ElementsAre(Pair("new", "")));
  Sync(1);
  EXPECT_THAT(After(PowerCut::kDropUnsynced), ElementsAre(Pair("old", "old")));
  EXPECT_THAT(After(PowerCut::kKeepEntries), ElementsAre(Pair("new", "new")));
}

TEST_F(DiskModelTest, ARandomCutKeepsBlocksAndNamesByItsSeed) {
  Create("synced", 1, root_);
  Write(1, "s");
  Sync(1);
  Sync(root_);
  const std::string data(3 * 4096, 'x');
  Create("file", 2, root_);
  Write(2, data);
  std::set<Tree> seen;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const Tree tree = After(PowerCut::kRandom, seed);
    EXPECT_EQ(tree, After(PowerCut::kRandom, seed));
    EXPECT_EQ(tree.at("synced"), "s");
    seen.insert(tree);
  }
  // No file, or one with any of its three blocks: the last one that survived ends it.
  EXPECT_EQ(seen.size(), 1 + 8);
}

TEST_F(DiskModelTest, AFingerprintChangesWithWhatIsLeft) {
  Create("file", 1, root_);
  const uint64_t nothing = disk().Fingerprint(PowerCut::kDropUnsynced);
  Write(1, "x");
  Sync(1);
  EXPECT_EQ(disk().Fingerprint(PowerCut::kDropUnsynced), nothing);
  const uint64_t kept = disk().Fingerprint(PowerCut::kKeepEntries);
  Sync(root_);
  const uint64_t synced = disk().Fingerprint(PowerCut::kDropUnsynced);
  EXPECT_NE(synced, nothing);
  EXPECT_EQ(disk().Fingerprint(PowerCut::kKeepEntries), kept);
  Write(1, "y");
  Sync(root_);
  EXPECT_EQ(disk().Fingerprint(PowerCut::kDropUnsynced), synced);
  Sync(1);
  EXPECT_NE(disk().Fingerprint(PowerCut::kDropUnsynced), synced);
}

TEST_F(DiskModelTest, AStepOnAnUnknownFileDies) { EXPECT_DEATH(Write(77, "x"), "nothing is known of inode 77"); }

}  // namespace
}  // namespace tandem::test
