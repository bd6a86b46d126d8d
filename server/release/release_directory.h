#pragma once
// Where a release's files lie:
//   <data>/collections/<tenant>/<collection>/releases/<release>/
//     sealed-<commit>/   a sealed index (index/vector_index.h) of the documents up to that commit; published by rename
//     rebuilding         there while the index is built again from the log: until it is gone the release may not
//     answer;
//                        holds the commit that it had shown before, in decimal
// More than one sealed directory is there only after a crash between publishing the newer one and removing the older.
// Do not change the names: directories outlive binaries. No state besides the path; one writer a release.

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

std::filesystem::path CollectionsRoot(const std::filesystem::path& data);
std::filesystem::path CollectionDirectory(const std::filesystem::path& data, std::string_view tenant,
                                          std::string_view collection);
std::filesystem::path DocumentsPath(const std::filesystem::path& collection_directory);
std::filesystem::path ReleasesDirectory(const std::filesystem::path& collection_directory);
std::filesystem::path ModelRevisionDirectory(const std::filesystem::path& data, std::string_view tenant,
                                             std::string_view model, std::string_view revision);

class ReleaseDirectory {
 public:
  ReleaseDirectory(const std::filesystem::path& collection_directory, std::string_view release);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path SealedPath(int64_t commit) const;

  // Makes the directory and removes what unfinished work left in it.
  absl::Status Prepare() const;
  // Commits of the sealed directories, newest first.
  absl::StatusOr<std::vector<int64_t>> SealedCommits() const;
  // Removes every sealed directory but the one of `commit` (0: all of them).
  absl::Status KeepOnly(int64_t commit) const;

  bool Rebuilding() const;
  // The commit that the release had shown when its index was lost; 0 when it is not built again, or never showed one.
  int64_t ShownBefore() const;
  absl::Status MarkRebuilding(int64_t shown_before) const;
  absl::Status ClearRebuilding() const;

 private:
  const std::filesystem::path path_;
};

// Names of the directories directly in `parent`, sorted; empty when it is not there.
absl::StatusOr<std::vector<std::string>> ListDirectories(const std::filesystem::path& parent);

}  // namespace tandem
