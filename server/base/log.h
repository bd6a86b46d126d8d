#pragma once
// Logging for all rooms is spdlog's default logger, set up once by each program's main: one line per event to stderr,
// "2026-01-31T12:00:00.123Z level message". Rooms call spdlog::info(...) and friends.

#include <string_view>

#include "absl/status/status.h"

namespace tandem {

// `level` is one of trace, debug, info, warning, error; INVALID_ARGUMENT otherwise.
absl::Status SetUpLogging(std::string_view level);

}  // namespace tandem
