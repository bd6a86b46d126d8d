#include "server/release/release_directory.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <optional>
#include <string>
#include <system_error>

#include "server/base/files.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

constexpr std::string_view kSealedPrefix = "sealed-";
constexpr char kRebuildingFile[] = "rebuilding";

std::optional<int64_t> SealedCommit(std::string_view name) {
  if (!name.starts_with(kSealedPrefix)) return std::nullopt;
  name.remove_prefix(kSealedPrefix.size());
  int64_t commit = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), commit);
  if (error != std::errc() || end != name.data() + name.size() || commit < 0) return std::nullopt;
  return commit;
}

}  // namespace

std::filesystem::path CollectionsRoot(const std::filesystem::path& data) { return data / "collections"; }

std::filesystem::path CollectionDirectory(const std::filesystem::path& data, std::string_view tenant,
                                          std::string_view collection) {
  return CollectionsRoot(data) / tenant / collection;
}

std::filesystem::path DocumentsPath(const std::filesystem::path& collection_directory) {
  return collection_directory / "documents.db";
}

std::filesystem::path ReleasesDirectory(const std::filesystem::path& collection_directory) {
  return collection_directory / "releases";
}

std::filesystem::path ModelRevisionDirectory(const std::filesystem::path& data, std::string_view tenant,
                                             std::string_view model, std::string_view revision) {
  return data / "models" / tenant / model / revision;
}

ReleaseDirectory::ReleaseDirectory(const std::filesystem::path& collection_directory, std::string_view release)
    : path_(ReleasesDirectory(collection_directory) / release) {}

std::filesystem::path ReleaseDirectory::SealedPath(int64_t commit) const {
  return path_ / Concat(kSealedPrefix, commit);
}

absl::Status ReleaseDirectory::Prepare() const {
  RETURN_IF_ERROR(CreateDirectories(path_));
  return RemoveStaging(path_);
}

absl::StatusOr<std::vector<int64_t>> ReleaseDirectory::SealedCommits() const {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectories(path_));
  std::vector<int64_t> commits;
  for (const std::string& name : names) {
    if (const std::optional<int64_t> commit = SealedCommit(name)) commits.push_back(*commit);
  }
  std::sort(commits.begin(), commits.end(), std::greater<>());
  return commits;
}

absl::Status ReleaseDirectory::KeepOnly(int64_t commit) const {
  ASSIGN_OR_RETURN(const std::vector<int64_t> commits, SealedCommits());
  for (const int64_t other : commits) {
    if (other != commit || commit == 0) RETURN_IF_ERROR(RemoveTree(SealedPath(other)));
  }
  return absl::OkStatus();
}

bool ReleaseDirectory::Rebuilding() const {
  std::error_code error;
  // When in doubt the release is taken for one that may not answer yet.
  return std::filesystem::exists(path_ / kRebuildingFile, error) || error;
}

int64_t ReleaseDirectory::ShownBefore() const {
  const absl::StatusOr<std::string> text = ReadFile(path_ / kRebuildingFile);
  int64_t commit = 0;
  if (text.ok()) std::from_chars(text->data(), text->data() + text->size(), commit);
  return commit;
}

absl::Status ReleaseDirectory::MarkRebuilding(int64_t shown_before) const {
  return WriteFileDurably(path_ / kRebuildingFile, Concat(std::max(shown_before, ShownBefore())));
}

absl::Status ReleaseDirectory::ClearRebuilding() const { return RemoveTree(path_ / kRebuildingFile); }

absl::StatusOr<std::vector<std::string>> ListDirectories(const std::filesystem::path& parent) {
  std::vector<std::string> names;
  std::error_code error;
  if (!std::filesystem::exists(parent, error) && !error) return names;
  for (std::filesystem::directory_iterator entry(parent, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    if (entry->is_directory(ignored)) names.push_back(entry->path().filename().string());
  }
  if (error) return absl::InternalError(Concat(parent.string(), ": ", error.message()));
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace tandem
