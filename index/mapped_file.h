#pragma once
// A whole file mapped read-only into memory. Immutable and thread-safe; the file must not be truncated while mapped
// (removing its name is fine).

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string_view>

#include "absl/status/statusor.h"

namespace tandem {

class MappedFile {
 public:
  // NOT_FOUND or INTERNAL with the path and errno's text.
  static absl::StatusOr<std::unique_ptr<const MappedFile>> Open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::string_view bytes() const { return {static_cast<const char*>(address_), size_}; }

 private:
  MappedFile(void* address, size_t size) : address_(address), size_(size) {}
  void* const address_;  // nullptr for an empty file.
  const size_t size_;
};

}  // namespace tandem
