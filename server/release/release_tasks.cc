// A release's life outside of following: making, cancelling, deleting, sealing, the end of a build, retiring.

#include <algorithm>
#include <string>
#include <utility>

#include <spdlog/spdlog.h>

#include "absl/cleanup/cleanup.h"
#include "absl/time/clock.h"
#include "server/base/files.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/base/thread_priority.h"
#include "server/release/evaluation.h"
#include "server/release/open_collection.h"
#include "server/storage/release_state.h"

namespace tandem {
namespace {

constexpr absl::Duration kRetireCheckInterval = absl::Milliseconds(500);
constexpr absl::Duration kTaskRetry = absl::Seconds(1);
constexpr absl::Duration kLongestTaskRetry = absl::Minutes(5);
constexpr int kFinishTries = 5;  // A build whose end fails so often is given up.
constexpr absl::Duration kForgetPatience = absl::Seconds(10);
constexpr int64_t kMostFlatDocuments = 20'000;  // Of a release whose kind of index is not asked for: HNSW above.

// What the request did not settle, and what it could not know: how many documents and dimensions there are.
absl::Status SettleIndex(int64_t documents, ReleaseRecord* record) {
  IndexSpec& index = record->index;
  if (index.kind == IndexKind::kBySize) {
    index.kind = documents > kMostFlatDocuments ? IndexKind::kHnsw : IndexKind::kFlat;
  }
  if (index.pq_subquantizers > 0 && record->contract.dimensions % index.pq_subquantizers != 0) {
    return InvalidField("index.ivf_pq.subquantizers", Concat(index.pq_subquantizers, ": must divide the ",
                                                             record->contract.dimensions, " dimensions"));
  }
  return IndexOptions(*record).Validate();
}

}  // namespace

// ---- Calls.

// The id is reserved while the release is made: what an earlier release of that id left behind goes first, and the row,
// which makes the rest count, comes last.
absl::StatusOr<ReleaseRecord> OpenCollection::CreateRelease(const ReleaseRecord& wanted,
                                                            const MetaStore::Request* request) {
  ReleaseRecord record = wanted;
  record.tenant = tenant_;
  record.collection = id_;
  record.state = ReleaseState::kBuilding;
  record.create_time = absl::Now();
  if (rooms_.meta->GetRelease(tenant_, id_, record.id).ok()) {
    return absl::AlreadyExistsError(Concat(ReleaseName(record.id), " exists already"));
  }
  ASSIGN_OR_RETURN(record.contract, ContractOf(record));
  ASSIGN_OR_RETURN(const int64_t documents, documents_->Count());
  RETURN_IF_ERROR(SettleIndex(documents, &record));
  {
    absl::MutexLock lock(&mutex_);
    const auto free = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      const FollowedPtr followed = Find(record.id);
      return closed_ || (!creating_.contains(record.id) && (followed == nullptr || !followed->removed));
    };
    if (!mutex_.AwaitWithTimeout(absl::Condition(&free), kForgetPatience)) {
      return absl::UnavailableError(Concat(ReleaseName(record.id), ": another of this id is still being removed"));
    }
    if (closed_) return ClosedError();
    if (Find(record.id) != nullptr) {  // Another call has just made it.
      return absl::AlreadyExistsError(Concat(ReleaseName(record.id), " exists already"));
    }
    creating_.insert(record.id);
  }
  const absl::Cleanup done = [this, id = record.id] {  // By value: the record is moved out before this runs.
    absl::MutexLock lock(&mutex_);
    creating_.erase(id);
  };
  if (rooms_.meta->GetRelease(tenant_, id_, record.id).ok()) {
    return absl::AlreadyExistsError(Concat(ReleaseName(record.id), " exists already"));
  }
  RETURN_IF_ERROR(DiscardFiles(record.id));
  ASSIGN_OR_RETURN(const FollowedPtr followed, OpenRelease(record, Admission::kIfItFits));
  if (const absl::Status status = rooms_.meta->CreateRelease(record, request); !status.ok()) {
    DiscardFiles(record.id).IgnoreError();  // Start removes what is left.
    return status;
  }
  {
    absl::MutexLock lock(&mutex_);
    followed_[record.id] = followed;
    ++version_;
  }
  documents_->Wake();
  return record;
}

