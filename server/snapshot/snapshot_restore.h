#pragma once
// One attempt to make a collection of a snapshot. See snapshots.h. The steps, each of which leaves nothing visible
// before the last: check every file; stage the collection's directory; publish the model revision's directory, which no
// row names yet; publish the collection's directory and write all rows in one transaction.

#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/snapshot/copy_meter.h"
#include "server/snapshot/snapshots.h"

namespace tandem {

class SnapshotRestore {
 public:
  SnapshotRestore(const std::filesystem::path& data_directory, const std::filesystem::path& path,
                  const SnapshotTask& task, const SnapshotManifest& manifest, MetaStore* meta,
                  Collections* collections);

  absl::Status Run();

 private:
  absl::Status CheckFiles();
  absl::Status Stage(const std::filesystem::path& staging);
  absl::StatusOr<CollectionCopy> ReadMeta(const std::filesystem::path& staging) const;
  // Whether it made the directory.
  absl::StatusOr<bool> PublishModel(const ModelRevisionRecord& revision) const;
  absl::Status Make(const std::filesystem::path& staging, const CollectionCopy& copy);
  absl::Status Named(const absl::Status& status) const;  // With the snapshot's name in front.

  const std::filesystem::path data_directory_, path_;
  const SnapshotTask& task_;
  const SnapshotManifest& manifest_;
  MetaStore* const meta_;
  Collections* const collections_;
  CopyMeter meter_;
};

}  // namespace tandem
