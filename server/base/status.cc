#include "server/base/status.h"

#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

constexpr absl::string_view kFieldPathUrl = "tandem/field_path";
constexpr absl::string_view kRetryDelayUrl = "tandem/retry_delay_ns";

std::optional<std::string> Payload(const absl::Status& status, absl::string_view url) {
  const absl::optional<absl::Cord> payload = status.GetPayload(url);
  if (!payload.has_value()) return std::nullopt;
  return std::string(*payload);
}

}  // namespace

absl::Status InvalidField(std::string_view path, std::string_view message) {
  absl::Status status = absl::InvalidArgumentError(Concat(path, ": ", message));
  status.SetPayload(kFieldPathUrl, absl::Cord(AbslView(path)));
  return status;
}

std::optional<std::string> FieldPath(const absl::Status& status) { return Payload(status, kFieldPathUrl); }

absl::Status PrefixField(std::string_view prefix, const absl::Status& status) {
  const std::optional<std::string> path = FieldPath(status);
  if (!path.has_value()) return status;
  std::string_view message = StdView(status.message());
  if (message.starts_with(*path + ": ")) message.remove_prefix(path->size() + 2);
  return InvalidField(Concat(prefix, path->starts_with('[') ? "" : ".", *path), message);
}

absl::Status Overloaded(std::string_view message, absl::Duration delay) {
  absl::Status status = absl::ResourceExhaustedError(AbslView(message));
  status.SetPayload(kRetryDelayUrl, absl::Cord(Concat(absl::ToInt64Nanoseconds(delay))));
  return status;
}

std::optional<absl::Duration> RetryDelay(const absl::Status& status) {
  const std::optional<std::string> payload = Payload(status, kRetryDelayUrl);
  int64_t nanoseconds = 0;
  if (!payload.has_value() || !absl::SimpleAtoi(*payload, &nanoseconds)) return std::nullopt;
  return absl::Nanoseconds(nanoseconds);
}

}  // namespace tandem
