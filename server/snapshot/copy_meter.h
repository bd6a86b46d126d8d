#pragma once
// How far a snapshot's task is. Not thread-safe.

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <system_error>

#include "absl/status/status.h"
#include "server/snapshot/snapshots.h"

namespace tandem {

class CopyMeter {
 public:
  explicit CopyMeter(const SnapshotTask& task) : task_(task) {}

  void Expect(int64_t bytes) { all_ += bytes; }
  absl::Status Add(int64_t bytes) {
    done_ += bytes;
    return task_.progress(done_, std::max(done_, all_));
  }

  static int64_t SizeOf(const std::filesystem::path& file) {
    std::error_code error;
    const auto size = std::filesystem::file_size(file, error);
    return error ? 0 : static_cast<int64_t>(size);
  }

 private:
  const SnapshotTask& task_;
  int64_t done_ = 0, all_ = 0;
};

}  // namespace tandem
