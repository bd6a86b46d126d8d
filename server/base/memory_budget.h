#pragma once
// How much memory the loaded models and the indexes of the releases may take together (--memory-budget), and who takes
// it. It counts what it is told, in bytes: it measures nothing and allocates nothing. Whoever is about to need memory
// reserves it first, under the name that a client knows it by:
//
//   ASSIGN_OR_RETURN(MemoryReservation memory, budget->Reserve("collections/c/releases/r", estimate));
//   ... build the index ...
//   RETURN_IF_ERROR(memory.Resize(index.memory_bytes()));  // Released when `memory` is destroyed.
//
// A demand that does not fit first asks the evictors to drop what is idle, then is refused with the numbers:
//   RESOURCE_EXHAUSTED "collections/c/releases/r needs 700.0 MiB of memory, but 400.0 MiB of the budget of 1000.0 MiB
//   are in use (models/m/revisions/a 300.0 MiB, collections/d/releases/q 100.0 MiB): free some or raise
//   --memory-budget"
//
// Thread-safe. Lock order: the lock of one eviction at a time, then the evictor's own locks, then the lock of the
// numbers, which is a leaf. So a reservation may be destroyed, shrunk and read under any lock, but Reserve, a Resize or
// Force that grows, and RemoveEvictor are called without any lock that an evictor takes.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

namespace tandem {

class MemoryBudget;

// A share of a budget, given back when it is destroyed; the budget outlives it. One thread at a time, but for bytes().
class MemoryReservation {
 public:
  MemoryReservation() = default;  // Holds nothing of no budget: only for being assigned to.
  MemoryReservation(MemoryReservation&& other) noexcept;
  MemoryReservation& operator=(MemoryReservation&& other) noexcept;
  ~MemoryReservation();

  int64_t bytes() const;

  // Takes `bytes` (>= 0) from now on. Growing is refused like Reserve, and then nothing changes; shrinking is not.
  // REQUIRES: made by Reserve.
  absl::Status Resize(int64_t bytes);

  // As Resize, for memory that is taken already and can't be given back, such as the vectors of documents that were
  // acknowledged: what is idle is dropped, but the budget may be exceeded. Then over() is true and demands are refused
  // until enough has been given back.
  void Force(int64_t bytes);

 private:
  friend class MemoryBudget;
  MemoryReservation(MemoryBudget* budget, int64_t id) : budget_(budget), id_(id) {}

  MemoryBudget* budget_ = nullptr;
  int64_t id_ = 0;
};

// kAlways: of what served before a restart and must serve again, whatever has grown since. Never refused, like Force.
enum class Admission { kIfItFits, kAlways };

struct MemoryUse {
  std::string what;
  int64_t bytes = 0;
};

class MemoryBudget {
 public:
  explicit MemoryBudget(int64_t total_bytes);
  MemoryBudget(const MemoryBudget&) = delete;
  MemoryBudget& operator=(const MemoryBudget&) = delete;
  ~MemoryBudget();  // REQUIRES: nothing is reserved.

  // `what` names the user in messages and lists: "models/m/revisions/a". `bytes` >= 0.
  absl::StatusOr<MemoryReservation> Reserve(std::string what, int64_t bytes,
                                            Admission admission = Admission::kIfItFits);

  // Drops one thing that nobody uses, which releases its reservation; false when nothing is idle.
  using Evictor = std::function<bool()>;
  int64_t AddEvictor(Evictor evictor);
  void RemoveEvictor(int64_t id);  // The evictor is not running when this returns, and not called again.

  int64_t total() const { return total_; }
  int64_t used() const;
  bool over() const;                    // used() > total().
  bool MakeRoom();                      // Drops what is idle while over(); whether it is not over() any more.
  std::vector<MemoryUse> List() const;  // Whoever takes any, the largest first.

 private:
  friend class MemoryReservation;

  absl::Status Resize(int64_t id, int64_t bytes);  // Evicts what is idle, and refuses.
  void Force(int64_t id, int64_t bytes);           // Evicts what is idle.
  void Release(int64_t id);
  bool EvictOne();
  std::vector<MemoryUse> Uses() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Refusal(const std::string& what, int64_t more) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const int64_t total_;
  absl::Mutex eviction_;  // Before mutex_. Held while an evictor runs.
  std::map<int64_t, Evictor> evictors_ ABSL_GUARDED_BY(eviction_);
  mutable absl::Mutex mutex_;
  int64_t last_id_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t used_ ABSL_GUARDED_BY(mutex_) = 0;  // The sum of all entries.
  std::map<int64_t, MemoryUse> entries_ ABSL_GUARDED_BY(mutex_);
};

// "700.0 MiB"; below 1 MiB in bytes.
std::string FormatMemory(int64_t bytes);

}  // namespace tandem
