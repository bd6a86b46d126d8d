#include "server/rpc/status.h"

#include <string>

#include "google/rpc/error_details.pb.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/rpc/wire.h"

namespace tandem {
namespace {

constexpr size_t kMaxStatusMessageBytes =
    4096;  // Trailers have a limit of about 8 KiB, and details repeat the message.

grpc::StatusCode ToGrpcCode(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return grpc::StatusCode::OK;
    case absl::StatusCode::kCancelled:
      return grpc::StatusCode::CANCELLED;
    case absl::StatusCode::kUnknown:
      return grpc::StatusCode::UNKNOWN;
    case absl::StatusCode::kInvalidArgument:
      return grpc::StatusCode::INVALID_ARGUMENT;
    case absl::StatusCode::kDeadlineExceeded:
      return grpc::StatusCode::DEADLINE_EXCEEDED;
    case absl::StatusCode::kNotFound:
      return grpc::StatusCode::NOT_FOUND;
    case absl::StatusCode::kAlreadyExists:
      return grpc::StatusCode::ALREADY_EXISTS;
    case absl::StatusCode::kPermissionDenied:
      return grpc::StatusCode::PERMISSION_DENIED;
    case absl::StatusCode::kResourceExhausted:
      return grpc::StatusCode::RESOURCE_EXHAUSTED;
    case absl::StatusCode::kFailedPrecondition:
      return grpc::StatusCode::FAILED_PRECONDITION;
    case absl::StatusCode::kAborted:
      return grpc::StatusCode::ABORTED;
    case absl::StatusCode::kOutOfRange:
      return grpc::StatusCode::OUT_OF_RANGE;
    case absl::StatusCode::kUnimplemented:
      return grpc::StatusCode::UNIMPLEMENTED;
    case absl::StatusCode::kInternal:
      return grpc::StatusCode::INTERNAL;
    case absl::StatusCode::kUnavailable:
      return grpc::StatusCode::UNAVAILABLE;
    case absl::StatusCode::kDataLoss:
      return grpc::StatusCode::DATA_LOSS;
    case absl::StatusCode::kUnauthenticated:
      return grpc::StatusCode::UNAUTHENTICATED;
    case absl::StatusCode::kDoNotUseReservedForFutureExpansionUseDefaultInSwitchInstead_:
      break;
  }
  return grpc::StatusCode::UNKNOWN;
}

// Cut at a character, and with bytes that are not UTF-8 replaced: a message may quote what a client sent.
std::string CleanMessage(std::string_view message) {
  std::string clean = ReplaceInvalidUtf8(message.substr(0, kMaxStatusMessageBytes));
  if (message.size() > kMaxStatusMessageBytes) clean += "...";
  return clean;
}

}  // namespace

google::rpc::Status ToStatusProto(const absl::Status& status) {
  google::rpc::Status proto;
  proto.set_code(ToGrpcCode(status.code()));
  proto.set_message(CleanMessage(StdView(status.message())));
  if (status.ok()) return proto;
  const auto path = FieldPath(status);
  const auto delay = RetryDelay(status);
  if (path.has_value()) {
    google::rpc::BadRequest details;
    auto* violation = details.add_field_violations();
    violation->set_field(CleanMessage(*path));
    violation->set_description(proto.message());
    proto.add_details()->PackFrom(details);
  }
  if (delay.has_value()) {
    google::rpc::RetryInfo details;
    details.mutable_retry_delay()->set_seconds(absl::ToInt64Seconds(*delay));
    details.mutable_retry_delay()->set_nanos(
        static_cast<int32_t>(absl::ToInt64Nanoseconds(*delay - absl::Trunc(*delay, absl::Seconds(1)))));
    proto.add_details()->PackFrom(details);
  }
  if (!path.has_value() && !delay.has_value()) {
    google::rpc::ErrorInfo details;
    details.set_reason(absl::StatusCodeToString(status.code()));
    details.set_domain("tandem");
    proto.add_details()->PackFrom(details);
  }
  return proto;
}

google::rpc::Status ToStatusProto(int code, std::string_view message) {
  google::rpc::Status proto;
  proto.set_code(ToGrpcCode(static_cast<absl::StatusCode>(code)));
  proto.set_message(CleanMessage(message));
  return proto;
}

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const google::rpc::Status proto = ToStatusProto(status);
  return grpc::Status(ToGrpcCode(status.code()), proto.message(), proto.SerializeAsString());
}

}  // namespace tandem
