#include <cstdint>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "server/base/files.h"

namespace tandem {
namespace {

// Values of RFC 3720, appendix B.4.
TEST(ChecksumTest, Crc32cEqualsTheStandardsExamples) {
  std::string ascending;
  for (int i = 0; i < 32; ++i) ascending.push_back(static_cast<char>(i));
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(Crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
  EXPECT_EQ(Crc32c(ascending), 0x46DD794Eu);
  EXPECT_EQ(Crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(Crc32c(""), 0u);
}

TEST(ChecksumTest, ExtendingEqualsOneCall) {
  const std::string text = "the quick brown fox jumps over the lazy dog";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    EXPECT_EQ(ExtendCrc32c(Crc32c(text.substr(0, cut)), text.substr(cut)), Crc32c(text));
  }
}

TEST(ChecksumTest, Sha256EqualsTheStandardsExamples) {
  const std::filesystem::path path = std::filesystem::path(testing::TempDir()) / "sha256_test";
  ASSERT_TRUE(WriteFileDurably(path, "abc").ok());
  EXPECT_EQ(*FileSha256(path), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  ASSERT_TRUE(WriteFileDurably(path, std::string(1'000'000, 'a')).ok());
  EXPECT_EQ(*FileSha256(path), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  ASSERT_TRUE(RemoveTree(path).ok());
  EXPECT_EQ(FileSha256(path).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace tandem