// A revision in a collection whose documents are embedded, none where clients bring the vectors.
absl::StatusOr<EmbeddingContract> OpenCollection::ContractOf(const ReleaseRecord& record) {
  ASSIGN_OR_RETURN(const CollectionRecord collection, rooms_.meta->GetCollection(tenant_, id_));
  if (collection.external) {
    if (record.external()) {
      return EmbeddingContract{.dimensions = collection.external->dimensions, .metric = collection.external->metric};
    }
    return InvalidField("model_revision", Concat("must be empty: the documents of ", Name(),
                                                 " bring their vectors, no model embeds them"));
  }
  if (record.external()) return InvalidField("model_revision", "is needed: it embeds the collection's documents");
  ASSIGN_OR_RETURN(const ModelRevisionRecord revision,
                   rooms_.meta->GetModelRevision(tenant_, record.model, record.revision));
  return revision.contract;
}

absl::StatusOr<ReleaseRecord> OpenCollection::CancelRelease(std::string_view id) {
  absl::MutexLock rows(&rows_mutex_);
  ASSIGN_OR_RETURN(ReleaseRecord record, rooms_.meta->GetRelease(tenant_, id_, id));
  if (record.state != ReleaseState::kBuilding) {
    return absl::FailedPreconditionError(
        Concat(ReleaseName(id), " is ", NameOf(record.state), ": only a release that is BUILDING can be cancelled"));
  }
  record.state = ReleaseState::kFailed;
  record.error_code = static_cast<int>(absl::StatusCode::kCancelled);
  record.error_message = "cancelled";
  RETURN_IF_ERROR(rooms_.meta->UpdateRelease(record));
  absl::MutexLock lock(&mutex_);
  if (const FollowedPtr followed = Find(id); followed != nullptr) Remove(followed, /*discard=*/true);
  return record;
}

absl::Status OpenCollection::DeleteRelease(std::string_view id) {
  absl::MutexLock rows(&rows_mutex_);
  {
    absl::MutexLock lock(&mutex_);
    if (promoting_ && promoting_id_ == id) {
      return absl::FailedPreconditionError(Concat(ReleaseName(id), " is being promoted and cannot be deleted"));
    }
    if (standing_in_ && previous_id_ == id) {
      return absl::FailedPreconditionError(Concat(ReleaseName(id), " answers in place of ", ReleaseName(live_id_),
                                                  ", which cannot now, and cannot be deleted"));
    }
  }
  RETURN_IF_ERROR(rooms_.meta->DeleteRelease(tenant_, id_, id));
  {
    absl::MutexLock lock(&mutex_);
    if (previous_id_ == id) previous_id_.clear();
    ++version_;
    if (const FollowedPtr followed = Find(id); followed != nullptr) {
      Remove(followed, /*discard=*/true);
      UpdateStandIn();
      return absl::OkStatus();
    }
  }
  // The row is gone, which is what the caller asked for; Start removes what this leaves.
  if (const absl::Status status = DiscardFiles(id); !status.ok()) {
    spdlog::warn("{}: was deleted, but not its files: {}", ReleaseName(id), status.ToString());
  }
  return absl::OkStatus();
}

absl::Status OpenCollection::DiscardFiles(std::string_view id) {
  RETURN_IF_ERROR(documents_->DropFollower(id));
  return RemoveTree(ReleaseDirectory(directory_, id).path());
}

// ---- The task thread.

OpenCollection::FollowedPtr OpenCollection::Find(std::string_view id) const {
  const auto found = followed_.find(id);
  return found == followed_.end() ? nullptr : found->second;
}

void OpenCollection::Enqueue(const FollowedPtr& followed) {
  if (followed->tasked) return;
  followed->tasked = true;
  tasks_.push_back(followed);
}

void OpenCollection::Remove(const FollowedPtr& followed, bool discard) {
  followed->removed = true;
  followed->discard = followed->discard || discard;
  ++version_;
  Enqueue(followed);
}

void OpenCollection::ScheduleTasks() {
  const absl::Time now = absl::Now();
  for (const auto& [id, followed] : followed_) {
    if (followed->removed || followed->tasked || followed->task_retry_time > now) continue;
    // A build is sealed once, at its end: graphs of parts of it would take the cores from it and be thrown away.
    const bool building = followed->state == ReleaseState::kBuilding;
    if (building ? followed->follower->caught_up() : followed->follower->WantsSeal()) Enqueue(followed);
  }
}

