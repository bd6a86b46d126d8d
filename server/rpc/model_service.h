#pragma once
// Encoders. See proto/tandem/v1/model.proto.

#include <filesystem>
#include <string>
#include <string_view>

#include "server/rpc/rooms.h"
#include "server/rpc/rpc_service.h"
#include "tandem/v1/model.pb.h"

namespace tandem {

class ModelUpload;

class ModelService : public RpcService {
 public:
  explicit ModelService(const Rooms& rooms);

 private:
  absl::Status ImportModel(const Call& call, MessageStream* stream);
  absl::Status ExportModel(const Call& call, const v1::ExportModelRequest& request, MessageStream* stream);
  absl::Status GetModel(const Call& call, const v1::GetModelRequest& request, v1::Model* response);
  absl::Status ListModels(const Call& call, const v1::ListModelsRequest& request, v1::ListModelsResponse* response);
  absl::Status DeleteModel(const Call& call, const v1::DeleteModelRequest& request, google::protobuf::Empty* response);
  absl::Status GetModelRevision(const Call& call, const v1::GetModelRevisionRequest& request,
                                v1::ModelRevision* response);
  absl::Status ListModelRevisions(const Call& call, const v1::ListModelRevisionsRequest& request,
                                  v1::ListModelRevisionsResponse* response);
  absl::Status DeleteModelRevision(const Call& call, const v1::DeleteModelRevisionRequest& request,
                                   google::protobuf::Empty* response);

  std::filesystem::path Directory(const Call& call, std::string_view model, std::string_view revision);
  absl::Status RemoveFiles(const std::filesystem::path& directory);
  static absl::Status Receive(MessageStream* stream, ModelUpload* upload);
  absl::Status CopyFrom(const std::string& directory, MessageStream* stream, ModelUpload* upload);
  absl::Status AddRevision(const Call& call, const std::string& model, const std::string& id,
                           const ModelDescription& description, v1::ModelRevision* out);
  static absl::Status SendFile(const std::filesystem::path& directory, const std::string& file, MessageStream* stream,
                               v1::ExportModelResponse* message);

  const Rooms& rooms_;
};

}  // namespace tandem
