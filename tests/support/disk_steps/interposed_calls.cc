// The library that is preloaded into recorded processes: libc's functions that change files, under libc's names. What
// they do is in recorded_files.h.
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/support/disk_steps/recorded_files.h"

#define INTERPOSED __attribute__((visibility("default")))

namespace {

using namespace tandem::test;  // NOLINT: the functions below cannot lie in a namespace.

struct iovec Part(const void* bytes, size_t size) {
  return {const_cast<void*>(bytes), size};
}

// A stream over a descriptor that was opened, and recorded, here. Streams that only read stay with libc.
FILE* OpenStream(const char* path, const char* mode, const char* function) {
  if (std::strpbrk(mode, "wa+") == nullptr || !IsRecorded(path)) {
    using Function = FILE* (*)(const char*, const char*);
    return reinterpret_cast<Function>(dlsym(RTLD_NEXT, function))(path, mode);
  }
  int flags = std::strchr(mode, '+') != nullptr ? O_RDWR : mode[0] == 'r' ? O_RDONLY : O_WRONLY;
  if (mode[0] != 'r') flags |= O_CREAT | (mode[0] == 'a' ? O_APPEND : O_TRUNC);
  if (std::strchr(mode, 'x') != nullptr) flags |= O_EXCL;
  if (std::strchr(mode, 'e') != nullptr) flags |= O_CLOEXEC;
  const int fd = RecordedOpen(AT_FDCWD, path, flags, 0666);
  return fd < 0 ? nullptr : fdopen(fd, mode);
}

}  // namespace

