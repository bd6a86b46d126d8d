#pragma once
// Ranges of request fields. Each error names the path, the value and the limits (InvalidField). Not-a-number is in no
// range.

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {

inline absl::Status CheckRange(std::string_view path, int64_t value, int64_t least, int64_t most) {
  if (value >= least && value <= most) return absl::OkStatus();
  return InvalidField(path, Concat(value, ": must be in [", least, ", ", most, "]"));
}

inline absl::Status CheckRange(std::string_view path, std::optional<int64_t> value, int64_t least, int64_t most) {
  return value ? CheckRange(path, *value, least, most) : absl::OkStatus();
}

// In (0, most].
inline absl::Status CheckPositive(std::string_view path, double value, double most) {
  if (value > 0 && value <= most) return absl::OkStatus();
  return InvalidField(path, Concat(value, ": must be in (0, ", most, "]"));
}

// In [least, most].
inline absl::Status CheckBetween(std::string_view path, double value, double least, double most) {
  if (value >= least && value <= most) return absl::OkStatus();
  return InvalidField(path, Concat(value, ": must be in [", least, ", ", most, "]"));
}

inline absl::Status CheckAtLeast(std::string_view path, std::optional<int64_t> value, int64_t least) {
  if (!value || *value >= least) return absl::OkStatus();
  return InvalidField(path, Concat(*value, ": must be at least ", least));
}

}  // namespace tandem
