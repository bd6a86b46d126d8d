#include "server/rpc/status.h"

#include <string>

#include "google/rpc/error_details.pb.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/rpc/wire.h"

namespace tandem {
namespace {

// gRPC clients refuse trailers of more than 8 KiB. They hold the message (percent-encoded: up to three times its bytes)
// and the details in base64: the message again, the field path and the message without it.
constexpr size_t kMaxStatusTextBytes = 1024;

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

// A message begins with its field's path, which the violation has beside it.
std::string_view WithoutPath(std::string_view message, std::string_view path) {
  if (message.starts_with(Concat(path, ": "))) message.remove_prefix(path.size() + 2);
  return message;
}

}  // namespace

std::string CutStatusText(std::string_view text) {
  constexpr std::string_view kEnd = "...";
  std::string clean = ReplaceInvalidUtf8(text.substr(0, kMaxStatusTextBytes + 1));
  if (clean.size() <= kMaxStatusTextBytes) return clean;
  clean.resize(Utf8PrefixLength(std::string_view(clean).substr(0, kMaxStatusTextBytes - kEnd.size())));
  return Concat(clean, kEnd);
}

google::rpc::Status ToStatusProto(const absl::Status& status) {
  google::rpc::Status proto;
  proto.set_code(ToGrpcCode(status.code()));
  proto.set_message(CutStatusText(StdView(status.message())));
  if (status.ok()) return proto;
  const auto path = FieldPath(status);
  const auto delay = RetryDelay(status);
  if (path.has_value()) {
    google::rpc::BadRequest details;
    auto* violation = details.add_field_violations();
    violation->set_field(CutStatusText(*path));
    violation->set_description(CutStatusText(WithoutPath(StdView(status.message()), *path)));
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
  proto.set_message(CutStatusText(message));
  return proto;
}

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const google::rpc::Status proto = ToStatusProto(status);
  return grpc::Status(ToGrpcCode(status.code()), proto.message(), proto.SerializeAsString());
}

}  // namespace tandem
