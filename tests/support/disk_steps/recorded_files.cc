#include "tests/support/disk_steps/recorded_files.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/support/disk_steps/step_log.h"

namespace tandem::test {
namespace {

namespace fs = std::filesystem;

StepLog* Log() {
  static StepLog* const log = StepLog::OfThisProcess().release();  // For the life of the process.
  return log;
}

// The caller sees the errno of the call itself.
class KeptErrno {
 public:
  ~KeptErrno() { errno = error_; }

 private:
  const int error_ = errno;
};

std::optional<std::string> LinkTarget(const std::string& link) {
  char target[PATH_MAX];
  const ssize_t size = readlink(link.c_str(), target, sizeof(target));
  if (size < 0) return std::nullopt;
  return std::string(target, size);
}

std::optional<std::string> Relative(std::string_view absolute) {
  const std::string_view root = Log()->directory();
  if (!absolute.starts_with(root)) return std::nullopt;
  absolute.remove_prefix(root.size());
  if (absolute.empty()) return "";
  if (absolute[0] != '/') return std::nullopt;
  return std::string(absolute.substr(1));
}

// Where the file of a descriptor lies now (or lay, when it was removed); nullopt when it is not recorded.
std::optional<std::string> PathOf(int fd) {
  if (Log() == nullptr) return std::nullopt;
  const KeptErrno kept;
  std::optional<std::string> target = LinkTarget("/proc/self/fd/" + std::to_string(fd));
  if (!target.has_value()) return std::nullopt;
  constexpr std::string_view kDeleted = " (deleted)";
  if (target->ends_with(kDeleted)) target->resize(target->size() - kDeleted.size());
  return Relative(*target);
}

std::optional<std::string> PathBelow(int directory, const char* path) {
  if (Log() == nullptr || path == nullptr) return std::nullopt;
  const KeptErrno kept;
  fs::path absolute = path;
  if (!absolute.is_absolute()) {
    const std::optional<std::string> base =
        LinkTarget(directory == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/" + std::to_string(directory));
    if (!base.has_value()) return std::nullopt;
    absolute = fs::path(*base) / absolute;
  }
  std::string normal = absolute.lexically_normal();
  if (normal.size() > 1 && normal.back() == '/') normal.pop_back();
  return Relative(normal);
}

uint64_t InodeOf(int fd) {
  struct stat stat;
  return fstat(fd, &stat) == 0 ? stat.st_ino : 0;
}

uint64_t InodeOfParent(const std::string& relative) {
  struct stat stat;
  const fs::path path = fs::path(Log()->directory()) / relative;
  return ::stat(path.parent_path().c_str(), &stat) == 0 ? stat.st_ino : 0;
}

std::string Joined(const struct iovec* parts, int count) {
  std::string bytes;
  for (int i = 0; i < count; ++i) bytes.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
  return bytes;
}

// Of a file that may be open only for writing.
std::string ReadBack(int fd, off_t offset, size_t size) {
  std::string bytes(size, '\0');
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const int reader = static_cast<int>(syscall(SYS_openat, AT_FDCWD, link.c_str(), O_RDONLY | O_CLOEXEC, 0));
  const ssize_t got = reader < 0 ? 0 : pread(reader, bytes.data(), size, offset);
  if (reader >= 0) close(reader);
  bytes.resize(std::max<ssize_t>(got, 0));
  return bytes;
}

// Carries out `call`, which writes to `fd`, and records `written(bytes)` of it; `written` is called after it.
template <typename Call, typename Written>
ssize_t RecordWrite(int fd, Call call, Written written) {
  const std::optional<std::string> path = PathOf(fd);
  if (!path.has_value()) return call();
  StepLog::Lock lock(Log());
  lock.StopHere(StepKind::kWrite, *path);
  const ssize_t size = call();
  if (size <= 0) return size;
  const KeptErrno kept;
  const auto [offset, data] = written(size);
  lock.Append({.kind = StepKind::kWrite, .inode = InodeOf(fd), .offset = offset, .path = *path, .data = data});
  return size;
}

off_t Position(int fd) { return lseek(fd, 0, SEEK_CUR); }

// Carries out `call`, which gives what is `from` the name `to` (one or both recorded), and records it as `kind`.
template <typename Call>
int RecordNewName(StepKind kind, int from_directory, const char* from, int to_directory, const char* to, Call call) {
  const std::optional<std::string> recorded_from = PathBelow(from_directory, from);
  const std::optional<std::string> recorded_to = PathBelow(to_directory, to);
  if (!recorded_from.has_value() && !recorded_to.has_value()) return call();
  StepLog::Lock lock(Log());
  if (recorded_from.has_value() != recorded_to.has_value()) lock.Find("a name moves into or out of the directory");
  struct stat moved;
  const bool there = fstatat(from_directory, from, &moved, AT_SYMLINK_NOFOLLOW) == 0;
  if (there && recorded_to.has_value()) lock.StopHere(kind, *recorded_to);
  const int result = call();
  const KeptErrno kept;
  if (result == 0 && recorded_from.has_value() && recorded_to.has_value()) {
    lock.Append({.kind = kind,
                 .inode = moved.st_ino,
                 .parent = InodeOfParent(*recorded_from),
                 .new_parent = InodeOfParent(*recorded_to),
                 .path = *recorded_from,
                 .new_path = *recorded_to});
  }
  return result;
}

struct WrittenRange {
  off_t offset;
  std::string_view data;
};

}  // namespace

bool IsRecorded(const char* path) { return PathBelow(AT_FDCWD, path).has_value(); }

int RecordedOpen(int directory, const char* path, int flags, mode_t mode) {
  const auto open = [&] { return static_cast<int>(syscall(SYS_openat, directory, path, flags, mode)); };
  if ((flags & (O_CREAT | O_TRUNC)) == 0 && (flags & O_TMPFILE) != O_TMPFILE) return open();
  const std::optional<std::string> recorded = PathBelow(directory, path);
  if (!recorded.has_value()) return open();
  StepLog::Lock lock(Log());
  if ((flags & O_TMPFILE) == O_TMPFILE) lock.Find("O_TMPFILE");
  struct stat before;
  const bool there = fstatat(directory, path, &before, 0) == 0;
  const bool exclusive = (flags & O_CREAT) != 0 && (flags & O_EXCL) != 0;
  const bool creates = !there && (flags & O_CREAT) != 0;
  const bool truncates = there && (flags & O_TRUNC) != 0 && !exclusive && before.st_size > 0;
  const StepKind kind = creates ? StepKind::kCreate : StepKind::kTruncate;
  if (creates || truncates) lock.StopHere(kind, *recorded);
  const int fd = open();
  if (fd < 0 || !(creates || truncates)) return fd;
  const KeptErrno kept;
  lock.Append({.kind = kind, .inode = InodeOf(fd), .parent = InodeOfParent(*recorded), .path = *recorded});
  return fd;
}

ssize_t RecordedWrite(int fd, const struct iovec* parts, int count) {
  std::string bytes;
  return RecordWrite(
      fd, [&] { return syscall(SYS_writev, fd, parts, count); },
      [&](ssize_t size) {
        bytes = Joined(parts, count);
        return WrittenRange{Position(fd) - size, std::string_view(bytes).substr(0, size)};
      });
}

ssize_t RecordedWriteAt(int fd, const struct iovec* parts, int count, off_t offset) {
  std::string bytes;
  return RecordWrite(
      fd, [&] { return syscall(SYS_pwritev, fd, parts, count, offset, 0); },
      [&](ssize_t size) {
        bytes = Joined(parts, count);
        return WrittenRange{offset, std::string_view(bytes).substr(0, size)};
      });
}

ssize_t RecordedCopyRange(int from, off_t* from_offset, int to, off_t* to_offset, size_t size, unsigned flags) {
  std::string bytes;
  return RecordWrite(
      to, [&] { return syscall(SYS_copy_file_range, from, from_offset, to, to_offset, size, flags); },
      [&](ssize_t copied) {
        const off_t offset = (to_offset != nullptr ? *to_offset : Position(to)) - copied;
        bytes = ReadBack(to, offset, copied);
        return WrittenRange{offset, bytes};
      });
}

ssize_t RecordedSendFile(int to, int from, off_t* offset, size_t size) {
  std::string bytes;
  return RecordWrite(
      to, [&] { return syscall(SYS_sendfile, to, from, offset, size); },
      [&](ssize_t sent) {
        bytes = ReadBack(to, Position(to) - sent, sent);
        return WrittenRange{Position(to) - sent, bytes};
      });
}

int RecordedTruncate(int fd, off_t size) {
  const std::optional<std::string> path = PathOf(fd);
  const auto truncate = [&] { return static_cast<int>(syscall(SYS_ftruncate, fd, size)); };
  if (!path.has_value()) return truncate();
  StepLog::Lock lock(Log());
  lock.StopHere(StepKind::kTruncate, *path);
  const int result = truncate();
  const KeptErrno kept;
  if (result == 0) {
    lock.Append({.kind = StepKind::kTruncate, .inode = InodeOf(fd), .offset = size, .path = *path});
  }
  return result;
}

int RecordedTruncatePath(const char* path, off_t size) {
  if (!IsRecorded(path)) return static_cast<int>(syscall(SYS_truncate, path, size));
  const int fd = static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0));
  if (fd < 0) return -1;
  const int result = RecordedTruncate(fd, size);
  const KeptErrno kept;
  close(fd);
  return result;
}

