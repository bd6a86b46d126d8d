#include "server/base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "server/base/ids.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;

constexpr char kStagingPrefix[] = ".staging-";

absl::Status ErrnoStatus(const fs::path& path, int error) {
  const std::string message = Concat(path.string(), ": ", std::strerror(error));
  if (error == ENOENT) return absl::NotFoundError(message);
  if (error == ENOSPC) return absl::ResourceExhaustedError(message);
  return absl::InternalError(message);
}

absl::Status CodeStatus(const fs::path& path, const std::error_code& code) { return ErrnoStatus(path, code.value()); }

// The steps that change the disk, each with its error as a Status. What is published goes through them in the order
// write, sync, rename, sync of the parent, so that a crash between any two leaves only staging names.
absl::Status WriteStep(const fs::path& path, int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoStatus(path, errno);
    bytes.remove_prefix(written);
  }
  return absl::OkStatus();
}

absl::Status SyncStep(const fs::path& path, int fd) {
  return ::fsync(fd) == 0 ? absl::OkStatus() : ErrnoStatus(path, errno);
}

absl::Status RenameStep(const fs::path& from, const fs::path& to) {
  return ::rename(from.c_str(), to.c_str()) == 0 ? absl::OkStatus() : ErrnoStatus(to, errno);
}

absl::Status RemoveStep(const fs::path& path) {
  std::error_code code;
  fs::remove_all(path, code);
  return code ? CodeStatus(path, code) : absl::OkStatus();
}

absl::Status SyncPath(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(path, errno);
  const auto close_fd = absl::MakeCleanup([fd] { ::close(fd); });
  return SyncStep(path, fd);
}

fs::path ParentOf(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : fs::path("."); }

fs::path StagingName(const fs::path& final_path) {
  return ParentOf(final_path) / Concat(kStagingPrefix, final_path.filename().string(), "-", NewId());
}

// Every entry below `directory`, in no order; does not follow symbolic links.
absl::StatusOr<std::vector<fs::directory_entry>> EntriesBelow(const fs::path& directory) {
  std::error_code code;
  std::vector<fs::directory_entry> entries;
  fs::recursive_directory_iterator it(directory, code);
  for (; !code && it != fs::recursive_directory_iterator(); it.increment(code)) entries.push_back(*it);
  if (code) return CodeStatus(directory, code);
  return entries;
}

absl::Status WriteAndSync(const fs::path& path, std::string_view bytes) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) return ErrnoStatus(path, errno);
  const auto close_fd = absl::MakeCleanup([fd] { ::close(fd); });
  RETURN_IF_ERROR(WriteStep(path, fd, bytes));
  return SyncStep(path, fd);
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(path, errno);
  const auto close_fd = absl::MakeCleanup([fd] { ::close(fd); });
  struct stat stat;
  if (::fstat(fd, &stat) != 0) return ErrnoStatus(path, errno);
  std::string bytes;
  bytes.reserve(stat.st_size);
  std::vector<char> block(std::clamp<int64_t>(stat.st_size + 1, 4096, 1 << 20));
  while (true) {
    const ssize_t count = ::read(fd, block.data(), block.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoStatus(path, errno);
    if (count == 0) return bytes;
    bytes.append(block.data(), count);
  }
}

absl::Status WriteFileDurably(const fs::path& path, std::string_view bytes) {
  const fs::path staging = StagingName(path);
  absl::Status status = WriteAndSync(staging, bytes);
  if (status.ok()) status = RenameStep(staging, path);
  if (!status.ok()) {
    ::unlink(staging.c_str());
    return status;
  }
  return SyncPath(ParentOf(path));
}

absl::StatusOr<fs::path> MakeStagingDirectory(const fs::path& final_path) {
  RETURN_IF_ERROR(CreateDirectories(ParentOf(final_path)));
  const fs::path staging = StagingName(final_path);
  if (::mkdir(staging.c_str(), 0755) != 0) return ErrnoStatus(staging, errno);
  return staging;
}

absl::Status PublishDirectory(const fs::path& staging, const fs::path& final_path) {
  std::error_code code;
  if (fs::exists(fs::symlink_status(final_path, code))) {
    return absl::AlreadyExistsError(Concat(final_path.string(), ": is there already"));
  }
  ASSIGN_OR_RETURN(const std::vector<fs::directory_entry> entries, EntriesBelow(staging));
  for (const fs::directory_entry& entry : entries) {
    if (!entry.is_symlink(code)) RETURN_IF_ERROR(SyncPath(entry.path()));
  }
  RETURN_IF_ERROR(SyncPath(staging));
  RETURN_IF_ERROR(RenameStep(staging, final_path));
  return SyncPath(ParentOf(final_path));
}

absl::Status RemoveStaging(const fs::path& parent) {
  std::error_code code;
  std::vector<fs::path> stale;
  fs::directory_iterator it(parent, code);
  for (; !code && it != fs::directory_iterator(); it.increment(code)) {
    if (it->path().filename().string().starts_with(kStagingPrefix)) stale.push_back(it->path());
  }
  if (code.value() == ENOENT) return absl::OkStatus();
  if (code) return CodeStatus(parent, code);
  for (const fs::path& path : stale) RETURN_IF_ERROR(RemoveStep(path));
  return absl::OkStatus();
}

absl::Status CreateDirectories(const fs::path& path) {
  std::error_code code;
  if (fs::is_directory(path, code)) return absl::OkStatus();
  if (path.has_parent_path() && path.parent_path() != path) RETURN_IF_ERROR(CreateDirectories(path.parent_path()));
  if (::mkdir(path.c_str(), 0755) != 0) {
    const int error = errno;
    // Another thread may have made it in between.
    return error == EEXIST && fs::is_directory(path, code) ? absl::OkStatus() : ErrnoStatus(path, error);
  }
  return SyncPath(ParentOf(path));
}

absl::Status RemoveTree(const fs::path& path) { return RemoveStep(path); }

absl::Status CopyTree(const fs::path& from, const fs::path& to) {
  std::error_code code;
  if (!fs::is_directory(from, code)) return ErrnoStatus(from, code ? code.value() : ENOTDIR);
  RETURN_IF_ERROR(CreateDirectories(to));
  ASSIGN_OR_RETURN(const std::vector<fs::directory_entry> entries, EntriesBelow(from));
  for (const fs::directory_entry& entry : entries) {
    if (entry.is_symlink(code)) continue;
    const fs::path target = to / entry.path().lexically_relative(from);
    if (entry.is_directory(code)) {
      RETURN_IF_ERROR(CreateDirectories(target));
    } else if (entry.is_regular_file(code)) {
      fs::copy_file(entry.path(), target, code);
      if (code) return CodeStatus(target, code);
    }
  }
  return absl::OkStatus();
}

absl::Status LinkOrCopy(const fs::path& from, const fs::path& to) {
  if (::link(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
  const int error = errno;
  if (error == ENOENT || error == EEXIST) return ErrnoStatus(error == ENOENT ? from : to, error);
  std::error_code code;  // Another file system, or one without links.
  fs::copy_file(from, to, code);
  return code ? CodeStatus(to, code) : absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> ListFiles(const fs::path& directory) {
  ASSIGN_OR_RETURN(const std::vector<fs::directory_entry> entries, EntriesBelow(directory));
  std::vector<std::string> files;
  std::error_code code;
  for (const fs::directory_entry& entry : entries) {
    if (!entry.is_symlink(code) && entry.is_regular_file(code)) {
      files.push_back(entry.path().lexically_relative(directory).string());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace tandem
