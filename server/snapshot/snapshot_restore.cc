#include "server/snapshot/snapshot_restore.h"

#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "server/base/files.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/release/release_directory.h"
#include "server/storage/document_store.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;

// In the directory of a restored collection: the job that restored it. Do not change the name.
constexpr char kRestoredByFile[] = "restored-by";

bool IsIn(std::string_view path, std::string_view folder) {
  return path.starts_with(folder) && path.substr(folder.size()).starts_with("/");
}

// Links the manifest's files below `folder` into `to`.
absl::Status LinkFolder(const SnapshotManifest& manifest, const fs::path& snapshot, std::string_view folder,
                        const fs::path& to) {
  for (const SnapshotFile& file : manifest.files) {
    if (!IsIn(file.path, folder)) continue;
    const fs::path target = to / file.path.substr(folder.size() + 1);
    RETURN_IF_ERROR(CreateDirectories(target.parent_path()));
    RETURN_IF_ERROR(LinkOrCopy(snapshot / file.path, target));
  }
  return absl::OkStatus();
}

absl::Status CopyFile(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::copy_file(from, to, error);
  if (!error) return absl::OkStatus();
  const std::string message = Concat(to.string(), ": ", error.message());
  return error == std::errc::no_space_on_device ? absl::ResourceExhaustedError(message) : absl::InternalError(message);
}

}  // namespace

SnapshotRestore::SnapshotRestore(const fs::path& data_directory, const fs::path& path, const SnapshotTask& task,
                                 const SnapshotManifest& manifest, MetaStore* meta, Collections* collections)
    : data_directory_(data_directory),
      path_(path),
      task_(task),
      manifest_(manifest),
      meta_(meta),
      collections_(collections),
      meter_(task) {}

absl::Status SnapshotRestore::Named(const absl::Status& status) const {
  if (status.ok()) return status;
  return absl::Status(status.code(), Concat("snapshots/", task_.snapshot, ": ", status.message()));
}

absl::Status SnapshotRestore::Run() {
  const fs::path directory = CollectionDirectory(data_directory_, task_.tenant, task_.collection);
  if (meta_->GetCollection(task_.tenant, task_.collection).ok()) {
    const absl::StatusOr<std::string> made_by = ReadFile(directory / kRestoredByFile);
    if (made_by.ok() && *made_by == task_.job) return absl::OkStatus();
    return absl::AlreadyExistsError(Concat("collections/", task_.collection, " exists already"));
  }
  RETURN_IF_ERROR(Named(CheckFiles()));
  ASSIGN_OR_RETURN(const fs::path staging, MakeStagingDirectory(directory));
  absl::Status status = Stage(staging);
  if (status.ok()) {
    const absl::StatusOr<CollectionCopy> copy = ReadMeta(staging);
    status = copy.ok() ? Make(staging, *copy) : copy.status();
  }
  if (!status.ok()) RemoveTree(staging).IgnoreError();  // Start removes what is left.
  return Named(status);
}

absl::Status SnapshotRestore::CheckFiles() {
  meter_.Expect(manifest_.bytes());
  for (const SnapshotFile& file : manifest_.files) {
    std::error_code error;
    const fs::file_status status = fs::symlink_status(path_ / file.path, error);
    if (!fs::is_regular_file(status)) return absl::DataLossError(Concat(file.path, " is missing, or is no file"));
    if (const int64_t bytes = CopyMeter::SizeOf(path_ / file.path); bytes != file.bytes) {
      return absl::DataLossError(Concat(file.path, " is damaged: it has ", bytes, " bytes, not ", file.bytes));
    }
    ASSIGN_OR_RETURN(const std::string sha256,
                     FileSha256(path_ / file.path, [&](int64_t bytes) { return meter_.Add(bytes); }));
    if (sha256 == file.sha256) continue;
    return absl::DataLossError(Concat(file.path, " is damaged: its sha256 is ", sha256, ", not ", file.sha256));
  }
  return absl::OkStatus();
}

