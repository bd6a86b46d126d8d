#pragma once
// The settings of tandemd. Each flag is also an environment variable (--data-dir and TANDEM_DATA_DIR); the flag wins.

#include <cstdint>
#include <filesystem>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace tandem {

struct ServerFlags {
  std::string listen;
  std::filesystem::path port_file;  // Empty: none.
  std::filesystem::path data_directory;
  std::filesystem::path model_import_directory;  // Empty: none.
  std::filesystem::path snapshot_directory;
  std::filesystem::path trainer_binary;
  int threads = 0;
  int trainer_threads = 0;
  int64_t memory_budget_bytes = 0;
  int64_t trainer_memory_bytes = 0;  // 0: no limit.
  int max_queued_calls = 0;
  int64_t max_lag = 0;
  int64_t seal_fresh = 0;
  int64_t keep_versions = 0;
  absl::Duration search_log_age;
  int64_t search_log_size = 0;
  absl::Duration drain_timeout;
  std::string log_level;
};

// Reads environment and command line. INVALID_ARGUMENT names the flag or variable, its value and what it must be; a
// TANDEM_ variable that is no flag is one too. --help and --version print and exit.
absl::StatusOr<ServerFlags> ReadFlags(int argc, char** argv);

}  // namespace tandem
