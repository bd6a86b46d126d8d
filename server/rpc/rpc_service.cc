#include "server/rpc/rpc_service.h"

#include <algorithm>
#include <memory>
#include <utility>

#include <google/protobuf/descriptor.h>
#include <grpcpp/impl/codegen/rpc_service_method.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/server_context.h>

#include "absl/time/clock.h"
#include "server/base/strings.h"
#include "server/rpc/limits.h"
#include "server/rpc/status.h"
#include "server/rpc/tenant.h"
#include "server/rpc/wire.h"

namespace tandem {
namespace {

using google::protobuf::Message;
using grpc::ByteBuffer;
using grpc::CallbackServerContext;
using grpc::internal::RpcMethod;
using grpc::internal::RpcServiceMethod;

Call MakeCall(const CallbackServerContext& context, const CallPool& pool, absl::Time latest) {
  return Call{.tenant = TenantOf(context),
              .caller = context.peer(),
              .deadline = std::min(absl::FromChrono(context.deadline()), latest),
              .gone = [&context, &pool] { return context.IsCancelled() || pool.draining(); }};
}

// OK when the work of a call that waited in a queue is still wanted.
absl::Status CheckWanted(const CallbackServerContext& context) {
  if (context.IsCancelled()) return absl::CancelledError("the call was cancelled before its work began");
  if (absl::FromChrono(context.deadline()) <= absl::Now()) {
    return absl::DeadlineExceededError("the call's deadline passed before its work began");
  }
  return absl::OkStatus();
}

absl::Status ShuttingDown() { return absl::UnavailableError("the server is shutting down"); }

absl::Status QueueFull(const CallPool& pool) {
  if (pool.draining()) return ShuttingDown();
  return Overloaded(Concat("max_queued_calls: ", pool.max_queued(), " calls are waiting already"), kRetryDelay);
}

absl::Status TooManyStreams(const CallPool& pool) {
  if (pool.draining()) return ShuttingDown();
  return Overloaded(Concat("max_streams: ", pool.max_streams(), " streams are open already"), kRetryDelay);
}

absl::Status CheckReplySize(const Message& reply) {
  const auto size = static_cast<int64_t>(reply.ByteSizeLong());
  if (size <= kMaxReplyBytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(Concat(
      "the reply has ", size, " bytes, the limit of a unary reply is ", kMaxReplyBytes,
      ": ask for less at once, or use the streaming form of the call, a packed vector encoding or the view IDS"));
}

class UnaryCall : public grpc::ServerUnaryReactor {
 public:
  struct Method {
    const Message *request, *response;
    std::function<absl::Status(const Call&, const Message&, Message*)> handler;
    std::function<bool(const Call&, const Message&)> waits;  // May be null.
    bool slow;
  };

  UnaryCall(const Method* method, CallPool* pool, CallbackServerContext* context, const ByteBuffer* in, ByteBuffer* out)
      : method_(method), pool_(pool), context_(context), in_(in), out_(out) {
    const auto run = [this] { Begin(); };
    if (method->slow) {
      if (!pool->RunStream(run)) Finish(ToGrpcStatus(TooManyStreams(*pool)));
    } else if (!pool->Run(run)) {
      Finish(ToGrpcStatus(QueueFull(*pool)));
    }
  }
  void OnDone() override { delete this; }

 private:
  // After Finish, and once another thread has the call, nothing of it may be touched here.
  void Begin() {
    if (const absl::Status status = Parse(); !status.ok()) return Finish(ToGrpcStatus(status));
    call_ = MakeCall(*context_, *pool_, absl::Now() + kDefaultDeadline);
    if (method_->waits == nullptr || !method_->waits(call_, *request_)) return Finish(ToGrpcStatus(Execute()));
    if (pool_->RunStream([this] { Finish(ToGrpcStatus(Execute())); })) return;
    Finish(ToGrpcStatus(TooManyStreams(*pool_)));
  }

  absl::Status Parse() {
    RETURN_IF_ERROR(CheckWanted(*context_));
    request_.reset(method_->request->New());
    return ParseMessage(*in_, request_.get());
  }

  absl::Status Execute() {
    const std::unique_ptr<Message> response(method_->response->New());
    const absl::Status status = method_->handler(call_, *request_, response.get());
    // Whoever waited for a release did not cancel: this code makes clients try again.
    if (absl::IsCancelled(status) && pool_->draining() && !context_->IsCancelled()) return ShuttingDown();
    RETURN_IF_ERROR(status);
    RETURN_IF_ERROR(CheckReplySize(*response));
    *out_ = SerializeMessage(*response);
    return absl::OkStatus();
  }

  const Method* const method_;
  CallPool* const pool_;
  CallbackServerContext* const context_;
  const ByteBuffer* const in_;
  ByteBuffer* const out_;
  Call call_;
  std::unique_ptr<Message> request_;
};

// Both kinds of stream; Reactor is gRPC's class for the kind.
template <class Reactor>
class StreamCall : public Reactor, public MessageStream {
 public:
  StreamCall(CallPool* pool, CallbackServerContext* context) : MessageStream(pool), pool_(pool), context_(context) {}

  void Start(std::function<absl::Status(const Call&, MessageStream*)> handler) {
    const bool started = pool_->RunStream([this, handler = std::move(handler)] {
      absl::Status status = CheckWanted(*context_);
      if (status.ok()) status = handler(MakeCall(*context_, *pool_, absl::InfiniteFuture()), this);
      this->Finish(ToGrpcStatus(status));
    });
    if (!started) this->Finish(ToGrpcStatus(TooManyStreams(*pool_)));
  }
  void OnWriteDone(bool ok) override { WriteDone(ok); }
  void OnDone() override { delete this; }

 protected:
  void BeginRead(ByteBuffer* bytes) override {
    if constexpr (requires { this->StartRead(bytes); }) this->StartRead(bytes);
  }
  void BeginWrite(const ByteBuffer* bytes) override { this->StartWrite(bytes); }
  void Abandon() override { context_->TryCancel(); }

 private:
  CallPool* const pool_;
  CallbackServerContext* const context_;
};

using ServerStreamCall = StreamCall<grpc::ServerWriteReactor<ByteBuffer>>;

class TwoWayCall : public StreamCall<grpc::ServerBidiReactor<ByteBuffer, ByteBuffer>> {
 public:
  using StreamCall::StreamCall;
  void OnReadDone(bool ok) override { ReadDone(ok); }
};

const google::protobuf::ServiceDescriptor* FindService(const std::string& name) {
  return google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(name);
}

}  // namespace

RpcService::RpcService(std::string_view name, CallPool* pool) : name_(Concat("tandem.v1.", name)), pool_(pool) {}

absl::Status RpcService::CheckComplete() const {
  const auto* descriptor = FindService(name_);
  if (descriptor == nullptr) return absl::InternalError(Concat(name_, ": no such service"));
  for (int i = 0; i < descriptor->method_count(); ++i) {
    const std::string path = Concat("/", name_, "/", descriptor->method(i)->name());
    if (std::find(paths_.begin(), paths_.end(), path) == paths_.end()) {
      return absl::InternalError(Concat(path, " has no handler"));
    }
  }
  return absl::OkStatus();
}

const char* RpcService::Path(std::string_view method) {
  return paths_.emplace_back(Concat("/", name_, "/", method)).c_str();
}

void RpcService::AddUnary(std::string_view method, const Message& request, const Message& response, Pace pace,
                          UnaryHandler handler, UnaryWaits waits) {
  auto shared = std::make_shared<UnaryCall::Method>(
      UnaryCall::Method{&request, &response, std::move(handler), std::move(waits), pace == Pace::kSlow});
  AddMethod(new RpcServiceMethod(Path(method), RpcMethod::NORMAL_RPC, nullptr));
  MarkMethodRawCallback(methods_++, new grpc::internal::CallbackUnaryHandler<ByteBuffer, ByteBuffer>(
                                        [shared, this](CallbackServerContext* context, const ByteBuffer* in,
                                                       ByteBuffer* out) -> grpc::ServerUnaryReactor* {
                                          return new UnaryCall(shared.get(), pool_, context, in, out);
                                        }));
}

void RpcService::AddServerStream(std::string_view method, const Message& request, ServerStreamHandler handler) {
  AddMethod(new RpcServiceMethod(Path(method), RpcMethod::SERVER_STREAMING, nullptr));
  auto shared = std::make_shared<ServerStreamHandler>(std::move(handler));
  const Message* type = &request;
  MarkMethodRawCallback(methods_++, new grpc::internal::CallbackServerStreamingHandler<ByteBuffer, ByteBuffer>(
                                        [shared, type, this](CallbackServerContext* context, const ByteBuffer* in) {
                                          auto* call = new ServerStreamCall(pool_, context);
                                          call->Start([shared, type, in](const Call& info, MessageStream* stream) {
                                            const std::unique_ptr<Message> parsed(type->New());
                                            RETURN_IF_ERROR(ParseMessage(*in, parsed.get()));
                                            return (*shared)(info, *parsed, stream);
                                          });
                                          return call;
                                        }));
}

void RpcService::AddTwoWayStream(std::string_view method, TwoWayHandler handler) {
  AddMethod(new RpcServiceMethod(Path(method), RpcMethod::BIDI_STREAMING, nullptr));
  auto shared = std::make_shared<TwoWayHandler>(std::move(handler));
  MarkMethodRawCallback(methods_++, new grpc::internal::CallbackBidiHandler<ByteBuffer, ByteBuffer>(
                                        [shared, this](CallbackServerContext* context) {
                                          auto* call = new TwoWayCall(pool_, context);
                                          call->Start(*shared);
                                          return call;
                                        }));
}

}  // namespace tandem
