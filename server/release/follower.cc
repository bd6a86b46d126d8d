#include "server/release/follower.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <spdlog/spdlog.h>

#include "absl/time/clock.h"
#include "server/base/files.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

constexpr int kStepVersions = 128;
constexpr int kCopiedVersions = 2048;  // A step that embeds nothing: 3 MB of vectors of 384 dimensions, some 10 ms.
constexpr int64_t kShortStepBytes = 2 << 10;  // Of text: an eighth of a second on 2 cores with a 22M-parameter model.
constexpr int64_t kLongStepBytes = 64 << 10;
constexpr int kReplayVectors = 4096;
constexpr int kReplayVersions = 20000;
constexpr int64_t kSealCommits = 4;  // Commits since the seal are worth it at this multiple.
constexpr int64_t kSealShare = 10;   // Sealing waits for a fresh part of at least this share of the sealed one.

std::shared_ptr<ActiveRelease> MakeActive(const ReleaseRecord& record, std::shared_ptr<const Encoder> encoder) {
  auto active = std::make_shared<ActiveRelease>();
  active->id = record.id;
  active->model = record.model;
  active->revision = record.revision;
  active->encoder = std::move(encoder);
  active->spec = record.index;
  active->calibration->Set(record.evaluation);
  return active;
}

bool SupersededBy(const DocumentVersion& version, int64_t commit) {
  return version.superseded_by > 0 && version.superseded_by <= commit;
}

VectorMetric MetricOf(const EmbeddingContract& contract) {
  switch (contract.metric) {
    case MetricKind::kCosine:
      return VectorMetric::kCosine;
    case MetricKind::kInnerProduct:
      return VectorMetric::kInnerProduct;
    case MetricKind::kEuclidean:
      return VectorMetric::kEuclidean;
  }
  return VectorMetric::kCosine;
}

VectorIndexKind KindOf(const IndexSpec& index) {
  switch (index.kind) {
    case IndexKind::kBySize:  // Of no release that was created.
    case IndexKind::kFlat:
      return VectorIndexKind::kFlat;
    case IndexKind::kHnsw:
      return VectorIndexKind::kHnsw;
    case IndexKind::kIvfFlat:
      return VectorIndexKind::kIvfFlat;
    case IndexKind::kIvfPq:
      return VectorIndexKind::kIvfPq;
    case IndexKind::kScalarQuantized:
      return VectorIndexKind::kScalarQuantized;
    case IndexKind::kBinary:
      return VectorIndexKind::kBinary;
  }
  return VectorIndexKind::kFlat;
}

}  // namespace

VectorIndexOptions IndexOptions(const ReleaseRecord& record) {
  const IndexSpec& index = record.index;
  return {.dimensions = record.contract.dimensions,
          .metric = MetricOf(record.contract),
          .kind = KindOf(index),
          .hnsw_m = index.hnsw_m,
          .hnsw_ef_construction = index.hnsw_ef_construction,
          .hnsw_ef_search = index.hnsw_ef_search,
          .ivf_lists = index.ivf_lists,
          .ivf_nprobe = index.ivf_nprobe,
          .pq_subquantizers = index.pq_subquantizers,
          .scalar_code = index.code_storage == CodeStorage::kFloat16 ? ScalarCode::kFloat16 : ScalarCode::kInt8,
          .rerank_factor = index.rerank_factor};
}

Follower::Follower(const ReleaseOptions& options, const ReleaseRecord& record,
                   const std::filesystem::path& collection_directory, std::shared_ptr<const Encoder> encoder,
                   std::shared_ptr<DocumentStore> documents, EmbeddingQueue* queue, OtherIndexes others)
    : options_(options),
      record_(record),
      directory_(collection_directory, record.id),
      documents_(std::move(documents)),
      queue_(queue),
      others_(std::move(others)),
      active_(MakeActive(record, std::move(encoder))),
      release_(active_) {}

