#include "server/rpc/call_pool.h"

#include <utility>

namespace tandem {

CallPool::CallPool(int workers, int max_queued, int max_streams) : max_queued_(max_queued), max_streams_(max_streams) {
  for (int i = 0; i < workers; ++i) workers_.emplace_back([this] { Work(); });
}

CallPool::~CallPool() {
  Drain(absl::ZeroDuration());
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  for (std::thread& worker : workers_) worker.join();
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(
      +[](int* streams) { return *streams == 0; }, &streams_));
}

bool CallPool::Run(std::function<void()> work) {
  absl::MutexLock lock(&mutex_);
  if (draining_ || queue_.size() >= static_cast<size_t>(max_queued_)) return false;
  queue_.push_back(std::move(work));
  return true;
}

bool CallPool::RunStream(std::function<void()> work) {
  {
    absl::MutexLock lock(&mutex_);
    if (draining_ || streams_ >= max_streams_) return false;
    ++streams_;
  }
  std::thread([this, work = std::move(work)] {
    work();
    absl::MutexLock lock(&mutex_);
    --streams_;
  }).detach();
  return true;
}

void CallPool::Drain(absl::Duration patience) {
  draining_ = true;
  absl::MutexLock lock(&mutex_);
  const auto idle = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return queue_.empty() && running_ == 0 && streams_ == 0;
  };
  mutex_.AwaitWithTimeout(absl::Condition(&idle), patience);
}

void CallPool::Work() {
  const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || !queue_.empty(); };
  while (true) {
    std::function<void()> work;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(&ready));
      if (queue_.empty()) return;
      work = std::move(queue_.front());
      queue_.pop_front();
      ++running_;
    }
    work();
    absl::MutexLock lock(&mutex_);
    --running_;
  }
}

}  // namespace tandem
