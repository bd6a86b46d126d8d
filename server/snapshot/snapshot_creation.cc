#include "server/snapshot/snapshot_creation.h"

#include <memory>
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

constexpr int kTries = 5;  // A release is sealed once in many minutes.
constexpr absl::Duration kLook = absl::Milliseconds(50);

// Second names of every file below `from`; false when one of them went away meanwhile.
absl::StatusOr<bool> LinkTree(const fs::path& from, const fs::path& to) {
  const absl::StatusOr<std::vector<std::string>> files = ListFiles(from);
  if (absl::IsNotFound(files.status())) return false;
  RETURN_IF_ERROR(files.status());
  for (const std::string& file : *files) {
    RETURN_IF_ERROR(CreateDirectories((to / file).parent_path()));
    const absl::Status linked = LinkOrCopy(from / file, to / file);
    if (absl::IsNotFound(linked)) return false;
    RETURN_IF_ERROR(linked);
  }
  return true;
}

}  // namespace

SnapshotCreation::SnapshotCreation(const fs::path& data_directory, const fs::path& path, const SnapshotTask& task,
                                   MetaStore* meta, Collections* collections)
    : data_directory_(data_directory), path_(path), task_(task), meta_(meta), collections_(collections), meter_(task) {}

absl::StatusOr<SnapshotManifest> SnapshotCreation::Run() {
  ASSIGN_OR_RETURN(const fs::path staging, MakeStagingDirectory(path_));
  absl::StatusOr<SnapshotManifest> made = Write(staging);
  if (!made.ok()) RemoveTree(staging).IgnoreError();  // Start removes what is left.
  return made;
}

absl::StatusOr<SnapshotManifest> SnapshotCreation::Write(const fs::path& staging) {
  manifest_.id = task_.snapshot;
  manifest_.made_by = task_.job;
  manifest_.create_time = absl::FromUnixMicros(absl::ToUnixMicros(absl::Now()));
  manifest_.collection = task_.collection;
  RETURN_IF_ERROR(CopyData(staging));
  RETURN_IF_ERROR(LinkModel(staging));
  RETURN_IF_ERROR(WriteMeta(staging));
  RETURN_IF_ERROR(Describe(staging));
  RETURN_IF_ERROR(WriteFileDurably(staging / kSnapshotManifestFile, ManifestText(manifest_)));
  const absl::Status published = PublishDirectory(staging, path_);
  if (absl::IsAlreadyExists(published)) {
    return absl::AlreadyExistsError(Concat("snapshots/", task_.snapshot, " exists already"));
  }
  RETURN_IF_ERROR(published);
  return manifest_;
}

absl::Status SnapshotCreation::CopyData(const fs::path& staging) {
  for (int i = 0; i < kTries; ++i) {
    ASSIGN_OR_RETURN(const bool fits, TryToCopyData(staging));
    if (fits) return absl::OkStatus();
    RETURN_IF_ERROR(RemoveTree(staging / kSnapshotReleaseFolder));
    for (const char* suffix : {"", "-wal", "-shm"}) {
      RETURN_IF_ERROR(RemoveTree(staging / Concat(kSnapshotDocumentsFile, suffix)));
    }
  }
  return absl::UnavailableError(Concat("collections/", task_.collection, ": its live release was sealed or replaced ",
                                       kTries, " times while it was copied"));
}

absl::StatusOr<bool> SnapshotCreation::TryToCopyData(const fs::path& staging) {
  ASSIGN_OR_RETURN(copy_, meta_->CopyCollection(task_.tenant, task_.collection));
  ASSIGN_OR_RETURN(const std::shared_ptr<DocumentStore> documents,
                   collections_->Documents(task_.tenant, task_.collection));
  int64_t sealed_commit = 0;
  if (copy_.release) {
    RETURN_IF_ERROR(WaitUntilLevel(copy_.release->id, documents->head()));
    ASSIGN_OR_RETURN(sealed_commit, LinkSealed(copy_.release->id, staging / kSnapshotReleaseFolder));
    if (sealed_commit < 0) return false;
  }
  int64_t reported = 0;
  RETURN_IF_ERROR(documents->CopyTo(staging / kSnapshotDocumentsFile, [&](int64_t done, int64_t all) {
    if (reported == 0) meter_.Expect(all);
    const int64_t more = done - reported;
    reported = done;
    return meter_.Add(more);
  }));
  return FinishDocuments(staging / kSnapshotDocumentsFile, sealed_commit);
}