absl::StatusOr<std::unique_ptr<Follower>> Follower::Open(const ReleaseOptions& options, const ReleaseRecord& record,
                                                         const std::filesystem::path& collection_directory,
                                                         std::shared_ptr<const Encoder> encoder,
                                                         std::shared_ptr<DocumentStore> documents,
                                                         EmbeddingQueue* queue, OtherIndexes others, bool building) {
  std::unique_ptr<Follower> follower(new Follower(options, record, collection_directory, std::move(encoder),
                                                  std::move(documents), queue, std::move(others)));
  if (!record.external() && follower->active_->encoder->contract().dimensions != record.contract.dimensions) {
    return absl::DataLossError(Concat(follower->Name(), ": the encoder of models/", record.model, "/revisions/",
                                      record.revision, " makes ", follower->active_->encoder->contract().dimensions,
                                      " dimensions, the release's contract says ", record.contract.dimensions));
  }
  RETURN_IF_ERROR(follower->directory_.Prepare());
  RETURN_IF_ERROR(follower->OpenIndex());
  follower->counted_commit_ = follower->cursor();
  follower->documents_at_open_ = follower->documents_to_do_ = follower->active_->index->snapshot()->size();
  follower->rebuilding_ = follower->directory_.Rebuilding();
  if (building || follower->rebuilding()) RETURN_IF_ERROR(follower->StartBuilding());
  if (follower->rebuilding() && follower->caught_up()) RETURN_IF_ERROR(follower->MarkWhole());
  return follower;
}

std::string Follower::Name() const { return Concat("collections/", record_.collection, "/releases/", record_.id); }

absl::Status Follower::OpenIndex() {
  ASSIGN_OR_RETURN(const DocumentStore::Cursor stored, documents_->GetCursor(record_.id));
  absl::Status status = OpenNewestSealed(stored.sealed_commit, stored.commit);
  if (status.ok()) status = ReplayStored(stored.commit);
  if (absl::IsDataLoss(status)) status = StartAgain(status);
  RETURN_IF_ERROR(status);
  RETURN_IF_ERROR(directory_.KeepOnly(sealed_commit_));
  if (sealed_commit_ > stored.sealed_commit) RETURN_IF_ERROR(documents_->MarkSealed(record_.id, sealed_commit_));
  return absl::OkStatus();
}

// A directory is of use when the store still has every vector after it, and when the cursor has come as far.
absl::Status Follower::OpenNewestSealed(int64_t sealed_commit, int64_t cursor) {
  ASSIGN_OR_RETURN(const std::vector<int64_t> commits, directory_.SealedCommits());
  absl::Status damage = absl::DataLossError(
      Concat(directory_.SealedPath(sealed_commit).string(), " is missing: the cursor says it is sealed"));
  for (const int64_t commit : commits) {
    if (commit < sealed_commit || commit > cursor) continue;
    absl::StatusOr<std::unique_ptr<VectorIndex>> index = VectorIndex::Open(directory_.SealedPath(commit));
    if (index.ok() && (*index)->options().dimensions == record_.contract.dimensions &&
        (*index)->snapshot()->commit() == commit) {
      active_->index = *std::move(index);
      sealed_commit_ = commit;
      return absl::OkStatus();
    }
    // Too little memory or too many open files are no reason to build again.
    if (!index.ok() && !absl::IsDataLoss(index.status()) && !absl::IsNotFound(index.status())) return index.status();
    damage = index.ok() ? absl::DataLossError(Concat(directory_.SealedPath(commit).string(), ": is of another release"))
                        : absl::DataLossError(index.status().message());
    spdlog::error("{}: {}", Name(), std::string(damage.message()));
  }
  if (sealed_commit > 0) return damage;
  sealed_commit_ = 0;
  ASSIGN_OR_RETURN(active_->index, VectorIndex::Create(IndexOptions(record_)));
  return absl::OkStatus();
}

// What clients brought after the sealed commit and the cursor has passed.
absl::Status Follower::ReplayClientVectors(int64_t cursor) {
  for (int64_t after = sealed_commit_; after < cursor;) {
    ASSIGN_OR_RETURN(const std::vector<DocumentVersion> versions,
                     documents_->ReadLog(after, kReplayVectors, INT64_MAX, cursor, /*with_text=*/false));
    if (versions.empty()) return absl::OkStatus();
    after = versions.back().commit;
    std::vector<int64_t> labels;
    for (const DocumentVersion& version : versions) {
      if (version.commit <= cursor && !version.deleted) labels.push_back(version.commit);
    }
    if (labels.empty()) continue;
    ASSIGN_OR_RETURN(const std::vector<float> vectors,
                     documents_->ReadClientVectors(labels, record_.contract.dimensions));
    RETURN_IF_ERROR(active_->index->Apply(labels.back(), labels, vectors, {}));
  }
  return absl::OkStatus();
}