void OpenCollection::TaskLoop() {
  absl::Time prune_time = absl::Now() + options_.prune_interval;
  while (true) {
    FollowedPtr followed;
    {
      absl::MutexLock lock(&mutex_);
      const auto wanted = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return closed_ || !tasks_.empty(); };
      mutex_.AwaitWithTimeout(absl::Condition(&wanted), options_.prune_interval);
      if (closed_) return;
      if (!tasks_.empty()) {
        followed = std::move(tasks_.front());
        tasks_.pop_front();
      }
    }
    // Where tasks never end pruning has its turn between them, too.
    if (followed == nullptr || absl::Now() >= prune_time) {
      Prune();
      prune_time = absl::Now() + options_.prune_interval;
    }
    if (followed == nullptr) continue;
    RunTask(followed);
    {
      absl::MutexLock lock(&mutex_);
      followed->tasked = false;
      ++version_;
      // Removed while it was worked on: it comes once more, to be forgotten.
      if (followed->removed && Find(followed->follower->release()->id) == followed) Enqueue(followed);
    }
    documents_->Wake();
  }
}

void OpenCollection::RunTask(const FollowedPtr& followed) {
  const std::string& id = followed->follower->release()->id;
  bool finish = false, removed = false;
  {
    absl::MutexLock lock(&mutex_);
    finish = followed->state == ReleaseState::kBuilding && followed->follower->caught_up();
    removed = followed->removed;
  }
  if (removed) return Forget(followed);
  absl::Status status = followed->follower->HasUnsealed() ? Seal(followed) : absl::OkStatus();
  if (status.ok() && finish) status = FinishBuild(followed);
  bool give_up = false;
  {
    absl::MutexLock lock(&mutex_);
    if (status.ok()) {
      followed->task_failures = 0;
      return;
    }
    if (closed_ || followed->removed) return;
    const int failures = ++followed->task_failures;
    followed->task_retry_time =
        absl::Now() + std::min(kTaskRetry * (1 << std::min(failures - 1, 10)), kLongestTaskRetry);
    give_up = finish && failures >= kFinishTries;
  }
  spdlog::error("{}: sealing at commit {} failed: {}", ReleaseName(id), followed->follower->cursor(),
                status.ToString());
  if (give_up) FailRelease(id, status);
}

// Following goes on while the directory is written; only putting it in place takes the writer's turn.
// Building a graph would take every core from searches; the thread that does it must not be the one that holds the turn
// afterwards, since only a privileged process may raise a thread's priority again.
absl::Status OpenCollection::Seal(const FollowedPtr& followed) {
  absl::Status written;
  std::thread([&] {
    GiveWay();
    written = followed->follower->WriteSealed();
  }).join();
  RETURN_IF_ERROR(written);
  {
    absl::MutexLock lock(&mutex_);
    if (!TakeTurn(followed, Patience{})) return absl::CancelledError("the collection is being closed");
    if (followed->removed) {
      followed->writing = false;
      return absl::CancelledError("the release is being removed");
    }
  }
  const absl::Status status = followed->follower->AdoptSealed();
  UpdateMemory(*followed);
  absl::MutexLock lock(&mutex_);
  followed->writing = false;
  ++version_;
  return status;
}

// A build that cannot be judged is READY all the same: promoting it judges it again and says what is wrong.
absl::Status OpenCollection::FinishBuild(const FollowedPtr& followed) {
  const ActiveRelease& release = *followed->follower->release();
  ASSIGN_OR_RETURN(const CollectionRecord collection, rooms_.meta->GetCollection(tenant_, id_));
  std::shared_ptr<const MeasuredRelease> measured;
  if (const std::string& set = collection.gate.evaluation_set; !set.empty()) {
    ASSIGN_OR_RETURN(const std::vector<EvaluationQuery> queries, rooms_.meta->ReadEvaluationQueries(tenant_, id_, set));
    const DocumentStore::Pin pin = documents_->PinVersions();  // Of the versions that the snapshot shows.
    absl::StatusOr<std::shared_ptr<const MeasuredRelease>> result =
        Measure(followed, *release.index->snapshot(), set, queries, Patience{});
    if (result.ok()) {
      measured = *std::move(result);
    } else {
      spdlog::warn("{}: the evaluation after its build failed: {}", ReleaseName(release.id),
                   result.status().ToString());
    }
  }
  absl::MutexLock rows(&rows_mutex_);
  ASSIGN_OR_RETURN(ReleaseRecord record, rooms_.meta->GetRelease(tenant_, id_, release.id));
  if (record.state != ReleaseState::kBuilding) return absl::OkStatus();  // Cancelled meanwhile.
  record.state = ReleaseState::kReady;
  if (measured != nullptr) record.evaluation = measured->evaluation;
  RETURN_IF_ERROR(rooms_.meta->UpdateRelease(record));
  absl::MutexLock lock(&mutex_);
  followed->state = ReleaseState::kReady;
  ++version_;
  return absl::OkStatus();
}