absl::Status SnapshotRestore::Stage(const fs::path& staging) {
  for (const char* file : {kSnapshotDocumentsFile, kSnapshotMetaFile}) {
    RETURN_IF_ERROR(CopyFile(path_ / file, staging / file));
    RETURN_IF_ERROR(meter_.Add(0));
  }
  if (!manifest_.release.empty()) {
    RETURN_IF_ERROR(
        LinkFolder(manifest_, path_, kSnapshotReleaseFolder, ReleaseDirectory(staging, manifest_.release).path()));
  }
  // A format that this server does not know is refused before anything is made.
  RETURN_IF_ERROR(DocumentStore::Open(staging / kSnapshotDocumentsFile).status());
  return WriteFileDurably(staging / kRestoredByFile, task_.job);
}

// The snapshot's rows, under the names that they get here.
absl::StatusOr<CollectionCopy> SnapshotRestore::ReadMeta(const fs::path& staging) const {
  CollectionCopy copy;
  {
    ASSIGN_OR_RETURN(const std::unique_ptr<MetaStore> meta, MetaStore::Open(staging / kSnapshotMetaFile));
    ASSIGN_OR_RETURN(copy, meta->CopyCollection(kSnapshotTenant, manifest_.collection));
  }
  for (const char* suffix : {"", "-wal", "-shm"}) {
    RETURN_IF_ERROR(RemoveTree(staging / Concat(kSnapshotMetaFile, suffix)));
  }
  if (copy.collection.live_release != manifest_.release ||
      (copy.revision ? copy.revision->id : "") != manifest_.revision) {
    return absl::DataLossError(Concat(kSnapshotMetaFile, " and the manifest are of different releases"));
  }
  copy.collection.tenant = task_.tenant;
  copy.collection.id = task_.collection;
  copy.collection.create_time = absl::Now();
  for (CollectionCopy::Set& set : copy.evaluation_sets) {
    set.record.tenant = task_.tenant;
    set.record.collection = task_.collection;
  }
  if (copy.release) {
    copy.release->tenant = task_.tenant;
    copy.release->collection = task_.collection;
    copy.release->state = ReleaseState::kLive;
    copy.release->demote_time = std::nullopt;
  }
  if (copy.revision) copy.revision->tenant = task_.tenant;
  return copy;
}

absl::StatusOr<bool> SnapshotRestore::PublishModel(const ModelRevisionRecord& revision) const {
  const absl::StatusOr<ModelRevisionRecord> there =
      meta_->GetModelRevision(revision.tenant, revision.model, revision.id);
  // Whether it is the same one is looked at where the rows are written.
  if (there.ok()) return false;
  if (!absl::IsNotFound(there.status())) return there.status();
  const fs::path directory = ModelRevisionDirectory(data_directory_, revision.tenant, revision.model, revision.id);
  ASSIGN_OR_RETURN(const fs::path staging, MakeStagingDirectory(directory));
  absl::Status status = LinkFolder(manifest_, path_, kSnapshotModelFolder, staging);
  if (status.ok()) status = PublishDirectory(staging, directory);
  if (!status.ok()) RemoveTree(staging).IgnoreError();
  if (absl::IsAlreadyExists(status)) {
    return absl::UnavailableError(
        Concat("models/", revision.model, "/revisions/", revision.id, ": is being made by another call just now"));
  }
  RETURN_IF_ERROR(status);
  return true;
}

absl::Status SnapshotRestore::Make(const fs::path& staging, const CollectionCopy& copy) {
  bool made_model = false;
  if (copy.revision) {
    ASSIGN_OR_RETURN(made_model, PublishModel(*copy.revision));
  }
  const absl::Status status = collections_->Adopt(copy, staging).status();
  // Without a row of it nobody has seen the directory.
  if (made_model &&
      absl::IsNotFound(meta_->GetModelRevision(task_.tenant, copy.revision->model, copy.revision->id).status())) {
    RemoveTree(ModelRevisionDirectory(data_directory_, task_.tenant, copy.revision->model, copy.revision->id))
        .IgnoreError();  // Start removes it.
  }
  return status;
}

}  // namespace tandem
