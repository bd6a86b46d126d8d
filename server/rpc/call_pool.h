#pragma once
// The threads that run calls. Handlers block (on torch, SQLite, FAISS), so they never run on gRPC's own threads: unary
// calls share a fixed number of workers behind a bounded queue, and each open stream has a thread of its own, up to a
// limit. What does not fit is refused at once, not kept waiting. Thread-safe.

#include <atomic>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace tandem {

class CallPool {
 public:
  CallPool(int workers, int max_queued, int max_streams);
  ~CallPool();  // Runs what is queued, then waits for every stream to end.

  // Queues `work`; false when max_queued calls wait already or the pool drains.
  bool Run(std::function<void()> work);
  // Runs `work` on a thread of its own; false when max_streams run already or the pool drains.
  bool RunStream(std::function<void()> work);

  // No call is taken any more; streams, and calls that wait for a release, see draining() and end; the others go on.
  // Returns when none is left or the time is over.
  void Drain(absl::Duration patience);
  bool draining() const { return draining_; }
  int max_queued() const { return max_queued_; }
  int max_streams() const { return max_streams_; }

 private:
  void Work();

  const int max_queued_;
  const int max_streams_;
  std::atomic<bool> draining_ = false;
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  int running_ ABSL_GUARDED_BY(mutex_) = 0;  // Unary calls at work.
  int streams_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> workers_;
};

}  // namespace tandem
