#pragma once
// One attempt to make a snapshot. See snapshots.h.
//
// What has to fit together: documents.db holds, beside the documents, the live release's cursor and the vectors after
// its sealed index; so the index must be one from between that sealed commit and that cursor. The index is linked first
// and documents.db copied after it, at one moment; when the release was sealed again in between, both are taken again.

#include <cstdint>
#include <filesystem>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/snapshot/copy_meter.h"
#include "server/snapshot/snapshots.h"

namespace tandem {

class SnapshotCreation {
 public:
  SnapshotCreation(const std::filesystem::path& data_directory, const std::filesystem::path& path,
                   const SnapshotTask& task, MetaStore* meta, Collections* collections);

  absl::StatusOr<SnapshotManifest> Run();

 private:
  absl::StatusOr<SnapshotManifest> Write(const std::filesystem::path& staging);
  absl::Status CopyData(const std::filesystem::path& staging);
  absl::StatusOr<bool> TryToCopyData(const std::filesystem::path& staging);
  absl::Status WaitUntilLevel(const std::string& release, int64_t commit);
  absl::StatusOr<int64_t> LinkSealed(const std::string& release, const std::filesystem::path& to);
  absl::StatusOr<bool> FinishDocuments(const std::filesystem::path& file, int64_t sealed_commit);
  absl::Status LinkModel(const std::filesystem::path& staging);
  absl::Status WriteMeta(const std::filesystem::path& staging) const;
  absl::Status Describe(const std::filesystem::path& staging);

  const std::filesystem::path data_directory_, path_;
  const SnapshotTask& task_;
  MetaStore* const meta_;
  Collections* const collections_;
  CopyMeter meter_;
  CollectionCopy copy_;
  SnapshotManifest manifest_;
};

}  // namespace tandem
