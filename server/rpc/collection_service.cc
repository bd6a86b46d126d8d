#include "server/rpc/collection_service.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "server/base/ids.h"
#include "server/base/strings.h"
#include "server/rpc/checks.h"
#include "server/rpc/convert.h"
#include "server/rpc/idempotency.h"
#include "server/rpc/import_stream.h"
#include "server/rpc/limits.h"
#include "server/rpc/names.h"
#include "server/rpc/paging.h"
#include "server/rpc/validate.h"

namespace tandem {
namespace {

// The request's filter, checked against the fields that the collection declares.
template <class Request>
absl::StatusOr<Filter> FilterOf(const DocumentStore& documents, const Request& request) {
  Filter filter = FromProto(request.filter());
  RETURN_IF_ERROR(CheckFilter(documents.options().fields, filter, "filter"));
  return filter;
}

}  // namespace

CollectionService::CollectionService(const Rooms& rooms) : RpcService("CollectionService", rooms.pool), rooms_(rooms) {
  Unary("CreateCollection", &CollectionService::CreateCollection);
  Unary("GetCollection", &CollectionService::GetCollection);
  Unary("ListCollections", &CollectionService::ListCollections);
  Unary("UpdateCollection", &CollectionService::UpdateCollection);
  Unary("DeleteCollection", &CollectionService::DeleteCollection);
  Unary("UpsertDocuments", &CollectionService::UpsertDocuments);
  TwoWayStream("ImportDocuments", &CollectionService::ImportDocuments);
  Unary("GetDocument", &CollectionService::GetDocument);
  Unary("ListDocuments", &CollectionService::ListDocuments);
  Unary("CountDocuments", &CollectionService::CountDocuments);
  Unary("DeleteDocuments", &CollectionService::DeleteDocuments);
  Unary("UpdatePayloads", &CollectionService::UpdatePayloads);
  Unary("CreateEvaluationSet", &CollectionService::CreateEvaluationSet);
  Unary("GetEvaluationSet", &CollectionService::GetEvaluationSet);
  Unary("ListEvaluationSets", &CollectionService::ListEvaluationSets);
  Unary("DeleteEvaluationSet", &CollectionService::DeleteEvaluationSet);
}

absl::Status CollectionService::Fill(const CollectionRecord& record, v1::Collection* out) {
  ASSIGN_OR_RETURN(const auto documents, rooms_.collections->Documents(record.tenant, record.id));
  ASSIGN_OR_RETURN(const int64_t count, documents->Count());
  ToProto(record, documents->head(), count, out);
  ASSIGN_OR_RETURN(const FeedbackPolicy feedback, rooms_.meta->GetFeedbackPolicy(record.tenant, record.id));
  if (!feedback.dataset.empty() || feedback.last.number > 0) ToProto(feedback, out->mutable_feedback());
  const auto answering = rooms_.collections->Live(record.tenant, record.id);
  if (answering.ok()) out->set_answering_release(ReleaseNameOf(record.id, (*answering)->id));
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<DocumentStore>> CollectionService::Documents(const Call& call, const std::string& name) {
  ASSIGN_OR_RETURN(const std::string id, ParseCollection("collection", name));
  return rooms_.collections->Documents(call.tenant, id);
}

absl::Status CollectionService::CreateCollection(const Call& call, const v1::CreateCollectionRequest& request,
                                                 v1::Collection* response) {
  Idempotency idempotency(call, "CreateCollection", request);
  ASSIGN_OR_RETURN(const auto answer, idempotency.Find(rooms_.meta));
  CollectionRecord record{.tenant = call.tenant,
                          .id = request.collection_id().empty() ? NewId() : request.collection_id(),
                          .display_name = request.display_name(),
                          .create_time = absl::Now(),
                          .gate = FromProto(request.gate())};
  if (request.has_rollback_window()) record.rollback_window = FromProto(request.rollback_window());
  for (const v1::FilterableField& field : request.fields()) record.fields.push_back(FromProto(field));
  record.keyword_index = request.has_keyword_index() ? request.keyword_index() : !request.has_external();
  if (request.has_external()) record.external = FromProto(request.external());
  if (answer) {
    ASSIGN_OR_RETURN(const std::string id, ParseCollection("request_id", *answer));
    ASSIGN_OR_RETURN(record, rooms_.meta->GetCollection(call.tenant, id));
  } else {
    auto made = rooms_.collections->Create(record, idempotency.Answer(CollectionName(record.id)));
    if (!made.ok()) {
      ASSIGN_OR_RETURN(const std::string first, idempotency.FindAfter(made.status(), rooms_.meta));
      ASSIGN_OR_RETURN(const std::string id, ParseCollection("request_id", first));
      made = rooms_.meta->GetCollection(call.tenant, id);
    }
    ASSIGN_OR_RETURN(record, std::move(made));
  }
  return Fill(record, response);
}

absl::Status CollectionService::GetCollection(const Call& call, const v1::GetCollectionRequest& request,
                                              v1::Collection* response) {
  ASSIGN_OR_RETURN(const std::string id, ParseCollection("name", request.name()));
  ASSIGN_OR_RETURN(const CollectionRecord record, rooms_.meta->GetCollection(call.tenant, id));
  return Fill(record, response);
}

absl::Status CollectionService::ListCollections(const Call& call, const v1::ListCollectionsRequest& request,
                                                v1::ListCollectionsResponse* response) {
  ASSIGN_OR_RETURN(Page page, ParsePage("collections", request.page_size(), request.page_token()));
  const int size = page.size++;
  ASSIGN_OR_RETURN(const auto records, rooms_.meta->ListCollections(call.tenant, page));
  response->set_next_page_token(FillPage(
      "collections", size, records, response->mutable_collections(),
      [&](const CollectionRecord& record, v1::Collection* out) {
        // One that is being deleted has no documents any more.
        if (!Fill(record, out).ok()) ToProto(record, 0, 0, out);
      },
      [](const CollectionRecord& record) { return record.id; }));
  return absl::OkStatus();
}

absl::Status CollectionService::UpdateCollection(const Call& call, const v1::UpdateCollectionRequest& request,
                                                 v1::Collection* response) {
  ASSIGN_OR_RETURN(const std::string id, ParseCollection("name", request.name()));
  ASSIGN_OR_RETURN(CollectionRecord record, rooms_.meta->GetCollection(call.tenant, id));
  for (const std::string& path : request.update_mask().paths()) {
    if (path == "display_name") record.display_name = request.display_name();
    if (path == "gate") record.gate = FromProto(request.gate());
    if (path == "rollback_window") {
      record.rollback_window =
          request.has_rollback_window() ? FromProto(request.rollback_window()) : CollectionRecord().rollback_window;
    }
  }
  if (record.external && record.gate.min_ndcg > 0) return NoNdcgOfExternal();
  if (!record.gate.evaluation_set.empty()) {
    RETURN_IF_ERROR(rooms_.meta->GetEvaluationSet(call.tenant, id, record.gate.evaluation_set).status());
  }
  // Without an etag the one just read: the fields that are not in the mask must be the stored ones.
  int64_t etag = record.etag;
  if (!request.etag().empty() && !absl::SimpleAtoi(request.etag(), &etag))
    return InvalidField("etag", "is not an etag");
  ASSIGN_OR_RETURN(FeedbackPolicy feedback, FromProto(request.feedback()));
  if (record.external && (request.feedback().has_retrain_after() || request.feedback().has_training())) {
    return InvalidField("feedback", "an EXTERNAL collection has no model to train: set dataset alone");
  }
  if (!feedback.dataset.empty()) {
    RETURN_IF_ERROR(rooms_.meta->GetDataset(call.tenant, feedback.dataset).status());
    ASSIGN_OR_RETURN(const auto first, rooms_.meta->ReadExamples(call.tenant, feedback.dataset, 0, INT64_MAX, 1, 1));
    if (!first.empty() && first[0].example.kind != ExampleKind::kPair) {
      return InvalidField("feedback.dataset", "has examples that are no pairs: feedback makes pairs");
    }
  }
  ASSIGN_OR_RETURN(record, rooms_.meta->UpdateCollection(record, etag));
  const auto& paths = request.update_mask().paths();
  if (std::find(paths.begin(), paths.end(), "feedback") != paths.end()) {
    feedback.tenant = call.tenant;
    feedback.collection = id;
    RETURN_IF_ERROR(rooms_.feedback->SetPolicy(feedback));
  }
  return Fill(record, response);
}

absl::Status CollectionService::DeleteCollection(const Call& call, const v1::DeleteCollectionRequest& request,
                                                 google::protobuf::Empty*) {
  ASSIGN_OR_RETURN(const std::string id, ParseCollection("name", request.name()));
  RETURN_IF_ERROR(rooms_.collections->Delete(call.tenant, id));
  rooms_.feedback->Forget(call.tenant, id);
  return absl::OkStatus();
}

absl::Status CollectionService::UpsertDocuments(const Call& call, const v1::UpsertDocumentsRequest& request,
                                                v1::UpsertDocumentsResponse* response) {
  ASSIGN_OR_RETURN(const std::string id, ParseCollection("collection", request.collection()));
  ASSIGN_OR_RETURN(const auto documents, rooms_.collections->Documents(call.tenant, id));
  ASSIGN_OR_RETURN(const CollectionRecord collection, rooms_.meta->GetCollection(call.tenant, id));
  RETURN_IF_ERROR(rooms_.collections->AdmitWrite(call.tenant, id, WriteKind::kUpsert));
  std::vector<DocumentInput> inputs;
  for (int i = 0; i < request.documents_size(); ++i) {
    auto input = FromProto(request.documents(i), collection.external);
    if (!input.ok()) return PrefixField(tandem::Path("documents", i), input.status());
    inputs.push_back(*std::move(input));
  }
  StreamMessage message;  // A call with a request_id is a stream of one message.
  if (!request.request_id().empty()) message = {Concat("upsert:", request.request_id()), 1, Fingerprint(request)};
  ASSIGN_OR_RETURN(const auto result, documents->Upsert(inputs, message));
  response->set_commit(result.commit);
  return absl::OkStatus();
}

absl::Status CollectionService::ImportDocuments(const Call& call, MessageStream* stream) {
  v1::ImportDocumentsRequest request;
  std::string collection, stream_id;
  for (int64_t last = 0; stream->Read(&request); last = request.sequence()) {
    RETURN_IF_ERROR(Validate(request, /*first=*/last == 0));
    if (last == 0) {
      ASSIGN_OR_RETURN(collection, ParseCollection("collection", request.collection()));
      if (!request.request_id().empty()) stream_id = Concat("import:", request.request_id());
      request.clear_collection();  // What is left is the content, wherever in a stream the message stands.
    }
    RETURN_IF_ERROR(CheckSequence(request.sequence(), last, !stream_id.empty()));
    v1::ImportDocumentsResponse response;
    RETURN_IF_ERROR(Import(call, collection, stream_id, request, &response));
    if (!stream->Write(response)) break;
  }
  return stream->status();
}

absl::Status CollectionService::Import(const Call& call, const std::string& collection, const std::string& stream_id,
                                       const v1::ImportDocumentsRequest& request,
                                       v1::ImportDocumentsResponse* response) {
  ASSIGN_OR_RETURN(const auto documents, rooms_.collections->Documents(call.tenant, collection));
  ASSIGN_OR_RETURN(const CollectionRecord record, rooms_.meta->GetCollection(call.tenant, collection));
  RETURN_IF_ERROR(rooms_.collections->AdmitWrite(call.tenant, collection, WriteKind::kUpsert));
  std::vector<DocumentInput> inputs;
  RefusedItems refused;
  for (int i = 0; i < request.documents_size(); ++i) {
    absl::Status status = Validate(request.documents(i));
    if (status.ok()) {
      auto input = FromProto(request.documents(i), record.external);
      status = input.status();
      if (status.ok()) status = documents->CheckPayload(input->payload_json);
      if (status.ok()) inputs.push_back(*std::move(input));
    }
    if (!status.ok()) refused.Add(i, status);
  }
  StreamMessage message;
  if (!stream_id.empty()) message = {stream_id, request.sequence(), Fingerprint(request)};
  ASSIGN_OR_RETURN(const auto result, documents->Upsert(inputs, message, refused.ToJson()));
  response->set_sequence(request.sequence());
  response->set_commit(result.commit);
  response->set_accepted(result.accepted);
  FromRefusedJson(result.errors_json, response->mutable_errors());
  return absl::OkStatus();
}

absl::Status CollectionService::GetDocument(const Call& call, const v1::GetDocumentRequest& request,
                                            v1::Document* response) {
  ASSIGN_OR_RETURN(const auto documents, Documents(call, request.collection()));
  ASSIGN_OR_RETURN(const DocumentVersion version, documents->Get(request.id()));
  ToProto(version, response);
  return absl::OkStatus();
}

absl::Status CollectionService::ListDocuments(const Call& call, const v1::ListDocumentsRequest& request,
                                              v1::ListDocumentsResponse* response) {
  const std::string list = Concat(request.collection(), "/documents");
  ASSIGN_OR_RETURN(Page page, ParsePage(list, request.page_size(), request.page_token()));
  const int size = page.size++;
  ASSIGN_OR_RETURN(const auto documents, Documents(call, request.collection()));
  ASSIGN_OR_RETURN(const Filter filter, FilterOf(*documents, request));
  ASSIGN_OR_RETURN(const auto versions, request.has_filter() ? documents->List(page, kMaxPageBytes, filter)
                                                             : documents->List(page, kMaxPageBytes));
  response->set_next_page_token(FillPage(
      list, size, versions, response->mutable_documents(),
      [](const DocumentVersion& version, v1::Document* out) { ToProto(version, out); },
      [](const DocumentVersion& version) { return version.id; }));
  return absl::OkStatus();
}

absl::Status CollectionService::CountDocuments(const Call& call, const v1::CountDocumentsRequest& request,
                                               v1::CountDocumentsResponse* response) {
  ASSIGN_OR_RETURN(const auto documents, Documents(call, request.collection()));
  if (request.has_filter()) {
    ASSIGN_OR_RETURN(const Filter filter, FilterOf(*documents, request));
    ASSIGN_OR_RETURN(const DocumentStore::DocumentCount counted, documents->Count(filter));
    response->set_count(counted.count);
    response->set_commit(counted.commit);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const int64_t count, documents->Count());
  response->set_count(count);
  response->set_commit(documents->head());
  return absl::OkStatus();
}

absl::Status CollectionService::DeleteDocuments(const Call& call, const v1::DeleteDocumentsRequest& request,
                                                v1::DeleteDocumentsResponse* response) {
  ASSIGN_OR_RETURN(const std::string id, ParseCollection("collection", request.collection()));
  ASSIGN_OR_RETURN(const auto documents, rooms_.collections->Documents(call.tenant, id));
  RETURN_IF_ERROR(rooms_.collections->AdmitWrite(call.tenant, id, WriteKind::kDelete));
  ASSIGN_OR_RETURN(const Filter filter, FilterOf(*documents, request));
  ASSIGN_OR_RETURN(const auto result, request.has_filter() ? documents->Delete(filter)
                                                           : documents->Delete(std::vector<std::string>(
                                                                 request.ids().begin(), request.ids().end())));
  response->set_commit(result.commit);
  response->set_deleted(result.accepted);
  return absl::OkStatus();
}

absl::Status CollectionService::UpdatePayloads(const Call& call, const v1::UpdatePayloadsRequest& request,
                                               v1::UpdatePayloadsResponse* response) {
  ASSIGN_OR_RETURN(const std::string id, ParseCollection("collection", request.collection()));
  ASSIGN_OR_RETURN(const auto documents, rooms_.collections->Documents(call.tenant, id));
  RETURN_IF_ERROR(rooms_.collections->AdmitWrite(call.tenant, id, WriteKind::kUpsert));
  std::vector<PayloadUpdate> updates;
  for (int i = 0; i < request.updates_size(); ++i) {
    auto update = FromProto(request.updates(i));
    if (!update.ok()) return PrefixField(tandem::Path("updates", i), update.status());
    updates.push_back(*std::move(update));
  }
  StreamMessage message;
  if (!request.request_id().empty()) message = {Concat("payloads:", request.request_id()), 1, Fingerprint(request)};
  const bool merge = request.mode() == v1::UpdatePayloadsRequest::MERGE;
  ASSIGN_OR_RETURN(const auto result,
                   documents->UpdatePayloads(updates, merge ? PayloadChange::kMerge : PayloadChange::kReplace,
                                             kMaxPayloadBytes, message));
  response->set_commit(result.commit);
  response->mutable_missing()->Add(result.missing.begin(), result.missing.end());
  return absl::OkStatus();
}

absl::Status CollectionService::CreateEvaluationSet(const Call& call, const v1::CreateEvaluationSetRequest& request,
                                                    v1::EvaluationSet* response) {
  ASSIGN_OR_RETURN(const std::string collection, ParseCollection("collection", request.collection()));
  Idempotency idempotency(call, "CreateEvaluationSet", request);
  ASSIGN_OR_RETURN(const auto answer, idempotency.Find(rooms_.meta));
  std::string id = request.evaluation_set_id().empty() ? NewId() : request.evaluation_set_id();
  if (answer) {
    ASSIGN_OR_RETURN(const EvaluationSetName name, ParseEvaluationSet("request_id", *answer));
    id = name.evaluation_set;
  } else {
    ASSIGN_OR_RETURN(const CollectionRecord owner, rooms_.meta->GetCollection(call.tenant, collection));
    if (owner.external) {
      return InvalidField("collection", Concat(request.collection(),
                                               ": its documents bring their vectors, and no model "
                                               "embeds the queries of an evaluation set for it"));
    }
    std::vector<EvaluationQuery> queries;
    for (const v1::EvaluationQuery& query : request.queries()) queries.push_back(FromProto(query));
    const EvaluationSetRecord record{.tenant = call.tenant,
                                     .collection = collection,
                                     .id = id,
                                     .create_time = absl::Now(),
                                     .query_count = request.queries_size()};
    RETURN_IF_ERROR(
        rooms_.meta->CreateEvaluationSet(record, queries, idempotency.Answer(EvaluationSetNameOf(collection, id))));
  }
  ASSIGN_OR_RETURN(const EvaluationSetRecord stored, rooms_.meta->GetEvaluationSet(call.tenant, collection, id));
  ToProto(stored, response);
  return absl::OkStatus();
}

absl::Status CollectionService::GetEvaluationSet(const Call& call, const v1::GetEvaluationSetRequest& request,
                                                 v1::EvaluationSet* response) {
  ASSIGN_OR_RETURN(const EvaluationSetName name, ParseEvaluationSet("name", request.name()));
  ASSIGN_OR_RETURN(const EvaluationSetRecord record,
                   rooms_.meta->GetEvaluationSet(call.tenant, name.collection, name.evaluation_set));
  ToProto(record, response);
  return absl::OkStatus();
}

absl::Status CollectionService::ListEvaluationSets(const Call& call, const v1::ListEvaluationSetsRequest& request,
                                                   v1::ListEvaluationSetsResponse* response) {
  ASSIGN_OR_RETURN(const std::string collection, ParseCollection("collection", request.collection()));
  const std::string list = Concat(request.collection(), "/evaluationSets");
  ASSIGN_OR_RETURN(Page page, ParsePage(list, request.page_size(), request.page_token()));
  const int size = page.size++;
  RETURN_IF_ERROR(rooms_.meta->GetCollection(call.tenant, collection).status());
  ASSIGN_OR_RETURN(const auto records, rooms_.meta->ListEvaluationSets(call.tenant, collection, page));
  response->set_next_page_token(FillPage(
      list, size, records, response->mutable_evaluation_sets(),
      [](const EvaluationSetRecord& record, v1::EvaluationSet* out) { ToProto(record, out); },
      [](const EvaluationSetRecord& record) { return record.id; }));
  return absl::OkStatus();
}

absl::Status CollectionService::DeleteEvaluationSet(const Call& call, const v1::DeleteEvaluationSetRequest& request,
                                                    google::protobuf::Empty*) {
  ASSIGN_OR_RETURN(const EvaluationSetName name, ParseEvaluationSet("name", request.name()));
  return rooms_.meta->DeleteEvaluationSet(call.tenant, name.collection, name.evaluation_set);
}

}  // namespace tandem