absl::Status Follower::ReplayOwnVectors(int64_t cursor) {
  int64_t commit = sealed_commit_;
  const auto dimensions = static_cast<size_t>(record_.contract.dimensions);
  while (commit < cursor) {
    ASSIGN_OR_RETURN(const DocumentStore::Vectors vectors,
                     documents_->ReadVectors(record_.id, commit, kReplayVectors, record_.contract.dimensions));
    if (vectors.commits.empty()) break;
    if (vectors.values.size() != vectors.commits.size() * dimensions || vectors.commits.back() > cursor) {
      return absl::DataLossError(Concat("the stored vectors after commit ", commit, " do not fit cursor ", cursor,
                                        " and ", dimensions, " dimensions"));
    }
    commit = vectors.commits.back();
    RETURN_IF_ERROR(active_->index->Apply(commit, vectors.commits, vectors.values, {}));
  }
  return absl::OkStatus();
}

// Stored vectors after the sealed commit, then the versions that were replaced since, as the log has them.
absl::Status Follower::ReplayStored(int64_t cursor) {
  RETURN_IF_ERROR(record_.external() ? ReplayClientVectors(cursor) : ReplayOwnVectors(cursor));
  std::vector<int64_t> removed;
  for (int64_t after = sealed_commit_; after < cursor;) {
    ASSIGN_OR_RETURN(const std::vector<DocumentVersion> versions,
                     documents_->ReadLog(after, kReplayVersions, INT64_MAX, 0, /*with_text=*/false));
    if (versions.empty()) break;
    for (const DocumentVersion& version : versions) {
      if (version.commit <= cursor && version.previous > 0) removed.push_back(version.previous);
    }
    after = versions.back().commit;
  }
  if (cursor > sealed_commit_) RETURN_IF_ERROR(active_->index->Apply(cursor, {}, {}, removed));
  cursor_ = cursor;
  return absl::OkStatus();
}

// The marker comes first: from then on, whatever a crash leaves is not taken for a whole index.
absl::Status Follower::StartAgain(const absl::Status& reason) {
  spdlog::error("{}: its index is built again from the commit log: {}", Name(), std::string(reason.message()));
  ASSIGN_OR_RETURN(const DocumentStore::Cursor shown, documents_->GetCursor(record_.id));
  RETURN_IF_ERROR(directory_.MarkRebuilding(shown.commit));
  RETURN_IF_ERROR(documents_->DropFollower(record_.id));
  RETURN_IF_ERROR(directory_.KeepOnly(0));
  sealed_commit_ = 0;
  cursor_ = 0;
  ASSIGN_OR_RETURN(active_->index, VectorIndex::Create(IndexOptions(record_)));
  return absl::OkStatus();
}

absl::Status Follower::StartBuilding() {
  build_commit_ = documents_->head();
  from_the_start_ = cursor() == 0;
  counted_commit_ = build_commit_;
  ASSIGN_OR_RETURN(documents_to_do_, documents_->CountLog(0, build_commit_));
  ASSIGN_OR_RETURN(const int64_t left, documents_->CountLog(cursor(), build_commit_));
  documents_at_open_ = std::max<int64_t>(documents_to_do_ - left, 0);
  {
    absl::MutexLock lock(&mutex_);
    start_time_ = absl::Now();
  }
  caught_up_ = false;
  NoteCaughtUp();
  return absl::OkStatus();
}

void Follower::NoteCaughtUp() {
  if (caught_up() || cursor() < build_commit_) return;
  caught_up_.store(true, std::memory_order_release);
  absl::MutexLock lock(&mutex_);
  spdlog::info("{}: has all documents of commit {}: {} embedded, {} taken over without", Name(), cursor(),
               record_.external() ? 0 : done_ - taken_over_, record_.external() ? done_ : taken_over_);
}

absl::Status Follower::MarkWhole() {
  RETURN_IF_ERROR(directory_.ClearRebuilding());
  rebuilding_.store(false, std::memory_order_release);
  spdlog::info("{}: its index is whole again, at commit {}", Name(), cursor());
  return absl::OkStatus();
}