extern "C" {

#define OPEN_MODE(flags, mode)                  \
  mode_t mode = 0;                              \
  if (((flags) & (O_CREAT | O_TMPFILE)) != 0) { \
    va_list arguments;                          \
    va_start(arguments, flags);                 \
    mode = va_arg(arguments, mode_t);           \
    va_end(arguments);                          \
  }

INTERPOSED int open(const char* path, int flags, ...) {
  OPEN_MODE(flags, mode)
  return RecordedOpen(AT_FDCWD, path, flags, mode);
}
INTERPOSED int open64(const char* path, int flags, ...) {
  OPEN_MODE(flags, mode)
  return RecordedOpen(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}
INTERPOSED int openat(int directory, const char* path, int flags, ...) {
  OPEN_MODE(flags, mode)
  return RecordedOpen(directory, path, flags, mode);
}
INTERPOSED int openat64(int directory, const char* path, int flags, ...) {
  OPEN_MODE(flags, mode)
  return RecordedOpen(directory, path, flags | O_LARGEFILE, mode);
}
INTERPOSED int creat(const char* path, mode_t mode) {
  return RecordedOpen(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}
INTERPOSED int creat64(const char* path, mode_t mode) { return creat(path, mode); }
INTERPOSED FILE* fopen(const char* path, const char* mode) { return OpenStream(path, mode, "fopen"); }
INTERPOSED FILE* fopen64(const char* path, const char* mode) { return OpenStream(path, mode, "fopen64"); }

INTERPOSED ssize_t write(int fd, const void* bytes, size_t size) {
  const struct iovec part = Part(bytes, size);
  return RecordedWrite(fd, &part, 1);
}
INTERPOSED ssize_t writev(int fd, const struct iovec* parts, int count) { return RecordedWrite(fd, parts, count); }
INTERPOSED ssize_t pwrite(int fd, const void* bytes, size_t size, off_t offset) {
  const struct iovec part = Part(bytes, size);
  return RecordedWriteAt(fd, &part, 1, offset);
}
INTERPOSED ssize_t pwrite64(int fd, const void* bytes, size_t size, off64_t offset) {
  const struct iovec part = Part(bytes, size);
  return RecordedWriteAt(fd, &part, 1, offset);
}
INTERPOSED ssize_t pwritev(int fd, const struct iovec* parts, int count, off_t offset) {
  return RecordedWriteAt(fd, parts, count, offset);
}
INTERPOSED ssize_t pwritev64(int fd, const struct iovec* parts, int count, off64_t offset) {
  return RecordedWriteAt(fd, parts, count, offset);
}
INTERPOSED ssize_t copy_file_range(int from, off64_t* from_offset, int to, off64_t* to_offset, size_t size,
                                   unsigned flags) {
  return RecordedCopyRange(from, from_offset, to, to_offset, size, flags);
}
INTERPOSED ssize_t sendfile(int to, int from, off_t* offset, size_t size) noexcept {
  return RecordedSendFile(to, from, offset, size);
}
INTERPOSED ssize_t sendfile64(int to, int from, off64_t* offset, size_t size) noexcept {
  return RecordedSendFile(to, from, offset, size);
}

INTERPOSED int ftruncate(int fd, off_t size) noexcept { return RecordedTruncate(fd, size); }
INTERPOSED int ftruncate64(int fd, off64_t size) noexcept { return RecordedTruncate(fd, size); }
INTERPOSED int truncate(const char* path, off_t size) noexcept { return RecordedTruncatePath(path, size); }
INTERPOSED int truncate64(const char* path, off64_t size) noexcept { return RecordedTruncatePath(path, size); }
INTERPOSED int fallocate(int fd, int mode, off_t offset, off_t size) {
  return RecordedAllocate(fd, mode, offset, size);
}
INTERPOSED int fallocate64(int fd, int mode, off64_t offset, off64_t size) {
  return RecordedAllocate(fd, mode, offset, size);
}
// These return the error.
INTERPOSED int posix_fallocate(int fd, off_t offset, off_t size) {
  return RecordedAllocate(fd, 0, offset, size) == 0 ? 0 : errno;
}
INTERPOSED int posix_fallocate64(int fd, off64_t offset, off64_t size) {
  return RecordedAllocate(fd, 0, offset, size) == 0 ? 0 : errno;
}

INTERPOSED int fsync(int fd) { return RecordedSync(fd, false); }
INTERPOSED int fdatasync(int fd) { return RecordedSync(fd, true); }

INTERPOSED int rename(const char* from, const char* to) noexcept {
  return RecordedRename(AT_FDCWD, from, AT_FDCWD, to, 0);
}
INTERPOSED int renameat(int from_directory, const char* from, int to_directory, const char* to) noexcept {
  return RecordedRename(from_directory, from, to_directory, to, 0);
}
INTERPOSED int renameat2(int from_directory, const char* from, int to_directory, const char* to,
                         unsigned flags) noexcept {
  return RecordedRename(from_directory, from, to_directory, to, flags);
}
INTERPOSED int link(const char* from, const char* to) noexcept { return RecordedLink(AT_FDCWD, from, AT_FDCWD, to, 0); }
INTERPOSED int linkat(int from_directory, const char* from, int to_directory, const char* to, int flags) noexcept {
  return RecordedLink(from_directory, from, to_directory, to, flags);
}
INTERPOSED int symlink(const char* target, const char* path) noexcept {
  return RecordedSymlink(target, AT_FDCWD, path);
}
INTERPOSED int symlinkat(const char* target, int directory, const char* path) noexcept {
  return RecordedSymlink(target, directory, path);
}
INTERPOSED int unlink(const char* path) noexcept { return RecordedRemove(AT_FDCWD, path, 0); }
INTERPOSED int unlinkat(int directory, const char* path, int flags) noexcept {
  return RecordedRemove(directory, path, flags);
}
INTERPOSED int rmdir(const char* path) noexcept { return RecordedRemove(AT_FDCWD, path, AT_REMOVEDIR); }
INTERPOSED int remove(const char* path) noexcept {
  const int result = RecordedRemove(AT_FDCWD, path, 0);
  return result == 0 || errno != EISDIR ? result : RecordedRemove(AT_FDCWD, path, AT_REMOVEDIR);
}
INTERPOSED int mkdir(const char* path, mode_t mode) noexcept { return RecordedMakeDirectory(AT_FDCWD, path, mode); }
INTERPOSED int mkdirat(int directory, const char* path, mode_t mode) noexcept {
  return RecordedMakeDirectory(directory, path, mode);
}

}  // extern "C"
