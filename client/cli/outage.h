#pragma once
// Says once that the connection broke, however often it is tried again, until something arrives.

#include "absl/status/status.h"
#include "client/cli/progress_bar.h"
#include "client/progress.h"

namespace tandem::cli {

// Not thread-safe; the bar must outlive it.
class Outage {
 public:
  explicit Outage(ProgressBar* bar) : bar_(bar) {}

  // For OnResume.
  void Broken(const absl::Status& error);
  // Something arrived: the next break is news again.
  void Over() { said_ = false; }

 private:
  ProgressBar* const bar_;
  bool said_ = false;
};

}  // namespace tandem::cli
