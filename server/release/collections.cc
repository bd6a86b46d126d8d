#include "server/release/collections.h"

#include <map>
#include <set>
#include <utility>

#include <spdlog/spdlog.h>

#include "absl/base/thread_annotations.h"
#include "absl/cleanup/cleanup.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "server/base/files.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/release/open_collection.h"
#include "server/release/release_directory.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;

using Key = std::pair<std::string, std::string>;  // Tenant and id.

Key KeyOf(std::string_view tenant, std::string_view id) { return {std::string(tenant), std::string(id)}; }

absl::Status NotFound(std::string_view id) { return absl::NotFoundError(Concat("collections/", id, " was not found")); }

}  // namespace

struct Collections::Rep {
  using CollectionPtr = std::shared_ptr<OpenCollection>;

  absl::StatusOr<CollectionPtr> Find(std::string_view tenant, std::string_view id);
  absl::StatusOr<CollectionPtr> Open(const CollectionRecord& record, bool make);
  absl::StatusOr<CollectionRecord> Make(const CollectionRecord& wanted,
                                        const std::function<absl::Status(const fs::path& directory)>& place,
                                        const std::function<absl::Status()>& record);
  absl::Status ClearLeftovers(const std::set<Key>& wanted);

  ReleaseOptions options;
  OpenCollection::Rooms rooms;

  absl::Mutex mutex;
  std::map<Key, CollectionPtr> open ABSL_GUARDED_BY(mutex);
  std::map<Key, absl::Status> damaged ABSL_GUARDED_BY(mutex);  // Why a collection could not be opened.
  std::set<Key> changing ABSL_GUARDED_BY(mutex);               // Being made or deleted.
  std::set<Key> making ABSL_GUARDED_BY(mutex);                 // Those of them that are made.
};

absl::StatusOr<Collections::Rep::CollectionPtr> Collections::Rep::Find(std::string_view tenant, std::string_view id) {
  const Key key = KeyOf(tenant, id);
  absl::ReaderMutexLock lock(&mutex);
  // Its row, and the answer to a repeated Create, are there a moment before it is open.
  const auto made = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex) { return !making.contains(key); };
  mutex.Await(absl::Condition(&made));
  if (const auto found = open.find(key); found != open.end()) return found->second;
  if (const auto found = damaged.find(key); found != damaged.end()) return found->second;
  return NotFound(id);
}

// Without `make` documents.db must be there: an empty one in its place would hide the loss.
absl::StatusOr<Collections::Rep::CollectionPtr> Collections::Rep::Open(const CollectionRecord& record, bool make) {
  const fs::path directory = CollectionDirectory(options.data_directory, record.tenant, record.id);
  std::error_code error;
  if (!make && !fs::exists(DocumentsPath(directory), error)) {
    return absl::DataLossError(
        Concat("collections/", record.id, ": ", DocumentsPath(directory).string(), " is missing"));
  }
  RETURN_IF_ERROR(CreateDirectories(ReleasesDirectory(directory)));
  ASSIGN_OR_RETURN(
      std::unique_ptr<DocumentStore> documents,
      DocumentStore::Open(DocumentsPath(directory), {.fields = record.fields, .keyword_index = record.keyword_index}));
  return std::make_shared<OpenCollection>(options, rooms, record.tenant, record.id, std::move(documents));
}

absl::Status Collections::Rep::ClearLeftovers(const std::set<Key>& wanted) {
  const fs::path root = CollectionsRoot(options.data_directory);
  RETURN_IF_ERROR(CreateDirectories(root));
  ASSIGN_OR_RETURN(const std::vector<std::string> tenants, ListDirectories(root));
  for (const std::string& tenant : tenants) {
    ASSIGN_OR_RETURN(const std::vector<std::string> ids, ListDirectories(root / tenant));
    for (const std::string& id : ids) {
      if (wanted.contains(KeyOf(tenant, id))) continue;
      spdlog::info("removing the files of tenant \"{}\"'s collections/{}: it was deleted or never made", tenant, id);
      RETURN_IF_ERROR(RemoveTree(root / tenant / id));
    }
  }
  return absl::OkStatus();
}

Collections::Collections(const ReleaseOptions& options, MetaStore* meta, ModelCache* models, EmbeddingQueue* queue,
                         MemoryBudget* memory)
    : rep_(std::make_unique<Rep>()) {
  rep_->options = options;
  rep_->rooms = {.meta = meta, .models = models, .queue = queue, .memory = memory};
}

