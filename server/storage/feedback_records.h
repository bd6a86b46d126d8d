#pragma once
// Rows of the feedback that users give on searches, and of what becomes of it.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace tandem {

// Values reach disk: do not change. kIdle -> kTraining -> kBuilding -> kIdle, or from either of the two back to kIdle.
enum class RoundState { kIdle = 1, kTraining = 2, kBuilding = 3 };

// One go at a better release.
struct FeedbackRound {
  int64_t number = 0;  // From 1; 0: there was none yet.
  RoundState state = RoundState::kIdle;
  absl::Time start_time;
  std::string job, release;  // Ids; empty until they are there.
  std::string outcome;       // For people.
};

// A collection's; it goes with the collection.
struct FeedbackPolicy {
  std::string tenant, collection;
  std::string dataset;                   // Id; empty: feedback is refused.
  std::optional<int64_t> retrain_after;  // Not set: never.
  std::string training_json;             // How a round trains, see server/jobs/feedback.h.
  std::string training_request;          // The same as the caller wrote it; nobody here looks into it.
  int64_t new_examples = 0;              // Since the last round began.
  FeedbackRound last;
};

// What a user said of one hit of one search.
struct HitJudgement {
  std::string document;  // Id.
  bool relevant = false;
  std::string text;  // The document's, as it was shown.
};

}  // namespace tandem
