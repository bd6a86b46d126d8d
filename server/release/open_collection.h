#pragma once
// One collection that is open: its documents, the releases that follow its commit log, and the live pointer.
//
// Two threads. The follower thread takes one step of one release at a time: the one that answers first, then building,
// previous, ready. A release that must come level with the one that answers (it chases it) goes before it, two steps
// for one: the candidate of a promotion; the previous one when it falls behind, so that going back takes under a
// second; the live one when its files were damaged and it is built again. Steps are short once there is a live release:
// whoever needs the next one waits for the one under way. The task thread does what is long and must not keep it
// waiting: sealing, the evaluation at the end of a build, and removing what a release leaves behind. Promote and
// CreateRelease run on their callers' threads.
//
// A release in memory is a `Followed`. Whoever writes to its index (a step, adopting a sealed directory, and a
// promotion that keeps the live one still while the candidate comes level) has its `writing` turn. Locks: rows_mutex_
// makes read-modify-write of release rows one step and is held across SQLite calls only; mutex_ guards what is in
// memory and is never held across a call that embeds, searches, or touches a disk. Order: rows_mutex_, then mutex_.

#include <atomic>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/base/memory_budget.h"
#include "server/release/collections.h"
#include "server/release/follower.h"
#include "server/release/gate.h"

namespace tandem {

class OpenCollection {
 public:
  // What the rooms below are reached by; all outlive every collection.
  struct Rooms {
    MetaStore* meta;
    ModelCache* models;
    EmbeddingQueue* queue;
    MemoryBudget* memory;
  };

  OpenCollection(const ReleaseOptions& options, const Rooms& rooms, std::string tenant, std::string id,
                 std::shared_ptr<DocumentStore> documents);
  ~OpenCollection();  // Closes.

  // Clears what no release row names, opens the releases that are in use, starts the threads. A release that cannot be
  // opened is logged and does not keep the others from being opened.
  absl::Status Start();
  // Ends the threads and every call that waits; then nothing of it touches its files any more.
  void Close();

  const std::shared_ptr<DocumentStore>& documents() const { return documents_; }

  // See Collections for these.
  absl::Status AdmitWrite(WriteKind kind);
  absl::StatusOr<std::shared_ptr<const ActiveRelease>> Live();
  absl::StatusOr<std::shared_ptr<const ActiveRelease>> LiveAt(int64_t min_commit, const Patience& patience);
  absl::StatusOr<std::shared_ptr<const ActiveRelease>> Opened(std::string_view id);
  absl::StatusOr<ReleaseRecord> CreateRelease(const ReleaseRecord& record, const MetaStore::Request* request);
  absl::StatusOr<ReleaseRecord> CancelRelease(std::string_view id);
  absl::Status DeleteRelease(std::string_view id);
  absl::StatusOr<BuildProgress> Progress(std::string_view id);
  absl::StatusOr<PromotionResult> Promote(std::string_view id, std::optional<int64_t> etag,
                                          const GateOverride& gate_override, const Patience& patience,
                                          const MetaStore::Request* request);
  absl::StatusOr<int64_t> WaitForChange(int64_t seen_version, absl::Duration timeout);

 private:
  // Fields other than `follower` are guarded by OpenCollection::mutex_.
  struct Followed {
    std::unique_ptr<Follower> follower;
    ReleaseState state = ReleaseState::kBuilding;
    bool writing = false;  // Somebody has the writer's turn.
    int turns_wanted = 0;  // TakeTurn calls that wait for it: the follower thread takes no step until they have had it.
    bool tasked = false;   // In tasks_, or the task thread works on it.
    bool removed = false;  // Takes no more steps; the task thread forgets it.
    bool discard = false;  // ... and removes its files and vectors.
    int step_failures = 0, task_failures = 0;
    absl::Time step_retry_time = absl::InfinitePast();
    absl::Time task_retry_time = absl::InfinitePast();
    std::shared_ptr<const MeasuredRelease> measured;  // Newest.
    MemoryReservation memory;                         // Of the index; changed by whoever has the writer's turn.
    int64_t estimated_bytes = 0;                      // Of the whole index, while it is built.
  };
  using FollowedPtr = std::shared_ptr<Followed>;
  struct Turn {
    FollowedPtr followed;  // Null: nothing to do.
    int64_t up_to = 0;
    StepSize size = StepSize::kShort;
    EmbeddingPriority priority = EmbeddingPriority::kBulk;
  };

  // open_collection.cc
  absl::Status ClearLeftovers(const std::vector<ReleaseRecord>& releases);
  absl::StatusOr<std::vector<ReleaseRecord>> ReadReleases();
  absl::StatusOr<FollowedPtr> OpenRelease(const ReleaseRecord& record, Admission admission);
  // The states of the other open releases of its revision.
  OtherIndexes OthersOf(const ReleaseRecord& record);
  void OpenOrReport(const ReleaseRecord& record);
  void FollowLoop();
  // Waits for the writer's turn and takes it; false when the patience is over or the collection closes.
  bool TakeTurn(const FollowedPtr& followed, const Patience& patience) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Turn NextTurn(int64_t head) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Chases(const Followed& followed) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  int Rank(const Followed& followed) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  void EndStep(const FollowedPtr& followed, const absl::Status& status);
  // Counts what the index takes now. REQUIRES: the caller has the writer's turn, and not mutex_.
  void UpdateMemory(Followed& followed);
  // The release that answers: the live one, or the previous one while it stands in.
  FollowedPtr Answering() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  bool CanAnswer(const FollowedPtr& followed) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  void UpdateStandIn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // After its last step, whether a release that was built again has all that it needs to be whole.
  bool IsWhole(const FollowedPtr& followed);
  absl::StatusOr<std::shared_ptr<const ActiveRelease>> LiveLocked() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  absl::Status ClosedError() const;
  std::string Name() const;
  std::string ReleaseName(std::string_view id) const;

