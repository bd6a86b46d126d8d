#pragma once
// The channel to one server and how calls go over it: deadline, retries, errors. Shared by the parts of a Client.
// Thread-safe.

#include <grpcpp/grpcpp.h>

#include <concepts>
#include <memory>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/error.h"
#include "client/retry.h"

namespace tandem {

struct ConnectionOptions {
  absl::Duration deadline = absl::Seconds(60);  // Of one call that is not a stream, retries included.
  RetryPolicy retry;
};

// Up to 64 random letters and digits: what makes a repeated call harmless.
std::string NewRequestId();

class Connection {
 public:
  // `address` is "host:port" or any gRPC target. Connects with the first call.
  Connection(std::string address, ConnectionOptions options);

  const std::string& address() const { return address_; }
  const ConnectionOptions& options() const { return options_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }

  // A call that reads, or that carries a request_id (one is made when the caller gave none): repeated while the error
  // is transient. `method` is the stub's synchronous method, for example &v1::DatasetService::Stub::GetDataset.
  template <class Stub, class Request, class Response>
  absl::StatusOr<Response> Call(Stub& stub,
                                grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                Request request, absl::Duration deadline = absl::ZeroDuration()) const {
    if constexpr (requires { request.set_request_id(std::string()); }) {
      if (request.request_id().empty()) request.set_request_id(NewRequestId());
    }
    Response response;
    absl::Status status = Attempt(/*repeat_unavailable=*/true, deadline, [&](grpc::ClientContext* context) {
      return (stub.*method)(context, request, &response);
    });
    if (!status.ok()) return status;
    return response;
  }

  // A call that changes something and would answer differently the second time, as a deletion does (NOT_FOUND):
  // repeated only when the server asks for it.
  template <class Stub, class Request, class Response>
  absl::StatusOr<Response> CallOnce(Stub& stub,
                                    grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                    const Request& request) const {
    Response response;
    absl::Status status =
        Attempt(/*repeat_unavailable=*/false, absl::ZeroDuration(),
                [&](grpc::ClientContext* context) { return (stub.*method)(context, request, &response); });
    if (!status.ok()) return status;
    return response;
  }

 private:
  // `deadline` 0 is the options' deadline.
  absl::Status Attempt(bool repeat_unavailable, absl::Duration deadline,
                       absl::FunctionRef<grpc::Status(grpc::ClientContext*)> call) const;

  const std::string address_;
  const ConnectionOptions options_;
  const std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace tandem
