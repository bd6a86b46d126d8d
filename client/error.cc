#include "client/error.h"

#include <grpcpp/grpcpp.h>

#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace tandem {
namespace {

constexpr absl::string_view kRetryAfterPayload = "tandem.client/retry_after_ms";

absl::Duration ToDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

// What a person can do about an error of this kind; empty when the server's message is all there is to say.
std::string Advice(grpc::StatusCode code, absl::string_view address) {
  switch (code) {
    case grpc::StatusCode::UNAVAILABLE:
      return absl::StrCat("is tandemd running at ", address, "? Start it there, or give another address.");
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return "the call took longer than its deadline; give it a longer one, or see whether the server is busy.";
    case grpc::StatusCode::ABORTED:
      return "it has changed meanwhile; read it again and repeat the call.";
    case grpc::StatusCode::UNIMPLEMENTED:
      return absl::StrCat("the server at ", address,
                          " does not have this call; its version is too old for this client, or too new.");
    case grpc::StatusCode::UNAUTHENTICATED:
    case grpc::StatusCode::PERMISSION_DENIED:
      return "the server asks for an API key that may do this.";
    case grpc::StatusCode::DATA_LOSS:
      return "a file is damaged; restore it, or make the thing anew.";
    default:
      return "";
  }
}

struct Details {
  std::vector<std::string> lines;
  std::optional<absl::Duration> retry_after;
};

void AddDetail(const google::protobuf::Any& any, const grpc::Status& status, Details* details) {
  const std::string& message = status.error_message();
  if (google::rpc::BadRequest bad; any.UnpackTo(&bad)) {
    for (const auto& violation : bad.field_violations()) {
      std::string line = absl::StrCat(violation.field(), ": ", violation.description());
      // The server's message is often the violation itself.
      if (message.find(violation.field()) == message.npos || message.find(violation.description()) == message.npos) {
        details->lines.push_back(std::move(line));
      }
    }
  } else if (google::rpc::RetryInfo retry; any.UnpackTo(&retry)) {
    details->retry_after = ToDuration(retry.retry_delay());
    details->lines.push_back(absl::StrCat("try again in ", absl::FormatDuration(*details->retry_after)));
  } else if (google::rpc::ErrorInfo info; any.UnpackTo(&info)) {
    std::vector<std::string> pairs;
    for (const auto& [key, value] : info.metadata()) pairs.push_back(absl::StrCat(key, "=", value));
    // A reason that only repeats the code says nothing new.
    const auto code = static_cast<absl::StatusCode>(status.error_code());
    if (pairs.empty() && info.reason() == absl::StatusCodeToString(code)) return;
    std::sort(pairs.begin(), pairs.end());
    details->lines.push_back(absl::StrCat("reason ", info.reason(),
                                          pairs.empty() ? "" : absl::StrCat(" (", absl::StrJoin(pairs, ", "), ")")));
  }
}

}  // namespace

absl::Status FromGrpc(const grpc::Status& status, absl::string_view address) {
  if (status.ok()) return absl::OkStatus();
  Details details;
  if (google::rpc::Status rich; !status.error_details().empty() && rich.ParseFromString(status.error_details())) {
    for (const auto& any : rich.details()) AddDetail(any, status, &details);
  }
  std::string message = status.error_message();
  if (message.empty()) message = "the server gave no reason";
  for (const std::string& line : details.lines) absl::StrAppend(&message, "\n  ", line);
  if (std::string advice = Advice(status.error_code(), address); !advice.empty()) {
    absl::StrAppend(&message, "\n  ", advice);
  }
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), message);
  if (details.retry_after) {
    result.SetPayload(kRetryAfterPayload, absl::Cord(absl::StrCat(absl::ToInt64Milliseconds(*details.retry_after))));
  }
  return result;
}

std::optional<absl::Duration> RetryAfter(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kRetryAfterPayload);
  int64_t ms = 0;
  if (!payload.has_value() || !absl::SimpleAtoi(std::string(*payload), &ms)) return std::nullopt;
  return absl::Milliseconds(ms);
}

bool IsTransient(const absl::Status& status) { return absl::IsUnavailable(status) || RetryAfter(status).has_value(); }

absl::Status Annotate(const absl::Status& status, absl::string_view context) {
  if (status.ok()) return status;
  absl::Status result(status.code(), absl::StrCat(context, ": ", status.message()));
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) { result.SetPayload(url, payload); });
  return result;
}

absl::Status BadInput(absl::string_view what, absl::string_view message) {
  return absl::InvalidArgumentError(absl::StrCat(what, ": ", message));
}

}  // namespace tandem