absl::Status Follower::Step(int64_t up_to, StepSize size, EmbeddingPriority priority) {
  if (!pending_) {
    if (cursor() >= up_to) {
      NoteCaughtUp();
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(pending_, NextBatch(up_to, size, priority));
  }
  RETURN_IF_ERROR(Commit(*pending_));
  {
    absl::MutexLock lock(&mutex_);
    done_ += static_cast<int64_t>(pending_->labels.size());
    taken_over_ += pending_->taken_over;
    passed_over_ += pending_->passed_over;
  }
  cursor_.store(pending_->commit, std::memory_order_release);
  pending_.reset();
  NoteCaughtUp();
  return absl::OkStatus();
}

// A version that is superseded by the end of a batch, or by build_commit_, will never be seen and is not embedded; the
// version that it replaced is removed all the same.
int64_t Follower::SeenFrom(int64_t commit) const { return std::max(commit, caught_up() ? 0 : build_commit_); }

// Only a build that began at commit 0 may have the store leave such versions out: nothing that they replaced is in the
// index, whereas after an interruption it may be.
int64_t Follower::SkipUpTo() const { return from_the_start_ && !caught_up() ? build_commit_ : 0; }

absl::StatusOr<Follower::Batch> Follower::NextBatch(int64_t up_to, StepSize size, EmbeddingPriority priority) {
  KnownVectors known(release_->index->snapshot(), others_ ? others_() : KnownVectors::Snapshots());
  ASSIGN_OR_RETURN(Batch batch, WithoutEmbedding(up_to, &known));
  if (batch.commit > cursor()) return batch;
  return Embed(up_to, size, priority, known);
}

absl::StatusOr<Follower::Batch> Follower::WithoutEmbedding(int64_t up_to, KnownVectors* known) {
  ASSIGN_OR_RETURN(std::vector<DocumentVersion> versions,
                   documents_->ReadLog(cursor(), kCopiedVersions, INT64_MAX, SkipUpTo(), /*with_text=*/false));
  std::erase_if(versions, [&](const DocumentVersion& version) { return version.commit > up_to; });
  for (const DocumentVersion& version : versions) known->Add(version);
  Batch batch;
  batch.commit = versions.size() < kCopiedVersions ? up_to : versions.back().commit;
  // An earlier end lets a version be seen that a later one hides: until no more than what comes before it is taken.
  const auto must_be_embedded = [&](const DocumentVersion& version) {
    return !version.deleted && !SupersededBy(version, SeenFrom(batch.commit)) && !record_.external() &&
           !known->Find(version.commit);
  };
  const size_t all = versions.size();
  for (auto first = versions.begin(); first != versions.end();) {
    first = std::find_if(versions.begin(), versions.end(), must_be_embedded);
    if (first == versions.end()) break;
    batch.commit = first == versions.begin() ? cursor() : std::prev(first)->commit;
    versions.erase(first, versions.end());
    first = versions.begin();
  }
  if (versions.size() < all && versions.size() < kStepVersions) return Batch{.commit = cursor()};
  Sort(versions, &batch);
  if (record_.external()) {
    ASSIGN_OR_RETURN(batch.vectors, documents_->ReadClientVectors(batch.labels, record_.contract.dimensions));
    return batch;
  }
  for (const int64_t label : batch.labels) {
    const std::span<const float> vector = *known->Find(label);
    batch.vectors.insert(batch.vectors.end(), vector.begin(), vector.end());
  }
  batch.taken_over = static_cast<int64_t>(batch.labels.size());
  return batch;
}

// What versions up to the batch's commit add, remove, and leave alone.
void Follower::Sort(const std::vector<DocumentVersion>& versions, Batch* batch) {
  for (const DocumentVersion& version : versions) {
    if (version.previous > 0) batch->removed.push_back(version.previous);
    if (!version.deleted && !SupersededBy(version, SeenFrom(batch->commit))) {
      batch->labels.push_back(version.commit);
    } else if (version.commit > counted_commit_) {
      ++batch->passed_over;
    }
  }
}

absl::StatusOr<Follower::Batch> Follower::Embed(int64_t up_to, StepSize size, EmbeddingPriority priority,
                                                const KnownVectors& known) {
  const int64_t bytes = size == StepSize::kShort ? kShortStepBytes : kLongStepBytes;
  ASSIGN_OR_RETURN(std::vector<DocumentVersion> versions,
                   documents_->ReadLog(cursor(), kStepVersions, bytes, SkipUpTo()));
  Batch batch;
  batch.commit = versions.empty() ? up_to : std::min(versions.back().commit, up_to);
  std::erase_if(versions, [&](const DocumentVersion& version) { return version.commit > up_to; });
  Sort(versions, &batch);
  std::vector<std::string> texts;
  for (DocumentVersion& version : versions) {
    if (!std::binary_search(batch.labels.begin(), batch.labels.end(), version.commit)) continue;
    if (!known.Find(version.commit)) texts.push_back(std::move(version.text));
  }
  EmbeddedTexts embedded;
  if (!texts.empty()) {
    ASSIGN_OR_RETURN(embedded,
                     queue_->Embed(release_->encoder, texts, InputRole::kDocument, priority, absl::InfiniteFuture()));
  }
  size_t next = 0;  // Of `embedded`.
  const auto dimensions = static_cast<size_t>(record_.contract.dimensions);
  for (const int64_t label : batch.labels) {
    const auto vector = known.Find(label);
    const std::span<const float> row =
        vector ? *vector : std::span<const float>(embedded.vectors).subspan(next++ * dimensions, dimensions);
    if (!std::all_of(row.begin(), row.end(), [](float value) { return std::isfinite(value); })) {
      return absl::InternalError(Concat("the document version of commit ", label, " has a vector that is not finite"));
    }
    batch.vectors.insert(batch.vectors.end(), row.begin(), row.end());
  }
  batch.taken_over = static_cast<int64_t>(batch.labels.size() - next);
  return batch;
}

absl::Status Follower::Commit(Batch& batch) {
  // An earlier try may have committed although it was told otherwise, or have failed between the store and the index.
  ASSIGN_OR_RETURN(const DocumentStore::Cursor stored, documents_->GetCursor(record_.id));
  if (stored.commit < batch.commit) {
    // What clients brought is in the store already.
    const Batch nothing;
    const Batch& stored_here = record_.external() ? nothing : batch;
    RETURN_IF_ERROR(documents_->Advance(record_.id, batch.commit, stored_here.labels, stored_here.vectors,
                                        record_.contract.dimensions));
  }
  return active_->index->Apply(batch.commit, batch.labels, batch.vectors, batch.removed);
}

bool Follower::WantsSeal() const {
  const std::shared_ptr<const IndexSnapshot> snapshot = release_->index->snapshot();
  const int64_t sealed = snapshot->size() + snapshot->tombstone_count() - snapshot->fresh_count();
  const int64_t limit = std::max(options_.seal_fresh, sealed / kSealShare);
  // Versions that replace each other within a step leave nothing here, but stay in the log until they are sealed.
  return snapshot->fresh_count() > limit || snapshot->tombstone_count() > limit ||
         cursor() - sealed_commit_.load(std::memory_order_acquire) > kSealCommits * limit;
}

bool Follower::HasUnsealed() const { return cursor() > sealed_commit_.load(std::memory_order_acquire); }

absl::Status Follower::WriteSealed() {
  const std::shared_ptr<const IndexSnapshot> snapshot = release_->index->snapshot();
  const std::filesystem::path final_path = directory_.SealedPath(snapshot->commit());
  // What an earlier try published without being adopted.
  if (snapshot->commit() != sealed_commit_) RETURN_IF_ERROR(RemoveTree(final_path));
  ASSIGN_OR_RETURN(const std::filesystem::path staging, MakeStagingDirectory(final_path));
  absl::Status status =
      VectorIndex::WriteSealed(*snapshot, release_->index->options(), staging, options_.index_threads);
  if (status.ok()) status = PublishDirectory(staging, final_path);
  if (!status.ok()) {
    RemoveTree(staging).IgnoreError();  // The next Prepare clears what is left.
    return status;
  }
  published_commit_ = snapshot->commit();
  return absl::OkStatus();
}

// The index opens the files, and so checks them, before the store may drop the vectors that they replace.
absl::Status Follower::AdoptSealed() {
  const int64_t commit = published_commit_;
  RETURN_IF_ERROR(active_->index->AdoptSealed(directory_.SealedPath(commit)));
  sealed_commit_.store(commit, std::memory_order_release);
  RETURN_IF_ERROR(documents_->MarkSealed(record_.id, commit));
  return directory_.KeepOnly(commit);
}

BuildProgress Follower::Progress() const {
  BuildProgress progress;
  progress.target_commit = documents_->head();
  absl::MutexLock lock(&mutex_);
  progress.cursor = cursor();
  progress.documents_done = documents_at_open_ + done_;
  progress.documents_taken_over = taken_over_;
  const int64_t written_since = std::max<int64_t>(progress.target_commit - counted_commit_, 0) - passed_over_;
  progress.documents_total = std::max(progress.documents_done, documents_to_do_ + written_since);
  if (progress.cursor >= progress.target_commit) progress.documents_total = progress.documents_done;
  const int64_t left = progress.documents_total - progress.documents_done;
  if (done_ > 0 && left > 0) {
    progress.time_left = (absl::Now() - start_time_) * (static_cast<double>(left) / static_cast<double>(done_));
  }
  return progress;
}

}  // namespace tandem