void OpenCollection::Forget(const FollowedPtr& followed) {
  const std::string& id = followed->follower->release()->id;
  bool discard = false;
  {
    absl::MutexLock lock(&mutex_);
    const auto free = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return closed_ || !followed->writing; };
    mutex_.Await(absl::Condition(&free));
    if (closed_) return;
    discard = followed->discard;
    if (!discard) followed_.erase(id);
  }
  if (!discard) return;
  if (const absl::Status status = DiscardFiles(id); !status.ok()) {
    spdlog::warn("{}: its files could not be removed: {}", ReleaseName(id), status.ToString());
  }
  absl::MutexLock lock(&mutex_);
  followed_.erase(id);
}

void OpenCollection::FailRelease(std::string_view id, const absl::Status& reason) {
  absl::MutexLock rows(&rows_mutex_);
  absl::StatusOr<ReleaseRecord> record = rooms_.meta->GetRelease(tenant_, id_, id);
  if (!record.ok() || record->state != ReleaseState::kBuilding) return;
  record->state = ReleaseState::kFailed;
  record->error_code = static_cast<int>(reason.code());
  record->error_message = std::string(reason.message());
  if (const absl::Status status = rooms_.meta->UpdateRelease(*record); !status.ok()) {
    spdlog::error("{}: cannot be marked FAILED: {}", ReleaseName(id), status.ToString());
    return;
  }
  absl::MutexLock lock(&mutex_);
  if (const FollowedPtr followed = Find(id); followed != nullptr) Remove(followed, /*discard=*/true);
}

// ---- The end of the rollback window.

void OpenCollection::RetireIfDue() {
  if (absl::Now() < next_retire_check_) return;
  next_retire_check_ = absl::Now() + kRetireCheckInterval;
  std::string previous;
  {
    absl::ReaderMutexLock lock(&mutex_);
    previous = previous_id_;
  }
  if (previous.empty()) return;
  if (const absl::Status status = Retire(previous); !status.ok() && !stop_) {
    spdlog::error("{}: cannot be retired: {}", ReleaseName(previous), status.ToString());
  }
}

absl::Status OpenCollection::Retire(const std::string& id) {
  absl::MutexLock rows(&rows_mutex_);
  ASSIGN_OR_RETURN(const CollectionRecord collection, rooms_.meta->GetCollection(tenant_, id_));
  ASSIGN_OR_RETURN(ReleaseRecord record, rooms_.meta->GetRelease(tenant_, id_, id));
  const absl::Time end = record.demote_time.value_or(absl::InfinitePast()) + collection.rollback_window;
  {
    absl::ReaderMutexLock lock(&mutex_);
    if (promoting_ && promoting_id_ == id) return absl::OkStatus();
    if (standing_in_) return absl::OkStatus();  // It answers in place of the live one.
  }
  if (record.state != ReleaseState::kPrevious || absl::Now() < end) return absl::OkStatus();
  record.state = ReleaseState::kRetired;
  RETURN_IF_ERROR(rooms_.meta->UpdateRelease(record));
  spdlog::info("{}: its rollback window of {} has passed; it is RETIRED", ReleaseName(id),
               absl::FormatDuration(collection.rollback_window));
  absl::MutexLock lock(&mutex_);
  if (previous_id_ == id) previous_id_.clear();
  const FollowedPtr followed = Find(id);
  if (followed == nullptr) return absl::OkStatus();
  followed->state = ReleaseState::kRetired;
  Remove(followed, /*discard=*/false);
  return absl::OkStatus();
}

}  // namespace tandem
