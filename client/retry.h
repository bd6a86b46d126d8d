#pragma once
// When and how often a call is repeated.

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace tandem {

struct RetryPolicy {
  absl::Duration first_delay = absl::Milliseconds(200);  // Doubles from one attempt to the next ...
  absl::Duration longest_delay = absl::Seconds(5);       // ... up to this.
  // How long the server may stay away, or ask for patience, before the error is reported: short for a single call,
  // whose caller waits; longer for a stream, which would lose its place and outlives a restart of the server.
  absl::Duration call_patience = absl::Seconds(3);
  absl::Duration stream_patience = absl::Minutes(2);
};

// The delays of one call or stream. Not thread-safe.
class Backoff {
 public:
  Backoff(const RetryPolicy& policy, absl::Duration patience);

  // Something succeeded: delays and patience start again.
  void Reset();

  // Sleeps before the next attempt after `error`, at least as long as the server asked for. False without sleeping when
  // the error is not transient or the patience is used up.
  bool WaitAfter(const absl::Status& error);

 private:
  const RetryPolicy policy_;
  const absl::Duration patience_;
  absl::Duration delay_;
  absl::Time gives_up_ = absl::InfiniteFuture();  // From the first failure on.
};

}  // namespace tandem
