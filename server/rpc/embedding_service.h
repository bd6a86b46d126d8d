#pragma once
// Texts to vectors outside any collection. See proto/tandem/v1/embedding.proto.

#include "server/rpc/rooms.h"
#include "server/rpc/rpc_service.h"
#include "tandem/v1/embedding.pb.h"

namespace tandem {

class EmbeddingService : public RpcService {
 public:
  explicit EmbeddingService(const Rooms& rooms);

 private:
  absl::Status Embed(const Call& call, const v1::EmbedRequest& request, v1::EmbedResponse* response);
  absl::Status EmbedStream(const Call& call, MessageStream* stream);
  absl::Status Tokenize(const Call& call, const v1::TokenizeRequest& request, v1::TokenizeResponse* response);

  struct LoadedModel {
    std::string name;  // Of the revision.
    std::shared_ptr<const Encoder> encoder;
  };
  absl::StatusOr<LoadedModel> Load(const Call& call, const std::string& model);
  absl::Status EmbedTexts(const Call& call, const v1::EmbedRequest& request, EmbeddingPriority priority,
                          v1::EmbedResponse* response);

  const Rooms& rooms_;
};

}  // namespace tandem