Collections::~Collections() {
  std::map<Key, Rep::CollectionPtr> open;
  {
    absl::MutexLock lock(&rep_->mutex);
    open.swap(rep_->open);
  }
  for (const auto& [key, collection] : open) collection->Close();
}

absl::Status Collections::Start() {
  ASSIGN_OR_RETURN(const std::vector<CollectionRecord> records, rep_->rooms.meta->AllCollections());
  std::set<Key> wanted;
  for (const CollectionRecord& record : records) wanted.insert(KeyOf(record.tenant, record.id));
  RETURN_IF_ERROR(rep_->ClearLeftovers(wanted));
  for (const CollectionRecord& record : records) {
    const Key key = KeyOf(record.tenant, record.id);
    absl::StatusOr<Rep::CollectionPtr> collection = rep_->Open(record, /*make=*/false);
    absl::Status status = collection.status();
    if (status.ok()) status = (*collection)->Start();
    absl::MutexLock lock(&rep_->mutex);
    if (status.ok()) {
      rep_->open[key] = *std::move(collection);
    } else {
      spdlog::error("tenant \"{}\"'s collections/{} cannot be opened: {}", key.first, key.second, status.ToString());
      rep_->damaged[key] = status;
    }
  }
  return absl::OkStatus();
}

// Files first, then the row that makes them count. `place` makes the directory, which is not there, and `record` the
// row.
absl::StatusOr<CollectionRecord> Collections::Rep::Make(const CollectionRecord& wanted,
                                                        const std::function<absl::Status(const fs::path&)>& place,
                                                        const std::function<absl::Status()>& record) {
  const Key key = KeyOf(wanted.tenant, wanted.id);
  {
    absl::MutexLock lock(&mutex);
    const auto free = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex) { return !changing.contains(key); };
    mutex.Await(absl::Condition(&free));
    changing.insert(key);
    making.insert(key);
  }
  const absl::Cleanup done = [&] {
    absl::MutexLock lock(&mutex);
    changing.erase(key);
    making.erase(key);
  };
  if (rooms.meta->GetCollection(wanted.tenant, wanted.id).ok()) {
    return absl::AlreadyExistsError(Concat("collections/", wanted.id, " exists already"));
  }
  const fs::path directory = CollectionDirectory(options.data_directory, wanted.tenant, wanted.id);
  RETURN_IF_ERROR(RemoveTree(directory));
  RETURN_IF_ERROR(place(directory));
  ASSIGN_OR_RETURN(const CollectionPtr collection, Open(wanted, /*make=*/true));
  if (const absl::Status status = record(); !status.ok()) {
    RemoveTree(directory).IgnoreError();  // Start removes what is left.
    return status;
  }
  if (const absl::Status status = collection->Start(); !status.ok()) {
    absl::MutexLock lock(&mutex);
    damaged[key] = status;  // The row is there: calls say why it does not answer.
    return status;
  }
  {
    absl::MutexLock lock(&mutex);
    open[key] = collection;
    damaged.erase(key);
  }
  return rooms.meta->GetCollection(wanted.tenant, wanted.id);
}

absl::StatusOr<CollectionRecord> Collections::Create(const CollectionRecord& wanted,
                                                     const MetaStore::Request* request) {
  CollectionRecord record = wanted;
  record.create_time = absl::Now();
  return rep_->Make(
      record, [](const fs::path&) { return absl::OkStatus(); },
      [&] { return rep_->rooms.meta->CreateCollection(record, request); });
}

absl::StatusOr<CollectionRecord> Collections::Adopt(const CollectionCopy& copy, const fs::path& staged) {
  if (copy.release) {  // What Start opens counts as admitted, as what served before a restart does.
    ASSIGN_OR_RETURN(const std::unique_ptr<DocumentStore> documents, DocumentStore::Open(DocumentsPath(staged)));
    ASSIGN_OR_RETURN(const int64_t count, documents->Count());
    RETURN_IF_ERROR(rep_->rooms.memory
                        ->Reserve(Concat("collections/", copy.collection.id, "/releases/", copy.release->id),
                                  EstimateIndexBytes(IndexOptions(*copy.release), count), Admission::kIfItFits)
                        .status());
  }
  return rep_->Make(
      copy.collection, [&](const fs::path& directory) { return PublishDirectory(staged, directory); },
      [&] { return rep_->rooms.meta->InsertCopy(copy); });
}

