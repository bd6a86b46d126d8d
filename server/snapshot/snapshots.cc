#include "server/snapshot/snapshots.h"

#include <algorithm>
#include <utility>

#include <spdlog/spdlog.h>

#include "server/base/files.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/release/release_directory.h"
#include "server/snapshot/snapshot_creation.h"
#include "server/snapshot/snapshot_restore.h"
#include "server/snapshot/tar_writer.h"

namespace tandem {

namespace fs = std::filesystem;

Snapshots::Snapshots(SnapshotOptions options, MetaStore* meta, Collections* collections)
    : options_(std::move(options)), meta_(meta), collections_(collections) {}

fs::path Snapshots::PathOf(std::string_view tenant, std::string_view id) const {
  return options_.directory / tenant / id;
}

absl::Status Snapshots::Start() {
  RETURN_IF_ERROR(CreateDirectories(options_.directory));
  ASSIGN_OR_RETURN(const std::vector<std::string> tenants, ListDirectories(options_.directory));
  for (const std::string& tenant : tenants) RETURN_IF_ERROR(RemoveStaging(options_.directory / tenant));
  return absl::OkStatus();
}

absl::StatusOr<SnapshotManifest> Snapshots::Create(const SnapshotTask& task) {
  const absl::StatusOr<SnapshotManifest> there = Get(task.tenant, task.snapshot);
  if (there.ok() && there->made_by == task.job) return there;
  if (!absl::IsNotFound(there.status())) {
    return absl::AlreadyExistsError(Concat("snapshots/", task.snapshot, " exists already"));
  }
  SnapshotCreation creation(options_.data_directory, PathOf(task.tenant, task.snapshot), task, meta_, collections_);
  return creation.Run();
}

absl::StatusOr<SnapshotManifest> Snapshots::Restore(const SnapshotTask& task) {
  ASSIGN_OR_RETURN(SnapshotManifest manifest, Get(task.tenant, task.snapshot));
  SnapshotRestore restore(options_.data_directory, PathOf(task.tenant, task.snapshot), task, manifest, meta_,
                          collections_);
  RETURN_IF_ERROR(restore.Run());
  return manifest;
}

absl::StatusOr<SnapshotManifest> Snapshots::Get(std::string_view tenant, std::string_view id) {
  absl::StatusOr<SnapshotManifest> manifest = ReadSnapshotManifest(PathOf(tenant, id));
  if (absl::IsNotFound(manifest.status())) return absl::NotFoundError(Concat("snapshots/", id, ": not found"));
  if (!manifest.ok()) {
    return absl::Status(manifest.status().code(), Concat("snapshots/", id, ": ", manifest.status().message()));
  }
  return manifest;
}

absl::StatusOr<std::vector<SnapshotManifest>> Snapshots::List(std::string_view tenant, const Page& page) {
  ASSIGN_OR_RETURN(const std::vector<std::string> ids, ListDirectories(options_.directory / tenant));
  std::vector<SnapshotManifest> manifests;
  for (auto id = std::upper_bound(ids.begin(), ids.end(), page.after);
       id != ids.end() && static_cast<int>(manifests.size()) < page.size; ++id) {
    if (id->starts_with(".")) continue;  // One that is being made or deleted.
    absl::StatusOr<SnapshotManifest> manifest = ReadSnapshotManifest(PathOf(tenant, *id));
    if (manifest.ok()) {
      manifests.push_back(*std::move(manifest));
    } else {
      spdlog::warn("{} is no snapshot: {}", PathOf(tenant, *id).string(), manifest.status().ToString());
    }
  }
  return manifests;
}

// Gone from sight at once: a directory that lost some of its files first would look like a damaged one.
absl::Status Snapshots::Delete(std::string_view tenant, std::string_view id) {
  const fs::path path = PathOf(tenant, id);
  std::error_code error;
  if (!fs::is_directory(path, error)) return absl::NotFoundError(Concat("snapshots/", id, ": not found"));
  ASSIGN_OR_RETURN(const fs::path staging, MakeStagingDirectory(path));
  fs::rename(path, staging, error);
  const absl::Status removed = RemoveTree(staging);
  if (error) return absl::NotFoundError(Concat("snapshots/", id, ": ", error.message()));
  return removed;
}

absl::Status Snapshots::Download(std::string_view tenant, std::string_view id, size_t piece_bytes,
                                 const std::function<absl::Status(std::string_view)>& write) {
  ASSIGN_OR_RETURN(const SnapshotManifest manifest, Get(tenant, id));
  const fs::path path = PathOf(tenant, id);
  TarWriter tar(piece_bytes, manifest.create_time, write);
  RETURN_IF_ERROR(tar.AddFile(path / kSnapshotManifestFile, Concat(id, "/", kSnapshotManifestFile)));
  for (const SnapshotFile& file : manifest.files) {
    RETURN_IF_ERROR(tar.AddFile(path / file.path, Concat(id, "/", file.path)));
  }
  return tar.Finish();
}

}  // namespace tandem
