#include "index/checked_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "server/base/files.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

constexpr size_t kBufferBytes = 256 << 10;

absl::Status ErrnoStatus(const std::filesystem::path& path, int error) {
  const std::string message = Concat(path.string(), ": ", std::strerror(error));
  return error == ENOSPC ? absl::ResourceExhaustedError(message) : absl::InternalError(message);
}

}  // namespace

CheckedWriter::CheckedWriter(std::filesystem::path path, int fd) : path_(std::move(path)), fd_(fd) {
  buffer_.reserve(kBufferBytes);
}

CheckedWriter::~CheckedWriter() {
  if (fd_ >= 0) ::close(fd_);
}

absl::StatusOr<std::unique_ptr<CheckedWriter>> CheckedWriter::Create(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) return ErrnoStatus(path, errno);
  return std::unique_ptr<CheckedWriter>(new CheckedWriter(path, fd));
}

absl::Status CheckedWriter::Append(std::string_view bytes) {
  checksum_ = ExtendCrc32c(checksum_, bytes);
  if (buffer_.size() + bytes.size() > kBufferBytes) RETURN_IF_ERROR(Flush());
  if (bytes.size() >= kBufferBytes) return Write(bytes);
  buffer_.append(bytes);
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> CheckedWriter::Close() {
  RETURN_IF_ERROR(Flush());
  if (::close(std::exchange(fd_, -1)) != 0) return ErrnoStatus(path_, errno);
  return checksum_;
}

absl::Status CheckedWriter::Flush() {
  RETURN_IF_ERROR(Write(buffer_));
  buffer_.clear();
  return absl::OkStatus();
}

absl::Status CheckedWriter::Write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoStatus(path_, errno);
    bytes.remove_prefix(written);
  }
  return absl::OkStatus();
}

}  // namespace tandem
