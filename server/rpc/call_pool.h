#pragma once
// The threads that run calls. Handlers block (on torch, SQLite, FAISS), so they never run on gRPC's own threads: unary calls
// share a fixed number of workers behind a bounded queue, and each open stream has a thread of its own, up to a limit. What
// does not fit is refused at once, not kept waiting. Thread-safe.

#include <atomic>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace tandem {

class CallPool {
 public:
  CallPool(int workers, int max_queued, int max_streams);
  ~CallPool();  // Runs what is queued, then waits for every stream to end.

  // Queues `work`; false when max_queued calls wait already.
  bool Run(std::function<void()> work);
  // Runs `work` on a thread of its own; false when max_streams run already.
  bool RunStream(std::function<void()> work);

  // Streams see draining() and end; unary calls go on.
  void Drain() { draining_ = true; }
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
  int streams_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> workers_;
};

}  // namespace tandem
