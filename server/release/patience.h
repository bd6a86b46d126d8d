#pragma once
// How long a call may wait: until its deadline, and no longer than its caller is there.

#include <algorithm>
#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace tandem {

struct Patience {
  absl::Time deadline = absl::InfiniteFuture();
  std::function<bool()> gone;  // The caller is there no longer; asked with locks held. Empty: it stays.

  bool IsGone() const { return gone && gone(); }
  bool IsOver() const { return IsGone() || absl::Now() >= deadline; }
};

// How often a wait asks whether the caller is still there.
inline constexpr absl::Duration kGoneInterval = absl::Milliseconds(250);

// As absl::Mutex::AwaitWithDeadline; false also when the caller is gone.
inline bool Await(absl::Mutex* mutex, const absl::Condition& condition, const Patience& patience)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
  if (!patience.gone) return mutex->AwaitWithDeadline(condition, patience.deadline);
  absl::Time until = absl::InfinitePast();
  while (!mutex->AwaitWithDeadline(condition, std::min(until, patience.deadline))) {
    if (patience.deadline <= until || patience.IsGone()) return false;
    until = absl::Now() + kGoneInterval;
  }
  return true;
}

}  // namespace tandem
