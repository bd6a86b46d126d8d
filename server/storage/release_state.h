#pragma once
// The names of release states, as the API and messages write them.

#include "server/storage/records.h"

namespace tandem {

inline const char* NameOf(ReleaseState state) {
  switch (state) {
    case ReleaseState::kBuilding:
      return "BUILDING";
    case ReleaseState::kReady:
      return "READY";
    case ReleaseState::kLive:
      return "LIVE";
    case ReleaseState::kPrevious:
      return "PREVIOUS";
    case ReleaseState::kRetired:
      return "RETIRED";
    case ReleaseState::kFailed:
      return "FAILED";
  }
  return "unknown";
}

}  // namespace tandem
