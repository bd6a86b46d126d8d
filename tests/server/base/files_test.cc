#include "server/base/files.h"

#include <fstream>

#include <gtest/gtest.h>

#include "server/base/ids.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;

class FilesTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(CreateDirectories(root_).ok()); }
  void TearDown() override { ASSERT_TRUE(RemoveTree(root_).ok()); }
  const fs::path root_ = fs::path(testing::TempDir()) / ("files_test-" + NewId());
};

TEST_F(FilesTest, WrittenFileIsReadBackWithNulBytes) {
  const std::string bytes("a\0b\n", 4);
  ASSERT_TRUE(WriteFileDurably(root_ / "file", bytes).ok());
  EXPECT_EQ(*ReadFile(root_ / "file"), bytes);
  ASSERT_TRUE(WriteFileDurably(root_ / "file", "").ok());
  EXPECT_EQ(*ReadFile(root_ / "file"), "");
  EXPECT_EQ(*ListFiles(root_), std::vector<std::string>{"file"});
}

TEST_F(FilesTest, ErrorsNameThePath) {
  const absl::Status status = ReadFile(root_ / "absent").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(status.ToString().find((root_ / "absent").string()), std::string::npos);
  EXPECT_EQ(WriteFileDurably(root_ / "absent" / "file", "x").code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ListFiles(root_ / "absent").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(FilesTest, PublishedDirectoryAppearsWhole) {
  const fs::path final_path = root_ / "releases" / "r1";
  const auto staging = MakeStagingDirectory(final_path);
  ASSERT_TRUE(staging.ok()) << staging.status();
  EXPECT_EQ(staging->parent_path(), final_path.parent_path());
  EXPECT_TRUE(staging->filename().string().starts_with(".staging-"));
  std::ofstream(*staging / "index") << "i";
  fs::create_directory(*staging / "sub");
  std::ofstream(*staging / "sub" / "ids") << "j";
  ASSERT_TRUE(PublishDirectory(*staging, final_path).ok());
  EXPECT_FALSE(fs::exists(*staging));
  EXPECT_EQ(*ListFiles(final_path), (std::vector<std::string>{"index", "sub/ids"}));
}

TEST_F(FilesTest, PublishNeverReplaces) {
  const fs::path final_path = root_ / "r1";
  ASSERT_TRUE(CreateDirectories(final_path).ok());
  const auto staging = MakeStagingDirectory(final_path);
  ASSERT_TRUE(staging.ok());
  EXPECT_EQ(PublishDirectory(*staging, final_path).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(fs::exists(*staging));
}

TEST_F(FilesTest, TwoStagingDirectoriesOfOnePathDiffer) {
  EXPECT_NE(*MakeStagingDirectory(root_ / "r"), *MakeStagingDirectory(root_ / "r"));
}

TEST_F(FilesTest, RemoveStagingLeavesPublishedThingsAlone) {
  const auto staging = MakeStagingDirectory(root_ / "r1");
  std::ofstream(*staging / "half") << "x";
  std::ofstream(root_ / ".staging-file") << "x";
  ASSERT_TRUE(WriteFileDurably(root_ / "kept", "x").ok());
  ASSERT_TRUE(RemoveStaging(root_).ok());
  EXPECT_EQ(*ListFiles(root_), std::vector<std::string>{"kept"});
  EXPECT_FALSE(fs::exists(*staging));
  EXPECT_TRUE(RemoveStaging(root_ / "absent").ok());
}

TEST_F(FilesTest, RemoveTreeOfNothingIsFine) { EXPECT_TRUE(RemoveTree(root_ / "absent").ok()); }

TEST_F(FilesTest, CopyTreeCopiesFilesAndSkipsLinks) {
  ASSERT_TRUE(CreateDirectories(root_ / "from" / "sub").ok());
  ASSERT_TRUE(WriteFileDurably(root_ / "from" / "sub" / "file", "x").ok());
  fs::create_symlink("/etc/hostname", root_ / "from" / "link");
  ASSERT_TRUE(CopyTree(root_ / "from", root_ / "to").ok());
  EXPECT_EQ(*ListFiles(root_ / "to"), std::vector<std::string>{"sub/file"});
  EXPECT_EQ(*ReadFile(root_ / "to" / "sub" / "file"), "x");
  EXPECT_EQ(CopyTree(root_ / "absent", root_ / "to2").code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace tandem
