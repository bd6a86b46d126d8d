#pragma once
// What tandemd itself writes into and reads from the event log of a job (server/base/event_log.h), between attempts and
// beside a running trainer.

#include <cstdint>
#include <filesystem>
#include <string>

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/storage/records.h"

namespace tandem {

bool IsFinished(JobState state);

// Append one event durably. REQUIRES: no trainer runs in the directory.
absl::Status AppendStateEvent(const std::filesystem::path& job_directory, int attempt, JobState state);
// A message about a trainer that died; CountDeaths finds it again.
absl::Status AppendDeathEvent(const std::filesystem::path& job_directory, int attempt, const std::string& text);

// Whether the event is of a state in which a job ends.
bool IsFinalStateEvent(const nlohmann::json& event);

struct JobEventsTail {
  int64_t step = 0, total_steps = 0;
  double tokens_per_second = 0;  // Of the last steps; 0 when they do not say.
  int64_t last_sequence = 0;
  bool has_final_state = false;
};
// From the last 64 KiB of the log, so that it costs the same for a long job; all zero while there is no log.
absl::StatusOr<JobEventsTail> ReadEventsTail(const std::filesystem::path& job_directory);

// Deaths that are in the log, of all servers.
absl::StatusOr<int> CountDeaths(const std::filesystem::path& job_directory);

// The status in the last "failed" event; INTERNAL when there is none.
absl::Status ReadFailure(const std::filesystem::path& job_directory);

// The last line that the trainer wrote to its log, at most 400 bytes.
std::string LastLogLine(const std::filesystem::path& job_directory);

}  // namespace tandem
