#pragma once
// Copies of collections in a directory of their own: <directory>/<tenant>/<snapshot>/ (snapshot_manifest.h). A snapshot
// is written under a staging name and published by rename; so is the collection that is made of one. Whatever is broken
// off leaves only what Start clears. Files that never change (sealed indexes, model revisions) are second names of the
// collection's own where the file system is the same.
//
// Thread-safe. Create and Restore take as long as reading and writing all that the collection has, and are made to be
// called again by the same job after they were broken off at any point.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/release/collections.h"
#include "server/snapshot/snapshot_manifest.h"
#include "server/storage/meta_store.h"

namespace tandem {

struct SnapshotOptions {
  std::filesystem::path directory;
  std::filesystem::path data_directory;
};

struct SnapshotTask {
  std::string tenant, snapshot, collection;  // Ids.
  std::string job;                           // Who asks: a task that this job has done already is not done again.
  // Told how many bytes were copied or checked, of how many; an error that it returns ends the task.
  std::function<absl::Status(int64_t done, int64_t all)> progress;
};

class Snapshots {
 public:
  // All outlive this.
  Snapshots(SnapshotOptions options, MetaStore* meta, Collections* collections);

  absl::Status Start();  // Clears what was broken off.

  // Of the collection at one commit, that its live release has; reads and writes go on. ALREADY_EXISTS when the id is
  // taken; UNAVAILABLE while the live release cannot be copied.
  absl::StatusOr<SnapshotManifest> Create(const SnapshotTask& task);

  // Makes the collection, and its model revision where it is not there. Every checksum is looked at before anything is
  // made. DATA_LOSS names a file that is damaged, FAILED_PRECONDITION a newer format or a model revision that is there
  // with other weights, ALREADY_EXISTS a collection that is there.
  absl::StatusOr<SnapshotManifest> Restore(const SnapshotTask& task);

  absl::StatusOr<SnapshotManifest> Get(std::string_view tenant, std::string_view id);  // NOT_FOUND.
  // By id; one that cannot be read is left out, and the log says so.
  absl::StatusOr<std::vector<SnapshotManifest>> List(std::string_view tenant, const Page& page);
  absl::Status Delete(std::string_view tenant, std::string_view id);
  // One tar file with everything in a folder of the snapshot's name, in pieces of at most `piece_bytes`. An error of
  // `write` ends it.
  absl::Status Download(std::string_view tenant, std::string_view id, size_t piece_bytes,
                        const std::function<absl::Status(std::string_view piece)>& write);

 private:
  std::filesystem::path PathOf(std::string_view tenant, std::string_view id) const;

  const SnapshotOptions options_;
  MetaStore* const meta_;
  Collections* const collections_;
};

}  // namespace tandem
