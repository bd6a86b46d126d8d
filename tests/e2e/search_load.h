#pragma once
// Clients that search without a pause while something else happens: each on a channel and thread of its own, one call
// after another.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "tests/e2e/answer_oracle.h"

namespace tandem::test {

struct SearchLoadOptions {
  int clients = 2;
  // Every second client asks for the newest acknowledged commit in every other search. Without it nobody does.
  std::function<int64_t()> newest_commit;
  absl::Duration pause = absl::ZeroDuration();  // Between two searches of one client.
  uint64_t seed = 1;                            // Of the texts.
  // A server that is not there, or goes away during a call, is no failure: the client tries again. A collection without
  // a live release is none either.
  bool server_dies = false;
};

class SearchLoad {
 public:
  SearchLoad(std::string address, SearchLoadOptions options);
  ~SearchLoad();

  // Ends all searches; afterwards nothing below changes.
  void Stop();

  int64_t searches() const { return searches_; }  // Answered.
  // What went wrong, one line each, at most 20: failed calls, an answer older than the one before it or than asked for.
  std::vector<std::string> failures() const;
  std::vector<SearchAnswer> answers() const;  // All; after Stop.

 private:
  void Run(int number);
  void Fail(std::string failure);

  const std::string address_;
  const SearchLoadOptions options_;
  std::atomic<bool> stopping_ = false;
  std::atomic<int64_t> searches_ = 0;
  mutable absl::Mutex mutex_;
  std::vector<std::string> failures_ ABSL_GUARDED_BY(mutex_);
  std::vector<SearchAnswer> answers_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_;
};

}  // namespace tandem::test
