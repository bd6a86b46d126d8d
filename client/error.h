#pragma once
// Errors as a caller of the library sees them: an absl::Status whose message names the request field at fault and says
// what to do. Made once, from what gRPC reports, in FromGrpc.

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace grpc {
class Status;
}

namespace tandem {

// The status of a call to the server at `address`. google.rpc.BadRequest, RetryInfo and ErrorInfo in the details become
// part of the message, one line each; the delay of RetryInfo can be read back with RetryAfter.
absl::Status FromGrpc(const grpc::Status& status, absl::string_view address);

// How long the server asked to wait before the call is repeated, if it did.
std::optional<absl::Duration> RetryAfter(const absl::Status& status);

// True when the same call may succeed later without any change: the server cannot be reached, or it asked for patience.
bool IsTransient(const absl::Status& status);

// "<context>: <message>" with the same code and payloads.
absl::Status Annotate(const absl::Status& status, absl::string_view context);

// INVALID_ARGUMENT for something that the caller gave, found before any call: "<what>: <message>".
absl::Status BadInput(absl::string_view what, absl::string_view message);

}  // namespace tandem
