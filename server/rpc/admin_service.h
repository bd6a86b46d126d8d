#pragma once
// The server itself. See proto/tandem/v1/admin.proto.

#include "server/rpc/rooms.h"
#include "server/rpc/rpc_service.h"
#include "tandem/v1/admin.pb.h"

namespace tandem {

class AdminService : public RpcService {
 public:
  explicit AdminService(const Rooms& rooms);

 private:
  absl::Status GetServerInfo(const Call& call, const v1::GetServerInfoRequest& request, v1::ServerInfo* response);
  absl::Status CreateApiKey(const Call& call, const v1::CreateApiKeyRequest& request,
                            v1::CreateApiKeyResponse* response);
  absl::Status ListApiKeys(const Call& call, const v1::ListApiKeysRequest& request, v1::ListApiKeysResponse* response);
  absl::Status DeleteApiKey(const Call& call, const v1::DeleteApiKeyRequest& request,
                            google::protobuf::Empty* response);

  const Rooms& rooms_;
};

}  // namespace tandem
