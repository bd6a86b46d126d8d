#pragma once
// A model revision on its way into the server: files in a staging directory, which becomes the revision's directory by
// one rename once DescribeModel accepts it. Destroyed before Publish, it leaves nothing. Used by one thread.

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/encoder/encoder.h"
#include "server/storage/meta_store.h"

namespace tandem {

class ModelUpload {
 public:
  // `directory` is where the revision will lie.
  explicit ModelUpload(std::filesystem::path directory) : directory_(std::move(directory)) {}
  ~ModelUpload();

  absl::Status Begin();
  // Appends to a file; files come one after another. `path` is relative and was validated. InvalidField on "chunk.path"
  // for a file that was ended already, or for too many files or bytes.
  absl::Status Append(std::string_view path, std::string_view data);
  // Takes the files of a directory below `root`, which a path with symbolic links must not leave. InvalidField on
  // "header.directory".
  absl::Status CopyFrom(const std::filesystem::path& root, std::string_view directory);
  // Checks what is there and gives it its name.
  absl::StatusOr<ModelDescription> Publish();

  int64_t bytes() const { return bytes_; }

 private:
  absl::Status EndFile();

  const std::filesystem::path directory_;
  std::filesystem::path staging_;  // Empty when there is none.
  std::ofstream file_;
  std::string path_;  // Of file_, relative.
  std::set<std::string> paths_;
  int64_t bytes_ = 0;
};

// Removes what a crash left in <data>/models: staging directories, and revisions without a row whose model no
// unfinished job is going to add to. Called before anything writes there.
absl::Status CleanModelDirectories(const std::filesystem::path& data_directory, MetaStore* meta);

}  // namespace tandem