int RecordedAllocate(int fd, int mode, off_t offset, off_t size) {
  const std::optional<std::string> path = PathOf(fd);
  const auto allocate = [&] { return static_cast<int>(syscall(SYS_fallocate, fd, mode, offset, size)); };
  if (!path.has_value()) return allocate();
  StepLog::Lock lock(Log());
  if (mode != 0) lock.Find("fallocate with a mode");
  lock.StopHere(StepKind::kTruncate, *path);
  struct stat before;
  const bool known = fstat(fd, &before) == 0;
  const int result = allocate();
  const KeptErrno kept;
  if (result == 0 && known && before.st_size < offset + size) {
    lock.Append({.kind = StepKind::kTruncate, .inode = InodeOf(fd), .offset = offset + size, .path = *path});
  }
  return result;
}

int RecordedSync(int fd, bool data_only) {
  const std::optional<std::string> path = PathOf(fd);
  const auto sync = [&] { return static_cast<int>(syscall(data_only ? SYS_fdatasync : SYS_fsync, fd)); };
  if (!path.has_value()) return sync();
  StepLog::Lock lock(Log());
  lock.StopHere(StepKind::kSync, *path);
  const int result = sync();
  const KeptErrno kept;
  if (result == 0) lock.Append({.kind = StepKind::kSync, .inode = InodeOf(fd), .path = *path});
  return result;
}

