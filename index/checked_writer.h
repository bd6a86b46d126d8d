#pragma once
// Writes one new file from front to back and keeps its CRC-32C. Not fsynced. For one thread.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

class CheckedWriter {
 public:
  // The file must not be there yet. Errors name the path and errno's text; RESOURCE_EXHAUSTED when the disk is full.
  static absl::StatusOr<std::unique_ptr<CheckedWriter>> Create(const std::filesystem::path& path);
  ~CheckedWriter();  // What is still buffered is dropped: only Close makes the file whole.

  absl::Status Append(std::string_view bytes);
  // Call last; returns the checksum of all that was appended.
  absl::StatusOr<uint32_t> Close();

 private:
  CheckedWriter(std::filesystem::path path, int fd);
  absl::Status Flush();
  absl::Status Write(std::string_view bytes);

  const std::filesystem::path path_;
  int fd_;              // -1 once closed.
  std::string buffer_;  // Rows come by the vector, 1.5 KB for 384 dimensions; a write(2) takes 256 KiB of them.
  uint32_t checksum_ = 0;
};

}  // namespace tandem
