#pragma once
// The listening server: all services, grpc.health.v1 and reflection (with google.rpc's error details). Thread-safe.

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/rpc/rooms.h"

namespace tandem {

struct RpcServerOptions {
  std::string listen = "127.0.0.1:7700";  // Port 0: a free one.
  int workers = 16;                       // Unary calls at work at once; most of them wait for torch or the disk.
  int max_queued_calls = 1024;
};

class RpcServer {
 public:
  // Listens and serves; `rooms` is copied, and what it points to outlives the server. The health service says SERVING.
  static absl::StatusOr<std::unique_ptr<RpcServer>> Start(const RpcServerOptions& options, const Rooms& rooms);
  ~RpcServer();  // Drains with no patience.

  const std::string& address() const;  // With the port that was bound: "127.0.0.1:41234".

  // Health says NOT_SERVING, new calls get UNAVAILABLE, streams end, those under way have `patience` to end and are
  // then cancelled. Returns when none is left.
  void Drain(absl::Duration patience);

 private:
  struct Rep;
  explicit RpcServer(std::unique_ptr<Rep> rep);
  std::unique_ptr<Rep> rep_;
};

}  // namespace tandem
