#pragma once
// Documents and what they are judged by. See proto/tandem/v1/collection.proto.

#include "server/rpc/rooms.h"
#include "server/rpc/rpc_service.h"
#include "tandem/v1/collection.pb.h"

namespace tandem {

class CollectionService : public RpcService {
 public:
  explicit CollectionService(const Rooms& rooms);

 private:
  absl::Status CreateCollection(const Call& call, const v1::CreateCollectionRequest& request, v1::Collection* response);
  absl::Status GetCollection(const Call& call, const v1::GetCollectionRequest& request, v1::Collection* response);
  absl::Status ListCollections(const Call& call, const v1::ListCollectionsRequest& request,
                               v1::ListCollectionsResponse* response);
  absl::Status UpdateCollection(const Call& call, const v1::UpdateCollectionRequest& request, v1::Collection* response);
  absl::Status DeleteCollection(const Call& call, const v1::DeleteCollectionRequest& request,
                                google::protobuf::Empty* response);
  absl::Status UpsertDocuments(const Call& call, const v1::UpsertDocumentsRequest& request,
                               v1::UpsertDocumentsResponse* response);
  absl::Status ImportDocuments(const Call& call, MessageStream* stream);
  absl::Status GetDocument(const Call& call, const v1::GetDocumentRequest& request, v1::Document* response);
  absl::Status ListDocuments(const Call& call, const v1::ListDocumentsRequest& request,
                             v1::ListDocumentsResponse* response);
  absl::Status CountDocuments(const Call& call, const v1::CountDocumentsRequest& request,
                              v1::CountDocumentsResponse* response);
  absl::Status DeleteDocuments(const Call& call, const v1::DeleteDocumentsRequest& request,
                               v1::DeleteDocumentsResponse* response);
  absl::Status UpdatePayloads(const Call& call, const v1::UpdatePayloadsRequest& request,
                              v1::UpdatePayloadsResponse* response);
  absl::Status CreateEvaluationSet(const Call& call, const v1::CreateEvaluationSetRequest& request,
                                   v1::EvaluationSet* response);
  absl::Status GetEvaluationSet(const Call& call, const v1::GetEvaluationSetRequest& request,
                                v1::EvaluationSet* response);
  absl::Status ListEvaluationSets(const Call& call, const v1::ListEvaluationSetsRequest& request,
                                  v1::ListEvaluationSetsResponse* response);
  absl::Status DeleteEvaluationSet(const Call& call, const v1::DeleteEvaluationSetRequest& request,
                                   google::protobuf::Empty* response);

  absl::Status Fill(const CollectionRecord& record, v1::Collection* out);
  absl::StatusOr<std::shared_ptr<DocumentStore>> Documents(const Call& call, const std::string& name);
  absl::Status Import(const Call& call, const std::string& collection, const std::string& stream_id,
                      const v1::ImportDocumentsRequest& request, v1::ImportDocumentsResponse* response);

  const Rooms& rooms_;
};

}  // namespace tandem