int RecordedRename(int from_directory, const char* from, int to_directory, const char* to, unsigned flags) {
  if ((flags & ~RENAME_NOREPLACE) != 0 && PathBelow(to_directory, to).has_value()) {
    StepLog::Lock(Log()).Find("renameat2 with a flag");
  }
  return RecordNewName(StepKind::kRename, from_directory, from, to_directory, to, [&] {
    return static_cast<int>(syscall(SYS_renameat2, from_directory, from, to_directory, to, flags));
  });
}

int RecordedLink(int from_directory, const char* from, int to_directory, const char* to, int flags) {
  return RecordNewName(StepKind::kLink, from_directory, from, to_directory, to, [&] {
    return static_cast<int>(syscall(SYS_linkat, from_directory, from, to_directory, to, flags));
  });
}

int RecordedSymlink(const char* target, int directory, const char* path) {
  if (PathBelow(directory, path).has_value()) StepLog::Lock(Log()).Find("a symbolic link");
  return static_cast<int>(syscall(SYS_symlinkat, target, directory, path));
}

int RecordedRemove(int directory, const char* path, int flags) {
  const auto remove = [&] { return static_cast<int>(syscall(SYS_unlinkat, directory, path, flags)); };
  const std::optional<std::string> recorded = PathBelow(directory, path);
  if (!recorded.has_value()) return remove();
  StepLog::Lock lock(Log());
  struct stat stat;
  const bool there = fstatat(directory, path, &stat, AT_SYMLINK_NOFOLLOW) == 0;
  // unlink of a directory fails, and callers try it before rmdir.
  if (there && S_ISDIR(stat.st_mode) == ((flags & AT_REMOVEDIR) != 0)) lock.StopHere(StepKind::kRemove, *recorded);
  const int result = remove();
  const KeptErrno kept;
  if (result == 0) {
    lock.Append(
        {.kind = StepKind::kRemove, .inode = stat.st_ino, .parent = InodeOfParent(*recorded), .path = *recorded});
  }
  return result;
}

int RecordedMakeDirectory(int directory, const char* path, mode_t mode) {
  const auto make = [&] { return static_cast<int>(syscall(SYS_mkdirat, directory, path, mode)); };
  const std::optional<std::string> recorded = PathBelow(directory, path);
  if (!recorded.has_value()) return make();
  StepLog::Lock lock(Log());
  struct stat stat;
  if (fstatat(directory, path, &stat, AT_SYMLINK_NOFOLLOW) != 0) lock.StopHere(StepKind::kMakeDirectory, *recorded);
  const int result = make();
  const KeptErrno kept;
  if (result == 0 && fstatat(directory, path, &stat, AT_SYMLINK_NOFOLLOW) == 0) {
    lock.Append({.kind = StepKind::kMakeDirectory,
                 .inode = stat.st_ino,
                 .parent = InodeOfParent(*recorded),
                 .path = *recorded});
  }
  return result;
}

}  // namespace tandem::test
