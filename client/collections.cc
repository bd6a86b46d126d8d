#include "client/collections.h"

#include <algorithm>
#include <utility>

#include "absl/strings/string_view.h"
#include "client/names.h"
#include "client/pages.h"
#include "client/upload.h"

namespace tandem {

using Stub = v1::CollectionService::Stub;

Collections::Collections(std::shared_ptr<const Connection> connection)
    : connection_(std::move(connection)), stub_(v1::CollectionService::NewStub(connection_->channel())) {}

absl::StatusOr<v1::Collection> Collections::Create(v1::CreateCollectionRequest request) const {
  return connection_->Call(*stub_, &Stub::CreateCollection, std::move(request));
}

absl::StatusOr<v1::Collection> Collections::Get(absl::string_view collection) const {
  v1::GetCollectionRequest request;
  request.set_name(CollectionName(collection));
  return connection_->Call(*stub_, &Stub::GetCollection, request);
}

absl::StatusOr<std::vector<v1::Collection>> Collections::List() const {
  return CollectPages<v1::Collection>(
      v1::ListCollectionsRequest(), 0,
      [this](const v1::ListCollectionsRequest& page) {
        return connection_->Call(*stub_, &Stub::ListCollections, page);
      },
      [](v1::ListCollectionsResponse* response) { return response->mutable_collections(); });
}

absl::StatusOr<v1::Collection> Collections::Update(v1::UpdateCollectionRequest request) const {
  request.set_name(CollectionName(request.name()));
  return connection_->CallOnce(*stub_, &Stub::UpdateCollection, request);
}

absl::Status Collections::Delete(absl::string_view collection) const {
  v1::DeleteCollectionRequest request;
  request.set_name(CollectionName(collection));
  return connection_->CallOnce(*stub_, &Stub::DeleteCollection, request).status();
}

absl::StatusOr<int64_t> Collections::Upsert(absl::string_view collection, std::vector<v1::Document> documents,
                                            std::string request_id) const {
  v1::UpsertDocumentsRequest request;
  request.set_request_id(std::move(request_id));
  request.set_collection(CollectionName(collection));
  for (v1::Document& document : documents) *request.add_documents() = std::move(document);
  absl::StatusOr<v1::UpsertDocumentsResponse> response =
      connection_->Call(*stub_, &Stub::UpsertDocuments, std::move(request));
  if (!response.ok()) return response.status();
  return response->commit();
}

absl::StatusOr<UploadProgress> Collections::Import(absl::string_view collection,
                                                   const ItemSource<v1::Document>& documents,
                                                   const UploadOptions& options,
                                                   const UploadCallbacks& callbacks) const {
  using Import = Upload<v1::ImportDocumentsRequest, v1::ImportDocumentsResponse, v1::Document>;
  const std::string name = CollectionName(collection);
  Import::Protocol protocol{
      .open = [this](grpc::ClientContext* context) { return stub_->ImportDocuments(context); },
      .set_parent = [&name](v1::ImportDocumentsRequest* request) { request->set_collection(name); },
      .add_item = [](v1::ImportDocumentsRequest* request,
                     v1::Document document) { *request->add_documents() = std::move(document); },
  };
  return Import(*connection_, std::move(protocol), options, callbacks).Run(documents);
}

absl::StatusOr<v1::Document> Collections::GetDocument(absl::string_view collection, absl::string_view id) const {
  v1::GetDocumentRequest request;
  request.set_collection(CollectionName(collection));
  request.set_id(std::string(id));
  return connection_->Call(*stub_, &Stub::GetDocument, request);
}

absl::StatusOr<std::vector<v1::Document>> Collections::ListDocuments(absl::string_view collection, size_t limit,
                                                                     const v1::Filter& filter) const {
  v1::ListDocumentsRequest request;
  request.set_collection(CollectionName(collection));
  if (filter.ByteSizeLong() > 0) *request.mutable_filter() = filter;
  return CollectPages<v1::Document>(
      request, limit,
      [this](const v1::ListDocumentsRequest& page) { return connection_->Call(*stub_, &Stub::ListDocuments, page); },
      [](v1::ListDocumentsResponse* response) { return response->mutable_documents(); });
}

absl::StatusOr<v1::CountDocumentsResponse> Collections::CountDocuments(absl::string_view collection,
                                                                       const v1::Filter& filter) const {
  v1::CountDocumentsRequest request;
  request.set_collection(CollectionName(collection));
  if (filter.ByteSizeLong() > 0) *request.mutable_filter() = filter;
  return connection_->Call(*stub_, &Stub::CountDocuments, request);
}

absl::StatusOr<v1::DeleteDocumentsResponse> Collections::DeleteDocuments(absl::string_view collection,
                                                                         const std::vector<std::string>& ids) const {
  constexpr size_t kMost = 10000;  // Of one call.
  v1::DeleteDocumentsResponse total;
  for (size_t begin = 0; begin < ids.size(); begin += kMost) {
    v1::DeleteDocumentsRequest request;
    request.set_collection(CollectionName(collection));
    for (size_t i = begin; i < std::min(ids.size(), begin + kMost); ++i) request.add_ids(ids[i]);
    absl::StatusOr<v1::DeleteDocumentsResponse> response =
        connection_->CallOnce(*stub_, &Stub::DeleteDocuments, request);
    if (!response.ok()) return response.status();
    total.set_deleted(total.deleted() + response->deleted());
    total.set_commit(response->commit());
  }
  return total;
}

absl::StatusOr<v1::DeleteDocumentsResponse> Collections::DeleteMatching(absl::string_view collection,
                                                                        const v1::Filter& filter) const {
  v1::DeleteDocumentsRequest request;
  request.set_collection(CollectionName(collection));
  *request.mutable_filter() = filter;
  return connection_->CallOnce(*stub_, &Stub::DeleteDocuments, request);
}

absl::StatusOr<v1::UpdatePayloadsResponse> Collections::UpdatePayloads(v1::UpdatePayloadsRequest request) const {
  request.set_collection(CollectionName(request.collection()));
  return connection_->Call(*stub_, &Stub::UpdatePayloads, std::move(request));
}

absl::StatusOr<v1::EvaluationSet> Collections::CreateEvaluationSet(v1::CreateEvaluationSetRequest request) const {
  request.set_collection(CollectionName(request.collection()));
  return connection_->Call(*stub_, &Stub::CreateEvaluationSet, std::move(request));
}

absl::StatusOr<v1::EvaluationSet> Collections::GetEvaluationSet(absl::string_view evaluation_set) const {
  absl::StatusOr<std::string> name = EvaluationSetName(evaluation_set);
  if (!name.ok()) return name.status();
  v1::GetEvaluationSetRequest request;
  request.set_name(*std::move(name));
  return connection_->Call(*stub_, &Stub::GetEvaluationSet, request);
}

absl::StatusOr<std::vector<v1::EvaluationSet>> Collections::ListEvaluationSets(absl::string_view collection) const {
  v1::ListEvaluationSetsRequest request;
  request.set_collection(CollectionName(collection));
  return CollectPages<v1::EvaluationSet>(
      request, 0,
      [this](const v1::ListEvaluationSetsRequest& page) {
        return connection_->Call(*stub_, &Stub::ListEvaluationSets, page);
      },
      [](v1::ListEvaluationSetsResponse* response) { return response->mutable_evaluation_sets(); });
}

absl::Status Collections::DeleteEvaluationSet(absl::string_view evaluation_set) const {
  absl::StatusOr<std::string> name = EvaluationSetName(evaluation_set);
  if (!name.ok()) return name.status();
  v1::DeleteEvaluationSetRequest request;
  request.set_name(*std::move(name));
  return connection_->CallOnce(*stub_, &Stub::DeleteEvaluationSet, request).status();
}

}  // namespace tandem
