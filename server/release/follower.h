#pragma once
// One release's way through its collection's commit log. A step reads the versions after the cursor, embeds them,
// stores vectors and cursor in one transaction (DocumentStore::Advance) and only then makes them visible in the index.
// What a crash interrupts between the two is put into the index from the stored vectors at the next Open, so nothing is
// embedded twice, lost, or applied twice.
//
// A text is embedded once. A version with the text of the one before it takes over its vector from the index, and one
// that another open release of the same revision has takes that release's. In an EXTERNAL collection the vectors are
// those that clients brought: they are in the store already, with the version, and only the cursor is written.
//
// Sealing: WriteSealed publishes a sealed directory of the index as it is; AdoptSealed puts it in place, lets the store
// drop the vectors that it holds, and removes the directory before it, in this order: a crash between any two leaves
// either directory usable, because Open takes the newest one whose later vectors are all still stored.
//
// Threads: Step and AdoptSealed are writers: one at a time (the owner hands out the turn). WriteSealed: one at a time,
// beside the writers. The rest from any thread.

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "index/vector_index.h"
#include "server/encoder/embedding_queue.h"
#include "server/release/collections.h"
#include "server/release/known_vectors.h"
#include "server/release/release_directory.h"
#include "server/storage/document_store.h"
#include "server/storage/records.h"

namespace tandem {

// The form of a release's index.
VectorIndexOptions IndexOptions(const ReleaseRecord& record);

// How much one step embeds: about five hundred tokens, or, where nobody waits for the next step, sixteen thousand.
enum class StepSize { kShort, kLong };

// States of the other open releases of the same revision; called by Step, with no lock of the follower's held.
using OtherIndexes = std::function<KnownVectors::Snapshots()>;

class Follower {
 public:
  // Opens the release's index at its cursor. `building`: it is not read before it has every commit of now, so versions
  // that are superseded by then need no embedding; also the case when its files are missing or damaged: then the log
  // gets a line, the cursor goes back to 0 and caught_up() is false until all is built again, over restarts too.
  // `encoder` is null in an EXTERNAL collection; `others` may be empty.
  static absl::StatusOr<std::unique_ptr<Follower>> Open(const ReleaseOptions& options, const ReleaseRecord& record,
                                                        const std::filesystem::path& collection_directory,
                                                        std::shared_ptr<const Encoder> encoder,
                                                        std::shared_ptr<DocumentStore> documents, EmbeddingQueue* queue,
                                                        OtherIndexes others, bool building);

  const std::shared_ptr<const ActiveRelease>& release() const { return release_; }
  // The commit that the index shows.
  int64_t cursor() const { return cursor_.load(std::memory_order_acquire); }
  // Whether it may answer: false while it is built (again).
  bool caught_up() const { return caught_up_.load(std::memory_order_acquire); }
  // Whether its damaged index is built again, over restarts too, until MarkWhole.
  bool rebuilding() const { return rebuilding_.load(std::memory_order_acquire); }
  // Once it is caught up, and has what stood in for it has shown: from now on a restart takes it for whole.
  absl::Status MarkWhole();

  // Follows by one batch, not past `up_to`. After an error the same step is tried again by the next call.
  absl::Status Step(int64_t up_to, StepSize size, EmbeddingPriority priority = EmbeddingPriority::kBulk);

  // Whether the fresh part or the tombstones have grown so far that sealing pays.
  bool WantsSeal() const;
  // Whether there is anything that a sealed directory does not have yet.
  bool HasUnsealed() const;
  absl::Status WriteSealed();
  absl::Status AdoptSealed();  // REQUIRES: WriteSealed was the last to return OK.

  BuildProgress Progress() const;

 private:
  // What one step adds. Kept until the index shows it, so that a failure half way is not embedded or stored twice.
  struct Batch {
    int64_t commit = 0;
    std::vector<int64_t> labels;
    std::vector<float> vectors;
    std::vector<int64_t> removed;
    int64_t passed_over = 0;  // Versions after `counted_commit_` that are not in the index.
    int64_t taken_over = 0;   // Of `labels`: were not embedded.
  };
  Follower(const ReleaseOptions& options, const ReleaseRecord& record,
           const std::filesystem::path& collection_directory, std::shared_ptr<const Encoder> encoder,
           std::shared_ptr<DocumentStore> documents, EmbeddingQueue* queue, OtherIndexes others);

  absl::Status OpenIndex();
  absl::Status OpenNewestSealed(int64_t sealed_commit, int64_t cursor);
  absl::Status ReplayStored(int64_t cursor);
  absl::Status ReplayOwnVectors(int64_t cursor);
  absl::Status ReplayClientVectors(int64_t cursor);
  absl::Status StartAgain(const absl::Status& reason);
  absl::Status StartBuilding();
  absl::StatusOr<Batch> NextBatch(int64_t up_to, StepSize size, EmbeddingPriority priority);
  // The versions up to the first one that has to be embedded, when they are many or all; otherwise a batch at cursor().
  absl::StatusOr<Batch> WithoutEmbedding(int64_t up_to, KnownVectors* known);
  absl::StatusOr<Batch> Embed(int64_t up_to, StepSize size, EmbeddingPriority priority, const KnownVectors& known);
  void Sort(const std::vector<DocumentVersion>& versions, Batch* batch);
  // Up to which commit a version must not be superseded to be in a batch that ends at `commit`.
  int64_t SeenFrom(int64_t commit) const;
  int64_t SkipUpTo() const;
  absl::Status Commit(Batch& batch);
  void NoteCaughtUp();
  std::string Name() const;

  const ReleaseOptions options_;
  const ReleaseRecord record_;
  const ReleaseDirectory directory_;
  const std::shared_ptr<DocumentStore> documents_;
  EmbeddingQueue* const queue_;
  const OtherIndexes others_;
  const std::shared_ptr<ActiveRelease> active_;
  const std::shared_ptr<const ActiveRelease> release_;

  std::atomic<int64_t> cursor_{0};
  std::atomic<bool> caught_up_{true};
  std::atomic<bool> rebuilding_{false};
  std::atomic<int64_t> sealed_commit_{0};     // Of the directory that the index stands on.
  std::atomic<int64_t> published_commit_{0};  // Of the directory that WriteSealed published last.

  // Written by Open before others see the follower, then read only.
  int64_t build_commit_ = 0;       // caught_up once the cursor has it; versions superseded by then are passed over.
  bool from_the_start_ = false;    // The cursor was 0 at Open: the store may leave out what is passed over, see Embed.
  int64_t counted_commit_ = 0;     // documents_to_do_ are those up to here; later ones are counted as they come.
  int64_t documents_at_open_ = 0;  // Done before this run.
  int64_t documents_to_do_ = 0;

  std::optional<Batch> pending_;  // Writers only.

  mutable absl::Mutex mutex_;
  absl::Time start_time_ ABSL_GUARDED_BY(mutex_);
  int64_t done_ ABSL_GUARDED_BY(mutex_) = 0;         // Put into the index in this run;
  int64_t taken_over_ ABSL_GUARDED_BY(mutex_) = 0;   // of these, without being embedded.
  int64_t passed_over_ ABSL_GUARDED_BY(mutex_) = 0;  // Of commits after counted_commit_.
};

}  // namespace tandem