  // release_tasks.cc
  absl::StatusOr<EmbeddingContract> ContractOf(const ReleaseRecord& record);
  void ScheduleTasks() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Enqueue(const FollowedPtr& followed) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Remove(const FollowedPtr& followed, bool discard) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  FollowedPtr Find(std::string_view id) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  void TaskLoop();
  void RunTask(const FollowedPtr& followed);
  absl::Status Seal(const FollowedPtr& followed);
  absl::Status FinishBuild(const FollowedPtr& followed);
  void Forget(const FollowedPtr& followed);
  absl::Status DiscardFiles(std::string_view id);
  void FailRelease(std::string_view id, const absl::Status& reason);
  void RetireIfDue();
  absl::Status Retire(const std::string& id);

  // pruning.cc
  // Removes versions that no release and no search needs any more, at least for a second where there are so many; then
  // until a task waits. Task thread only.
  void Prune();
  // The commit up to which every release has sealed what came.
  absl::StatusOr<int64_t> PruneFloor();
  absl::Status LetGoOfRetired(std::map<std::string, DocumentStore::Cursor>* cursors);

  // promotion.cc
  absl::Status BeginPromotion(std::string_view id, const Patience& patience);
  void EndPromotion();
  absl::StatusOr<FollowedPtr> Candidate(const ReleaseRecord& record, const Patience& patience);
  absl::Status WaitUntilNear(const FollowedPtr& candidate, const Patience& patience);
  // What a candidate must have to go live now.
  int64_t LevelCommit() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  // Keeps the release that answers where it is, by taking its writing turn, and waits until the candidate is there too.
  absl::Status HoldAnswering(const FollowedPtr& candidate, const Patience& patience);
  // One try; false when the candidate did not come level in time.
  absl::StatusOr<bool> TryToHold(const FollowedPtr& candidate, const Patience& patience);
  void LetGo();
  void LetGoLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<GateReport> Judge(const FollowedPtr& candidate, const CollectionRecord& collection,
                                   const Patience& patience);
  absl::StatusOr<std::shared_ptr<const MeasuredRelease>> Measure(const FollowedPtr& followed,
                                                                 const IndexSnapshot& snapshot,
                                                                 const std::string& evaluation_set,
                                                                 const std::vector<EvaluationQuery>& queries,
                                                                 const Patience& patience);
  absl::Status StoreEvaluation(const std::string& release, const Evaluation& evaluation);
  // Judges the candidate, records what the gate said, and returns it when the promotion may go on.
  absl::StatusOr<GateReport> AskAndRecord(const FollowedPtr& candidate, const CollectionRecord& collection,
                                          const GateOverride& gate_override, const Patience& patience);
  absl::Status Swap(const FollowedPtr& candidate, std::optional<int64_t> etag, const std::optional<GateReport>& gate,
                    const MetaStore::Request* request, const Patience& patience);

  const ReleaseOptions options_;
  const Rooms rooms_;
  const std::string tenant_, id_;
  const std::filesystem::path directory_;
  const std::shared_ptr<DocumentStore> documents_;
  std::atomic<bool> stop_{false};  // As closed_, for work that looks without the lock.

  absl::Mutex rows_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);

  mutable absl::Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<std::string, FollowedPtr, std::less<>> followed_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string, std::less<>> creating_ ABSL_GUARDED_BY(mutex_);  // Ids whose files are made or put away.
  std::string live_id_ ABSL_GUARDED_BY(mutex_), previous_id_ ABSL_GUARDED_BY(mutex_);
  FollowedPtr live_ ABSL_GUARDED_BY(mutex_);         // Null when there is none, or when it could not be opened.
  absl::Status live_error_ ABSL_GUARDED_BY(mutex_);  // Why it could not.
  // The previous release answers while the live one cannot: it could not be opened, or its files were damaged and it is
  // built again. No client is taken back in time: it begins once it has what the live one had shown, and ends once the
  // live one has what it has shown.
  bool standing_in_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t shown_ ABSL_GUARDED_BY(mutex_) = 0;  // The commit that the live release had shown before Start.
  std::deque<FollowedPtr> tasks_ ABSL_GUARDED_BY(mutex_);
  int64_t version_ ABSL_GUARDED_BY(mutex_) = 1;  // Grows with each change of a release.
  bool promoting_ ABSL_GUARDED_BY(mutex_) = false;
  std::string promoting_id_ ABSL_GUARDED_BY(mutex_);
  int64_t promotion_floor_ ABSL_GUARDED_BY(mutex_) = 0;  // The newest commit when the promotion began.
  FollowedPtr held_ ABSL_GUARDED_BY(mutex_);      // The promotion has the writing turn of this one, which answers.
  int chaser_steps_ ABSL_GUARDED_BY(mutex_) = 0;  // Since the last step of one that chases nobody.

  absl::Time next_prune_ = absl::InfinitePast();         // Task thread only.
  absl::Time next_retire_check_ = absl::InfinitePast();  // Follower thread only.
  std::thread follower_thread_, task_thread_;
};

}  // namespace tandem
