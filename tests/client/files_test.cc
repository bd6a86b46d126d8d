// Directories on their way up and down.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "client/download.h"
#include "client/model_upload.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;

class FilesTest : public ::testing::Test {
 protected:
  FilesTest() : root_(fs::path(::testing::TempDir()) / ("files_test." + std::to_string(::getpid()))) {
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  ~FilesTest() override { fs::remove_all(root_); }

  void Put(const std::string& path, const std::string& content) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path, std::ios::binary) << content;
  }
  std::string Content(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  }

  const fs::path root_;
};

TEST_F(FilesTest, AModelIsEveryFileButHiddenOnes) {
  Put("config.json", "{}");
  Put("1_Pooling/config.json", "{}!");
  Put(".git/objects/x", "x");
  Put(".gitattributes", "x");
  absl::StatusOr<std::vector<ModelFile>> files = ListModelFiles(root_.string());
  ASSERT_TRUE(files.ok()) << files.status();
  ASSERT_EQ(files->size(), 2);
  EXPECT_EQ((*files)[0].relative_path, "1_Pooling/config.json");
  EXPECT_EQ((*files)[0].bytes, 3);
  EXPECT_EQ((*files)[1].relative_path, "config.json");
}

TEST_F(FilesTest, ADirectoryWithoutConfigIsNoModel) {
  Put("README.md", "hello");
  EXPECT_EQ(ListModelFiles(root_.string()).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ListModelFiles((root_ / "missing").string()).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(FilesTest, ADownloadAppearsWhenItIsComplete) {
  const fs::path target = root_ / "out";
  absl::StatusOr<DirectoryWriter> writer = DirectoryWriter::Create(target.string() + "/");
  ASSERT_TRUE(writer.ok()) << writer.status();
  ASSERT_TRUE(writer->Write({.path = "a/b.txt", .data = "one "}).ok());
  ASSERT_TRUE(writer->Write({.path = "a/b.txt", .data = "two"}).ok());
  ASSERT_TRUE(writer->Write({.path = "empty", .data = ""}).ok());
  EXPECT_FALSE(fs::exists(target));
  ASSERT_TRUE(writer->Publish().ok());
  EXPECT_EQ(Content(target / "a/b.txt"), "one two");
  EXPECT_EQ(Content(target / "empty"), "");
  EXPECT_EQ(DirectoryWriter::Create(target.string()).status().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(FilesTest, ADownloadCannotLeaveItsDirectory) {
  absl::StatusOr<DirectoryWriter> writer = DirectoryWriter::Create((root_ / "out").string());
  ASSERT_TRUE(writer.ok());
  for (const char* path : {"", "/etc/passwd", "../x", "a/../../x", "./x"}) {
    EXPECT_EQ(writer->Write({.path = path, .data = "x"}).code(), absl::StatusCode::kInvalidArgument) << path;
  }
}

}  // namespace
}  // namespace tandem
