#pragma once
// Writes one new file from front to back and keeps its CRC-32C. Not fsynced. For one thread.

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

class CheckedWriter {
 public:
  // The file must not be there yet.
  static absl::StatusOr<std::unique_ptr<CheckedWriter>> Create(const std::filesystem::path& path);
  ~CheckedWriter();

  absl::Status Append(std::string_view bytes);
  // Call last; returns the checksum of all that was appended.
  absl::StatusOr<uint32_t> Close();

 private:
  CheckedWriter(std::filesystem::path path, std::FILE* file);
  const std::filesystem::path path_;
  std::FILE* file_;  // nullptr once closed.
  uint32_t checksum_ = 0;
};

}  // namespace tandem
