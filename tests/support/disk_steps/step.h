#pragma once
// One call that changed files below the recorded directory, in the order in which the calls took effect.

#include <cstdint>
#include <string>
#include <string_view>

namespace tandem::test {

// Values are in recordings, which do not outlive a test.
enum class StepKind : uint8_t {
  kCreate = 1,    // A new, empty file.
  kWrite = 2,     // `data` at `offset`.
  kTruncate = 3,  // To `offset` bytes, shorter or longer.
  kSync = 4,      // fsync or fdatasync, of a file or a directory.
  kRename = 5,    // `path` becomes `new_path`, in place of what was there.
  kLink = 6,      // `new_path` is another name for `path`.
  kRemove = 7,    // Of a file or an empty directory.
  kMakeDirectory = 8,
};

struct Step {
  StepKind kind = StepKind::kWrite;
  int32_t process = 0;
  // Inodes: of the file or directory, of the directory that holds `path`, of the one that holds `new_path`.
  uint64_t inode = 0, parent = 0, new_parent = 0;
  int64_t offset = 0;
  std::string path, new_path;  // Relative to the recorded directory, which itself is "".
  std::string_view data;       // Lies in the log. Empty when the log keeps no data.
};

}  // namespace tandem::test
