#include "index/checked_writer.h"

#include <gtest/gtest.h>

#include "server/base/files.h"
#include "tests/support/temporary_directory.h"

namespace tandem {
namespace {

class CheckedWriterTest : public testing::Test {
 protected:
  const test::TemporaryDirectory directory_;
  const std::filesystem::path path_ = directory_.path() / "rows";
};

// Pieces below, at and above the size of the buffer, in an order that leaves it empty, half full and full.
TEST_F(CheckedWriterTest, PiecesOfAnySizeArriveInOrder) {
  std::string expected;
  const auto writer = CheckedWriter::Create(path_);
  ASSERT_TRUE(writer.ok()) << writer.status();
  const size_t buffer = 256 << 10;
  for (const size_t size : {size_t{0}, size_t{1}, buffer - 1, size_t{7}, buffer, buffer + 1, size_t{3}, 3 * buffer,
                            buffer - 3, size_t{3}, size_t{1}}) {
    std::string piece(size, '\0');
    for (size_t i = 0; i < size; ++i) piece[i] = static_cast<char>((expected.size() + i) * 2654435761u >> 13);
    ASSERT_TRUE((*writer)->Append(piece).ok());
    expected += piece;
  }
  const auto checksum = (*writer)->Close();
  ASSERT_TRUE(checksum.ok()) << checksum.status();
  EXPECT_EQ(*checksum, Crc32c(expected));
  EXPECT_TRUE(*ReadFile(path_) == expected);
}

TEST_F(CheckedWriterTest, AnEmptyFileIsMade) {
  const auto writer = CheckedWriter::Create(path_);
  ASSERT_TRUE(writer.ok());
  EXPECT_EQ(*(*writer)->Close(), 0u);
  EXPECT_EQ(*ReadFile(path_), "");
}

TEST_F(CheckedWriterTest, AFileThatIsThereStaysAsItIs) {
  ASSERT_TRUE(WriteFileDurably(path_, "before").ok());
  const auto status = CheckedWriter::Create(path_).status();
  EXPECT_NE(status.ToString().find(path_.string()), std::string::npos) << status;
  EXPECT_EQ(*ReadFile(path_), "before");
}

TEST_F(CheckedWriterTest, AFileThatIsNotClosedLacksWhatIsBuffered) {
  ASSERT_TRUE((*CheckedWriter::Create(path_))->Append("lost").ok());
  EXPECT_EQ(*ReadFile(path_), "");
}

}  // namespace
}  // namespace tandem
