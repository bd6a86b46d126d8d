#include "index/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/cleanup/cleanup.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

absl::Status ErrnoStatus(const std::filesystem::path& path, int error) {
  const std::string message = Concat(path.string(), ": ", std::strerror(error));
  return error == ENOENT ? absl::NotFoundError(message) : absl::InternalError(message);
}

}  // namespace

absl::StatusOr<std::unique_ptr<const MappedFile>> MappedFile::Open(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(path, errno);
  const auto close_fd = absl::MakeCleanup([fd] { ::close(fd); });
  struct stat stat;
  if (::fstat(fd, &stat) != 0) return ErrnoStatus(path, errno);
  const size_t size = static_cast<size_t>(stat.st_size);
  void* address = nullptr;
  if (size > 0) {
    address = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
    if (address == MAP_FAILED) return ErrnoStatus(path, errno);
  }
  return std::unique_ptr<const MappedFile>(new MappedFile(address, size));
}

MappedFile::~MappedFile() {
  if (address_ != nullptr) ::munmap(address_, size_);
}

}  // namespace tandem
