#include "index/checked_writer.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "server/base/files.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

absl::Status ErrnoStatus(const std::filesystem::path& path, int error) {
  const std::string message = Concat(path.string(), ": ", std::strerror(error));
  return error == ENOSPC ? absl::ResourceExhaustedError(message) : absl::InternalError(message);
}

}  // namespace

CheckedWriter::CheckedWriter(std::filesystem::path path, std::FILE* file) : path_(std::move(path)), file_(file) {}

CheckedWriter::~CheckedWriter() {
  if (file_ != nullptr) std::fclose(file_);
}

absl::StatusOr<std::unique_ptr<CheckedWriter>> CheckedWriter::Create(const std::filesystem::path& path) {
  std::FILE* file = std::fopen(path.c_str(), "wbxe");
  if (file == nullptr) return ErrnoStatus(path, errno);
  std::setvbuf(file, nullptr, _IOFBF, 1 << 18);
  return std::unique_ptr<CheckedWriter>(new CheckedWriter(path, file));
}

absl::Status CheckedWriter::Append(std::string_view bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size()) return ErrnoStatus(path_, errno);
  checksum_ = ExtendCrc32c(checksum_, bytes);
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> CheckedWriter::Close() {
  const int failed = std::fclose(std::exchange(file_, nullptr));
  if (failed != 0) return ErrnoStatus(path_, errno);
  return checksum_;
}

}  // namespace tandem
