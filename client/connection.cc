#include "client/connection.h"

#include <random>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace tandem {
namespace {

std::shared_ptr<grpc::Channel> NewChannel(const std::string& address, const RetryPolicy& retry) {
  grpc::ChannelArguments arguments;
  // gRPC's own reconnect delay grows to two minutes; a restarted server is to be found about as fast as we ask for it.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS,
                   static_cast<int>(absl::ToInt64Milliseconds(retry.first_delay)));
  // GRPC_ARG_MIN_RECONNECT_BACKOFF_MS stays as it is: in spite of its name it is the time that one attempt to connect may
  // take (20 s). A busy server, or one far away, needs more than a few hundred milliseconds for its first frame.
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  arguments.SetMaxReceiveMessageSize(64 << 20);
  arguments.SetUserAgentPrefix("tandem-cpp");
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace

std::string NewRequestId() {
  std::random_device random;
  return absl::StrCat(absl::Hex(random(), absl::kZeroPad8), absl::Hex(random(), absl::kZeroPad8),
                      absl::Hex(random(), absl::kZeroPad8), absl::Hex(random(), absl::kZeroPad8));
}

Connection::Connection(std::string address, ConnectionOptions options)
    : address_(std::move(address)), options_(std::move(options)), channel_(NewChannel(address_, options_.retry)) {}

absl::Status Connection::Attempt(bool repeat_unavailable, absl::Duration deadline,
                                 absl::FunctionRef<grpc::Status(grpc::ClientContext*)> call) const {
  if (deadline == absl::ZeroDuration()) deadline = options_.deadline;
  const absl::Time end = absl::Now() + deadline;
  Backoff backoff(options_.retry, std::min(deadline, options_.retry.call_patience));
  while (true) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(end));
    absl::Status status = FromGrpc(call(&context), address_);
    if (status.ok() || (absl::IsUnavailable(status) && !repeat_unavailable)) return status;
    if (!backoff.WaitAfter(status)) return status;
  }
}

}  // namespace tandem
