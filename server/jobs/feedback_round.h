#pragma once
// The next step of a collection's feedback round; see feedback.h.

#include <functional>

#include "absl/status/status.h"
#include "server/jobs/training_jobs.h"
#include "server/release/collections.h"
#include "server/storage/meta_store.h"

namespace tandem {

struct RoundRooms {
  MetaStore* meta;
  Collections* collections;
  TrainingJobs* jobs;
};

// Takes it when it can be taken now, and stores where the round then is. Blocks while a release is promoted, until
// `stop` is true. An error leaves the round where it was.
absl::Status AdvanceRound(const RoundRooms& rooms, FeedbackPolicy policy, const std::function<bool()>& stop);

}  // namespace tandem
