#pragma once
// Copies of collections. See proto/tandem/v1/snapshot.proto.

#include "server/rpc/rooms.h"
#include "server/rpc/rpc_service.h"
#include "tandem/v1/snapshot.pb.h"

namespace tandem {

class SnapshotService : public RpcService {
 public:
  explicit SnapshotService(const Rooms& rooms);

 private:
  absl::Status CreateSnapshot(const Call& call, const v1::CreateSnapshotRequest& request, v1::Job* response);
  absl::Status RestoreSnapshot(const Call& call, const v1::RestoreSnapshotRequest& request, v1::Job* response);
  absl::Status ListSnapshots(const Call& call, const v1::ListSnapshotsRequest& request,
                             v1::ListSnapshotsResponse* response);
  absl::Status DeleteSnapshot(const Call& call, const v1::DeleteSnapshotRequest& request,
                              google::protobuf::Empty* response);
  absl::Status DownloadSnapshot(const Call& call, const v1::DownloadSnapshotRequest& request, MessageStream* stream);

  const Rooms& rooms_;
};

}  // namespace tandem
