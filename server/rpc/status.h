#pragma once
// The one place where absl::Status becomes what a client sees: the gRPC code, the message, and in the trailer
// grpc-status-details-bin a google.rpc.Status whose details are BadRequest (a field is at fault), RetryInfo (repeating
// may help) or else ErrorInfo (the code's name as reason, domain "tandem").

#include <string>
#include <string_view>

#include <grpcpp/support/status.h>

#include "absl/status/status.h"
#include "google/rpc/status.pb.h"

namespace tandem {

grpc::Status ToGrpcStatus(const absl::Status& status);

// What a client gets to see of a message or a field path: at most 1,024 bytes, cut at a character, and with bytes that
// are not UTF-8 replaced, because both may quote what a client sent.
std::string CutStatusText(std::string_view text);

// The same as a message, for fields of type google.rpc.Status.
google::rpc::Status ToStatusProto(const absl::Status& status);

// From a code that was stored as absl::StatusCode's number.
google::rpc::Status ToStatusProto(int code, std::string_view message);

}  // namespace tandem
