#include "server/rpc/rpc_server.h"

#include <utility>
#include <vector>

#include <google/protobuf/stubs/logging.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include "absl/time/clock.h"
#include "grpc/health/v1/health.pb.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/rpc/admin_service.h"
#include "server/rpc/collection_service.h"
#include "server/rpc/dataset_service.h"
#include "server/rpc/embedding_service.h"
#include "server/rpc/job_service.h"
#include "server/rpc/limits.h"
#include "server/rpc/model_service.h"
#include "server/rpc/release_service.h"
#include "server/rpc/search_service.h"
#include "server/rpc/snapshot_service.h"
#include "server/rpc/training_service.h"
#include "spdlog/spdlog.h"

namespace tandem {

// Members are destroyed from the last to the first: the server, then the pool with the calls that it runs, then the
// services that those calls use.
struct RpcServer::Rep {
  Rooms rooms;
  std::vector<std::unique_ptr<RpcService>> services;
  std::unique_ptr<CallPool> pool;
  std::unique_ptr<grpc::Server> server;
  std::string address;
  bool drained = false;
};

namespace {

// protobuf writes a line for each request that is not UTF-8, which the client is told anyway.
void LogProtobuf(google::protobuf::LogLevel, const char*, int, const std::string& message) {
  spdlog::debug("protobuf: {}", message);
}

constexpr absl::Duration kLastAnswers = absl::Milliseconds(500);

std::vector<std::unique_ptr<RpcService>> MakeServices(const Rooms& rooms) {
  std::vector<std::unique_ptr<RpcService>> services;
  services.push_back(std::make_unique<AdminService>(rooms));
  services.push_back(std::make_unique<CollectionService>(rooms));
  services.push_back(std::make_unique<DatasetService>(rooms));
  services.push_back(std::make_unique<EmbeddingService>(rooms));
  services.push_back(std::make_unique<JobService>(rooms));
  services.push_back(std::make_unique<ModelService>(rooms));
  services.push_back(std::make_unique<ReleaseService>(rooms));
  services.push_back(std::make_unique<SearchService>(rooms));
  services.push_back(std::make_unique<SnapshotService>(rooms));
  services.push_back(std::make_unique<TrainingService>(rooms));
  return services;
}

}  // namespace

RpcServer::RpcServer(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
RpcServer::~RpcServer() { Drain(absl::ZeroDuration()); }
const std::string& RpcServer::address() const { return rep_->address; }

absl::StatusOr<std::unique_ptr<RpcServer>> RpcServer::Start(const RpcServerOptions& options, const Rooms& rooms) {
  auto rep = std::make_unique<Rep>();
  rep->rooms = rooms;
  rep->pool = std::make_unique<CallPool>(options.workers, options.max_queued_calls, kMaxStreams);
  rep->rooms.pool = rep->pool.get();
  rep->services = MakeServices(rep->rooms);

  google::protobuf::SetLogHandler(LogProtobuf);
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::health::v1::HealthCheckRequest::descriptor();  // Links the file in, so that reflection can describe the service.
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(options.listen, grpc::InsecureServerCredentials(), &port);
  builder.SetMaxReceiveMessageSize(static_cast<int>(kMaxMessageBytes));
  builder.SetMaxSendMessageSize(-1);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);         // Or two servers would share a port unnoticed.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);  // Finds clients whose machine has gone.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  for (const auto& service : rep->services) {
    RETURN_IF_ERROR(service->CheckComplete());
    builder.RegisterService(service.get());
  }
  rep->server = builder.BuildAndStart();
  if (rep->server == nullptr || port == 0) {
    return absl::UnavailableError(
        Concat("--listen ", options.listen, ": cannot be listened to (in use, or no address?)"));
  }
  rep->address = Concat(options.listen.substr(0, options.listen.rfind(':')), ":", port);
  return std::unique_ptr<RpcServer>(new RpcServer(std::move(rep)));
}

void RpcServer::Drain(absl::Duration patience) {
  if (std::exchange(rep_->drained, true)) return;
  rep_->server->GetHealthCheckService()->SetServingStatus(false);
  rep_->pool->Drain(patience);
  // Our calls have ended or had their time. The rest are streams of health and reflection, which clients hold open, and
  // answers on their way.
  rep_->server->Shutdown(absl::ToChronoTime(absl::Now() + kLastAnswers));
}

}  // namespace tandem
