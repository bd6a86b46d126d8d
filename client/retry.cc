#include "client/retry.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "client/error.h"

namespace tandem {

Backoff::Backoff(const RetryPolicy& policy, absl::Duration patience)
    : policy_(policy), patience_(patience), delay_(policy.first_delay) {}

void Backoff::Reset() {
  delay_ = policy_.first_delay;
  gives_up_ = absl::InfiniteFuture();
}

bool Backoff::WaitAfter(const absl::Status& error) {
  if (!IsTransient(error)) return false;
  const absl::Time now = absl::Now();
  if (gives_up_ == absl::InfiniteFuture()) gives_up_ = now + patience_;
  const absl::Duration delay = std::max(delay_, RetryAfter(error).value_or(absl::ZeroDuration()));
  if (now + delay > gives_up_) return false;
  absl::SleepFor(delay);
  delay_ = std::min(2 * delay_, policy_.longest_delay);
  return true;
}

}  // namespace tandem
