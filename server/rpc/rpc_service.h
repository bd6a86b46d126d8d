#pragma once
// What every service is made of: methods that are registered by name with a handler of plain messages. The adaptors
// here take the bytes from gRPC's callback API, run the handler on the CallPool, and send bytes or an error back. A
// unary or server-streaming request is parsed and validated (validate.h) before its handler sees it; a handler of a
// two-way stream validates what it reads.
//
//   class DatasetService : public RpcService {
//    public:
//     explicit DatasetService(const Rooms& rooms) : RpcService("DatasetService", rooms.pool) {
//       Unary("GetDataset", &DatasetService::GetDataset);
//     }
//    private:
//     absl::Status GetDataset(const Call& call, const v1::GetDatasetRequest& request, v1::Dataset* response);

#include <functional>
#include <list>
#include <string>
#include <string_view>

#include <google/protobuf/message.h>
#include <grpcpp/impl/codegen/service_type.h>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/base/status.h"
#include "server/rpc/call_pool.h"
#include "server/rpc/message_stream.h"
#include "server/rpc/validate.h"

namespace tandem {

// What a handler knows about its call besides the request.
struct Call {
  std::string tenant;
  std::string caller;          // Who calls, for the log and for what is recorded: the address, "ipv4:10.0.0.7:4242".
  absl::Time deadline;         // When the client brings none: of a unary call kDefaultDeadline from now, else never.
  std::function<bool()> gone;  // The client cancelled, or the server drains: a long loop asks and stops.
};

class RpcService : public grpc::Service {
 public:
  std::string_view name() const { return name_; }
  // OK when every method of the .proto file has a handler.
  absl::Status CheckComplete() const;

 protected:
  using Message = google::protobuf::Message;
  using UnaryHandler = std::function<absl::Status(const Call&, const Message&, Message*)>;
  using ServerStreamHandler = std::function<absl::Status(const Call&, const Message&, MessageStream*)>;
  using TwoWayHandler = std::function<absl::Status(const Call&, MessageStream*)>;
  // kSlow: a call that may wait for minutes takes one of the stream threads, so that short ones keep theirs.
  enum class Pace { kShort, kSlow };

  // Whether a call would wait for minutes now: it then takes a stream thread, too. Asked before the request is
  // validated.
  template <class Service, class Request>
  using Waits = bool (Service::*)(const Call&, const Request&);

  // `name` without the package; `pool` outlives the service.
  RpcService(std::string_view name, CallPool* pool);

  template <class Service, class Request, class Response>
  void Unary(std::string_view method, absl::Status (Service::*handler)(const Call&, const Request&, Response*),
             Pace pace = Pace::kShort) {
    AddUnary(method, Request::default_instance(), Response::default_instance(), pace, Handler(handler), nullptr);
  }
  template <class Service, class Request, class Response>
  void Unary(std::string_view method, absl::Status (Service::*handler)(const Call&, const Request&, Response*),
             Waits<Service, Request> waits) {
    auto* service = static_cast<Service*>(this);
    AddUnary(method, Request::default_instance(), Response::default_instance(), Pace::kShort, Handler(handler),
             [service, waits](const Call& call, const Message& request) {
               return (service->*waits)(call, static_cast<const Request&>(request));
             });
  }

  template <class Service, class Request>
  void ServerStream(std::string_view method,
                    absl::Status (Service::*handler)(const Call&, const Request&, MessageStream*)) {
    auto* service = static_cast<Service*>(this);
    AddServerStream(method, Request::default_instance(),
                    [service, handler](const Call& call, const Message& request, MessageStream* stream) {
                      const auto& typed = static_cast<const Request&>(request);
                      RETURN_IF_ERROR(Validate(typed));
                      return (service->*handler)(call, typed, stream);
                    });
  }

  template <class Service>
  void TwoWayStream(std::string_view method, absl::Status (Service::*handler)(const Call&, MessageStream*)) {
    auto* service = static_cast<Service*>(this);
    AddTwoWayStream(method, [service, handler](const Call& call, MessageStream* stream) {
      return (service->*handler)(call, stream);
    });
  }

 private:
  using UnaryWaits = std::function<bool(const Call&, const Message&)>;

  template <class Service, class Request, class Response>
  UnaryHandler Handler(absl::Status (Service::*handler)(const Call&, const Request&, Response*)) {
    auto* service = static_cast<Service*>(this);
    return [service, handler](const Call& call, const Message& request, Message* response) {
      const auto& typed = static_cast<const Request&>(request);
      RETURN_IF_ERROR(Validate(typed));
      return (service->*handler)(call, typed, static_cast<Response*>(response));
    };
  }
  // `waits` may be null.
  void AddUnary(std::string_view method, const Message& request, const Message& response, Pace pace,
                UnaryHandler handler, UnaryWaits waits);
  void AddServerStream(std::string_view method, const Message& request, ServerStreamHandler handler);
  void AddTwoWayStream(std::string_view method, TwoWayHandler handler);
  const char* Path(std::string_view method);

  const std::string name_;  // "tandem.v1.DatasetService"
  CallPool* const pool_;
  std::list<std::string> paths_;  // gRPC keeps pointers to them.
  int methods_ = 0;
};

}  // namespace tandem