// So that the copy answers with all that was written before it was asked for, and embeds nothing.
absl::Status SnapshotCreation::WaitUntilLevel(const std::string& release, int64_t commit) {
  while (true) {
    ASSIGN_OR_RETURN(const std::shared_ptr<const ActiveRelease> opened,
                     collections_->Opened(task_.tenant, task_.collection, release));
    if (opened->index->snapshot()->commit() >= commit) return absl::OkStatus();
    RETURN_IF_ERROR(meter_.Add(0));
    absl::SleepFor(kLook);
  }
}

// The commit of the newest sealed index; 0 when there is none, -1 when it went away meanwhile.
absl::StatusOr<int64_t> SnapshotCreation::LinkSealed(const std::string& release, const fs::path& to) {
  const ReleaseDirectory directory(CollectionDirectory(data_directory_, task_.tenant, task_.collection), release);
  ASSIGN_OR_RETURN(const std::vector<int64_t> commits, directory.SealedCommits());
  if (commits.empty()) return 0;
  const fs::path sealed = directory.SealedPath(commits[0]);
  ASSIGN_OR_RETURN(const bool whole, LinkTree(sealed, to / sealed.filename()));
  return whole ? commits[0] : -1;
}

// Drops what belongs to other releases, and says whether the index fits the documents.
absl::StatusOr<bool> SnapshotCreation::FinishDocuments(const fs::path& file, int64_t sealed_commit) {
  ASSIGN_OR_RETURN(const std::unique_ptr<DocumentStore> documents, DocumentStore::Open(file));
  manifest_.commit = documents->head();
  ASSIGN_OR_RETURN(manifest_.documents, documents->Count());
  const std::string live = copy_.release ? copy_.release->id : "";
  ASSIGN_OR_RETURN(const auto followers, documents->Followers());
  for (const auto& [follower, cursor] : followers) {
    if (follower != live) RETURN_IF_ERROR(documents->DropFollower(follower));
  }
  if (!copy_.release) return true;
  ASSIGN_OR_RETURN(const DocumentStore::Cursor cursor, documents->GetCursor(live));
  return cursor.sealed_commit <= sealed_commit && sealed_commit <= cursor.commit;
}

absl::Status SnapshotCreation::LinkModel(const fs::path& staging) {
  if (copy_.release) manifest_.release = copy_.release->id;
  if (!copy_.revision) return absl::OkStatus();
  manifest_.model = copy_.revision->model;
  manifest_.revision = copy_.revision->id;
  const fs::path from =
      ModelRevisionDirectory(data_directory_, task_.tenant, copy_.revision->model, copy_.revision->id);
  ASSIGN_OR_RETURN(const bool whole, LinkTree(from, staging / kSnapshotModelFolder));
  return whole ? absl::OkStatus() : absl::UnavailableError(Concat(from.string(), ": went away while it was copied"));
}

absl::Status SnapshotCreation::WriteMeta(const fs::path& staging) const {
  CollectionCopy copy = copy_;
  copy.collection.tenant = kSnapshotTenant;
  for (CollectionCopy::Set& set : copy.evaluation_sets) set.record.tenant = kSnapshotTenant;
  if (copy.release) copy.release->tenant = kSnapshotTenant;
  if (copy.revision) copy.revision->tenant = kSnapshotTenant;
  ASSIGN_OR_RETURN(const std::unique_ptr<MetaStore> meta, MetaStore::Open(staging / kSnapshotMetaFile));
  return meta->InsertCopy(copy);
}

absl::Status SnapshotCreation::Describe(const fs::path& staging) {
  ASSIGN_OR_RETURN(const std::vector<std::string> files, ListFiles(staging));
  for (const std::string& file : files) meter_.Expect(CopyMeter::SizeOf(staging / file));
  for (const std::string& path : files) {
    SnapshotFile& file = manifest_.files.emplace_back();
    file.path = path;
    file.bytes = CopyMeter::SizeOf(staging / path);
    ASSIGN_OR_RETURN(file.sha256, FileSha256(staging / path, [&](int64_t bytes) { return meter_.Add(bytes); }));
  }
  return absl::OkStatus();
}

}  // namespace tandem