// The row first: from then on the files are leftovers.
absl::Status Collections::Delete(std::string_view tenant, std::string_view id) {
  const Key key = KeyOf(tenant, id);
  {
    absl::MutexLock lock(&rep_->mutex);
    const auto free = [&]() ABSL_SHARED_LOCKS_REQUIRED(rep_->mutex) { return !rep_->changing.contains(key); };
    rep_->mutex.Await(absl::Condition(&free));
    rep_->changing.insert(key);
  }
  const absl::Cleanup done = [&] {
    absl::MutexLock lock(&rep_->mutex);
    rep_->changing.erase(key);
  };
  RETURN_IF_ERROR(rep_->rooms.meta->DeleteCollection(tenant, id));
  Rep::CollectionPtr collection;
  {
    absl::MutexLock lock(&rep_->mutex);
    if (const auto found = rep_->open.find(key); found != rep_->open.end()) {
      collection = found->second;
      rep_->open.erase(found);
    }
    rep_->damaged.erase(key);
  }
  if (collection != nullptr) collection->Close();
  const absl::Status status = RemoveTree(CollectionDirectory(rep_->options.data_directory, tenant, id));
  if (!status.ok())
    spdlog::warn("collections/{} was deleted, but not its files: {}", std::string(id), status.ToString());
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<DocumentStore>> Collections::Documents(std::string_view tenant, std::string_view id) {
  ASSIGN_OR_RETURN(const Rep::CollectionPtr collection, rep_->Find(tenant, id));
  return collection->documents();
}

absl::Status Collections::AdmitWrite(std::string_view tenant, std::string_view id, WriteKind kind) {
  ASSIGN_OR_RETURN(const Rep::CollectionPtr collection, rep_->Find(tenant, id));
  return collection->AdmitWrite(kind);
}

absl::StatusOr<std::shared_ptr<const ActiveRelease>> Collections::Live(std::string_view tenant, std::string_view id) {
  ASSIGN_OR_RETURN(const Rep::CollectionPtr collection, rep_->Find(tenant, id));
  return collection->Live();
}

absl::StatusOr<std::shared_ptr<const ActiveRelease>> Collections::LiveAt(std::string_view tenant, std::string_view id,
                                                                         int64_t min_commit, const Patience& patience) {
  ASSIGN_OR_RETURN(const Rep::CollectionPtr collection, rep_->Find(tenant, id));
  return collection->LiveAt(min_commit, patience);
}

absl::StatusOr<std::shared_ptr<const ActiveRelease>> Collections::Opened(std::string_view tenant,
                                                                         std::string_view collection,
                                                                         std::string_view id) {
  ASSIGN_OR_RETURN(const Rep::CollectionPtr found, rep_->Find(tenant, collection));
  return found->Opened(id);
}

absl::StatusOr<ReleaseRecord> Collections::CreateRelease(const ReleaseRecord& record,
                                                         const MetaStore::Request* request) {
  ASSIGN_OR_RETURN(const Rep::CollectionPtr collection, rep_->Find(record.tenant, record.collection));
  return collection->CreateRelease(record, request);
}

absl::StatusOr<ReleaseRecord> Collections::CancelRelease(std::string_view tenant, std::string_view collection,
                                                         std::string_view id) {
  ASSIGN_OR_RETURN(const Rep::CollectionPtr found, rep_->Find(tenant, collection));
  return found->CancelRelease(id);
}

absl::Status Collections::DeleteRelease(std::string_view tenant, std::string_view collection, std::string_view id) {
  ASSIGN_OR_RETURN(const Rep::CollectionPtr found, rep_->Find(tenant, collection));
  return found->DeleteRelease(id);
}

absl::StatusOr<BuildProgress> Collections::Progress(std::string_view tenant, std::string_view collection,
                                                    std::string_view id) {
  ASSIGN_OR_RETURN(const Rep::CollectionPtr found, rep_->Find(tenant, collection));
  return found->Progress(id);
}

absl::StatusOr<PromotionResult> Collections::Promote(std::string_view tenant, std::string_view collection,
                                                     std::string_view id, std::optional<int64_t> etag,
                                                     const GateOverride& gate_override, const Patience& patience,
                                                     const MetaStore::Request* request) {
  ASSIGN_OR_RETURN(const Rep::CollectionPtr found, rep_->Find(tenant, collection));
  return found->Promote(id, etag, gate_override, patience, request);
}

absl::StatusOr<int64_t> Collections::WaitForChange(std::string_view tenant, std::string_view collection,
                                                   int64_t seen_version, absl::Duration timeout) {
  ASSIGN_OR_RETURN(const Rep::CollectionPtr found, rep_->Find(tenant, collection));
  return found->WaitForChange(seen_version, timeout);
}

}  // namespace tandem
