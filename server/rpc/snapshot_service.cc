#include "server/rpc/snapshot_service.h"

namespace tandem {

SnapshotService::SnapshotService(const Rooms& rooms) : RpcService("SnapshotService", rooms.pool) {
  Unary("CreateSnapshot", &SnapshotService::CreateSnapshot);
  Unary("RestoreSnapshot", &SnapshotService::RestoreSnapshot);
}

absl::Status SnapshotService::CreateSnapshot(const Call&, const v1::CreateSnapshotRequest&, v1::Job*) {
  return absl::UnimplementedError("CreateSnapshot: this server has no snapshot directory");
}

absl::Status SnapshotService::RestoreSnapshot(const Call&, const v1::RestoreSnapshotRequest&, v1::Job*) {
  return absl::UnimplementedError("RestoreSnapshot: this server has no snapshot directory");
}

}  // namespace tandem
