#pragma once
// Files that are never visible half-written. A file or directory is written under a staging name (in the same parent,
// prefixed ".staging-"), fsynced, renamed, and the parent is fsynced; what a crash leaves behind still has its staging
// name and RemoveStaging clears it at start. All functions are thread-safe for distinct paths; errors name the path and
// errno's text (NOT_FOUND for ENOENT, RESOURCE_EXHAUSTED for ENOSPC, INTERNAL otherwise).

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

absl::StatusOr<std::string> ReadFile(const std::filesystem::path& path);

// Writes, fsyncs and renames over `path`.
absl::Status WriteFileDurably(const std::filesystem::path& path, std::string_view bytes);

// Creates and returns the path of a fresh, empty staging directory beside `final_path`.
absl::StatusOr<std::filesystem::path> MakeStagingDirectory(const std::filesystem::path& final_path);

// Fsyncs every file and directory below `staging`, renames it to `final_path` (which must not exist) and fsyncs the
// parent.
absl::Status PublishDirectory(const std::filesystem::path& staging, const std::filesystem::path& final_path);

// Removes every ".staging-*" entry directly in `parent`.
absl::Status RemoveStaging(const std::filesystem::path& parent);

absl::Status CreateDirectories(const std::filesystem::path& path);
absl::Status RemoveTree(const std::filesystem::path& path);  // OK when it is not there.

// Copies regular files and directories; hard-links nothing, follows no symbolic link.
absl::Status CopyTree(const std::filesystem::path& from, const std::filesystem::path& to);

// Relative paths of all regular files below `directory`, sorted.
absl::StatusOr<std::vector<std::string>> ListFiles(const std::filesystem::path& directory);

// A second name of a file that never changes, or, on another file system, a copy. `to` is not there yet.
absl::Status LinkOrCopy(const std::filesystem::path& from, const std::filesystem::path& to);

// Lower-case hexadecimal SHA-256 of a file. `proceed`, when it is set, is told how many bytes were read since it was
// called last, a MiB or less; its error ends the reading and is returned.
absl::StatusOr<std::string> FileSha256(const std::filesystem::path& path,
                                       const std::function<absl::Status(int64_t bytes)>& proceed = nullptr);

// CRC-32C (Castagnoli), the checksum of every frame and manifest of tandem's files; do not change.
uint32_t Crc32c(std::string_view bytes);

// Crc32c of what `crc` is the checksum of, followed by `bytes`: for data that comes in pieces; 0 for nothing yet.
uint32_t ExtendCrc32c(uint32_t crc, std::string_view bytes);

}  // namespace tandem
