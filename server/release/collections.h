#pragma once
// Every collection that is open in this server: its documents, the followers of its releases, and the live pointer. One
// follower thread per collection embeds what the commit log brings; whose turn it is: open_collection.h.
// Thread-safe.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "index/vector_index.h"
#include "server/base/memory_budget.h"
#include "server/encoder/embedding_queue.h"
#include "server/encoder/encoder.h"
#include "server/encoder/model_cache.h"
#include "server/release/patience.h"
#include "server/storage/document_store.h"
#include "server/storage/meta_store.h"

namespace tandem {

struct ReleaseOptions {
  std::filesystem::path data_directory;
  int64_t max_lag = 1'000'000;  // Commits that the live cursor may be behind before writers get RESOURCE_EXHAUSTED.
  int64_t seal_fresh = 20'000;  // Seal again in the background when the fresh part is larger than this and than a tenth
                                // of the sealed part.
  int64_t keep_versions = 10'000;  // Replaced and deleted documents of the newest so many commits are kept.
  absl::Duration prune_interval = absl::Seconds(5);  // Between looks for what may go.
  int index_threads = 2;
};

// What the scores of a release mean, by its newest evaluation. Thread-safe.
class ReleaseCalibration {
 public:
  void Set(const std::optional<Evaluation>& evaluation) {
    absl::MutexLock lock(&mutex_);
    scaling_.reset();
    if (evaluation && evaluation->calibration) scaling_ = evaluation->calibration->scaling;
  }
  std::optional<PlattScaling> Get() const {
    absl::ReaderMutexLock lock(&mutex_);
    return scaling_;
  }

 private:
  mutable absl::Mutex mutex_;
  std::optional<PlattScaling> scaling_ ABSL_GUARDED_BY(mutex_);
};

// A release in memory. Shared: a call keeps the one that it began with until it is done.
struct ActiveRelease {
  std::string id;                          // Release id.
  std::string model, revision;             // Ids.
  std::shared_ptr<const Encoder> encoder;  // Null in an EXTERNAL collection, and so are the two above empty.
  std::unique_ptr<VectorIndex> index;      // Written by the follower thread only.
  IndexSpec spec;
  std::shared_ptr<ReleaseCalibration> calibration = std::make_shared<ReleaseCalibration>();
};

struct BuildProgress {
  int64_t cursor = 0;
  int64_t target_commit = 0;
  int64_t documents_done = 0, documents_total = 0;
  int64_t documents_taken_over = 0;  // Put into the index since it was opened without being embedded.
  absl::Duration time_left = absl::ZeroDuration();
  int64_t index_bytes = 0;  // Of memory; 0 when the release is not open.
  bool under_way = false;   // It is built, built again, or being promoted.
  bool rebuilding = false;  // It is built again, its files having been damaged, and does not answer yet.
};

// Promotes against the gate when `reason` is not empty; `by` is who asks.
struct GateOverride {
  std::string reason, by;
};

struct PromotionResult {
  ReleaseRecord release;
  std::optional<ReleaseRecord> previous;
  std::optional<GateReport> gate;  // Not set when the gate was not asked: going back asks none.
};

enum class WriteKind { kUpsert, kDelete };

class Collections {
 public:
  // All outlive this.
  Collections(const ReleaseOptions& options, MetaStore* meta, ModelCache* models, EmbeddingQueue* queue,
              MemoryBudget* memory);
  ~Collections();  // Stops the followers.

  // Opens every collection of meta.db, loads live and previous releases, goes on with building ones; clears staging
  // directories and files that no row names. A release whose files are damaged is built again from the commit log; when
  // it is the live one the previous one answers until then. The log says so.
  absl::Status Start();

  absl::StatusOr<CollectionRecord> Create(const CollectionRecord& collection, const MetaStore::Request* request);
  // Makes a collection whose directory (documents.db, releases/) is ready in `staged`, a staging directory beside the
  // place where it belongs, with the rows of `copy`; its live release answers at once. `staged` is gone when this
  // returns OK.
  absl::StatusOr<CollectionRecord> Adopt(const CollectionCopy& copy, const std::filesystem::path& staged);
  absl::Status Delete(std::string_view tenant, std::string_view id);

  // The documents of a collection; NOT_FOUND. Shared: a call may outlive Delete.
  absl::StatusOr<std::shared_ptr<DocumentStore>> Documents(std::string_view tenant, std::string_view id);
  // RESOURCE_EXHAUSTED (Overloaded) when the live release is too far behind, or, for what adds, when the memory budget
  // is exceeded. Asked before each write.
  absl::Status AdmitWrite(std::string_view tenant, std::string_view id, WriteKind kind);

  // The release that answers now: the live one, or the previous one while the live one's files are built again or
  // cannot be opened. FAILED_PRECONDITION before the first promotion; UNAVAILABLE when neither can answer.
  absl::StatusOr<std::shared_ptr<const ActiveRelease>> Live(std::string_view tenant, std::string_view id);
  // Live(), once it has `min_commit`; INVALID_ARGUMENT on "min_commit" when the collection has no such commit yet,
  // DEADLINE_EXCEEDED, CANCELLED.
  absl::StatusOr<std::shared_ptr<const ActiveRelease>> LiveAt(std::string_view tenant, std::string_view id,
                                                              int64_t min_commit, const Patience& patience);

  // A release that is in memory and whole: LIVE, PREVIOUS or READY. FAILED_PRECONDITION for another state, UNAVAILABLE
  // while it is built again or could not be opened.
  absl::StatusOr<std::shared_ptr<const ActiveRelease>> Opened(std::string_view tenant, std::string_view collection,
                                                              std::string_view id);

  // Starts to build; `record` has tenant, collection, id, model, revision, index. RESOURCE_EXHAUSTED with the numbers
  // when its encoder or its index does not fit the memory budget.
  absl::StatusOr<ReleaseRecord> CreateRelease(const ReleaseRecord& record, const MetaStore::Request* request);
  absl::StatusOr<ReleaseRecord> CancelRelease(std::string_view tenant, std::string_view collection,
                                              std::string_view id);
  absl::Status DeleteRelease(std::string_view tenant, std::string_view collection, std::string_view id);
  absl::StatusOr<BuildProgress> Progress(std::string_view tenant, std::string_view collection, std::string_view id);
  // Waits for the candidate to catch up, evaluates both, asks the gate, swaps. See ReleaseService.PromoteRelease.
  // CANCELLED when the caller is gone before the swap.
  absl::StatusOr<PromotionResult> Promote(std::string_view tenant, std::string_view collection, std::string_view id,
                                          std::optional<int64_t> etag, const GateOverride& gate_override,
                                          const Patience& patience, const MetaStore::Request* request);

  // Blocks until the release's state or progress differs from what the caller saw (or the timeout); returns a version
  // that grows with each change of any release of the collection.
  absl::StatusOr<int64_t> WaitForChange(std::string_view tenant, std::string_view collection, int64_t seen_version,
                                        absl::Duration timeout);

 private:
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

}  // namespace tandem
