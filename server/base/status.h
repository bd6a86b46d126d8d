#pragma once
// How tandem's rooms report errors. A status is made where the fault is seen and mapped to the wire once, in
// server/rpc/status.cc. Two payloads ride along: the path of the request field at fault, and when a retry may help.
//
//   if (options.batch_size < 2) return InvalidField("options.batch_size", "1: must be in [2, 4096]");

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace tandem {

// INVALID_ARGUMENT for a request field. `path` is the proto path ("documents[3].id"); the message becomes
// "<path>: <message>".
absl::Status InvalidField(std::string_view path, std::string_view message);

// The field path that InvalidField stored, if any.
std::optional<std::string> FieldPath(const absl::Status& status);

// Puts "<prefix>." (or "<prefix>" before a "[") in front of the field path and message of an InvalidField status; other
// statuses come back unchanged.
absl::Status PrefixField(std::string_view prefix, const absl::Status& status);

// RESOURCE_EXHAUSTED that a client may repeat after `delay`.
absl::Status Overloaded(std::string_view message, absl::Duration delay);

// The delay that Overloaded stored, if any.
std::optional<absl::Duration> RetryDelay(const absl::Status& status);

}  // namespace tandem

#define TANDEM_STATUS_CONCAT_INNER(a, b) a##b
#define TANDEM_STATUS_CONCAT(a, b) TANDEM_STATUS_CONCAT_INNER(a, b)

#define RETURN_IF_ERROR(expression) \
  if (absl::Status tandem_status = (expression); !tandem_status.ok()) return tandem_status

#define ASSIGN_OR_RETURN(declaration, expression) \
  TANDEM_ASSIGN_OR_RETURN_IMPL(TANDEM_STATUS_CONCAT(tandem_or_, __LINE__), declaration, expression)
#define TANDEM_ASSIGN_OR_RETURN_IMPL(result, declaration, expression) \
  auto result = (expression);                                         \
  if (!result.ok()) return result.status();                           \
  declaration = *std::move(result)
