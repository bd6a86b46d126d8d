#include "server/rpc/dataset_service.h"

#include <vector>

#include "absl/strings/numbers.h"
#include "server/base/ids.h"
#include "server/base/strings.h"
#include "server/rpc/convert.h"
#include "server/rpc/idempotency.h"
#include "server/rpc/import_stream.h"
#include "server/rpc/model_names.h"
#include "server/rpc/names.h"
#include "server/rpc/paging.h"
#include "server/rpc/submit_job.h"

namespace tandem {

DatasetService::DatasetService(const Rooms& rooms) : RpcService("DatasetService", rooms.pool), rooms_(rooms) {
  Unary("CreateDataset", &DatasetService::CreateDataset);
  Unary("GetDataset", &DatasetService::GetDataset);
  Unary("ListDatasets", &DatasetService::ListDatasets);
  Unary("DeleteDataset", &DatasetService::DeleteDataset);
  TwoWayStream("AppendExamples", &DatasetService::AppendExamples);
  Unary("ListExamples", &DatasetService::ListExamples);
  Unary("AnalyzeDataset", &DatasetService::AnalyzeDataset);
}

absl::Status DatasetService::CreateDataset(const Call& call, const v1::CreateDatasetRequest& request,
                                           v1::Dataset* response) {
  Idempotency idempotency(call, "CreateDataset", request);
  ASSIGN_OR_RETURN(const auto answer, idempotency.Find(rooms_.meta));
  if (answer) {
    ASSIGN_OR_RETURN(const std::string id, ParseDataset("request_id", *answer));
    ASSIGN_OR_RETURN(const DatasetRecord record, rooms_.meta->GetDataset(call.tenant, id));
    ToProto(record, response);
    return absl::OkStatus();
  }
  const std::string id = request.dataset_id().empty() ? NewId() : request.dataset_id();
  ASSIGN_OR_RETURN(const DatasetRecord record, rooms_.meta->CreateDataset(call.tenant, id, request.display_name(),
                                                                          idempotency.Answer(DatasetName(id))));
  ToProto(record, response);
  return absl::OkStatus();
}

absl::Status DatasetService::GetDataset(const Call& call, const v1::GetDatasetRequest& request, v1::Dataset* response) {
  ASSIGN_OR_RETURN(const std::string id, ParseDataset("name", request.name()));
  ASSIGN_OR_RETURN(const DatasetRecord record, rooms_.meta->GetDataset(call.tenant, id));
  ToProto(record, response);
  return absl::OkStatus();
}

absl::Status DatasetService::ListDatasets(const Call& call, const v1::ListDatasetsRequest& request,
                                          v1::ListDatasetsResponse* response) {
  ASSIGN_OR_RETURN(Page page, ParsePage("datasets", request.page_size(), request.page_token()));
  const int size = page.size++;
  ASSIGN_OR_RETURN(const auto records, rooms_.meta->ListDatasets(call.tenant, page));
  response->set_next_page_token(FillPage(
      "datasets", size, records, response->mutable_datasets(),
      [](const DatasetRecord& record, v1::Dataset* out) { ToProto(record, out); },
      [](const DatasetRecord& record) { return record.id; }));
  return absl::OkStatus();
}

absl::Status DatasetService::DeleteDataset(const Call& call, const v1::DeleteDatasetRequest& request,
                                           google::protobuf::Empty*) {
  ASSIGN_OR_RETURN(const std::string id, ParseDataset("name", request.name()));
  return rooms_.meta->DeleteDataset(call.tenant, id);
}

absl::Status DatasetService::AppendExamples(const Call& call, MessageStream* stream) {
  v1::AppendExamplesRequest request;
  std::string dataset, request_id;
  for (int64_t last = 0; stream->Read(&request); last = request.sequence()) {
    RETURN_IF_ERROR(Validate(request, /*first=*/last == 0));
    if (last == 0) {
      ASSIGN_OR_RETURN(dataset, ParseDataset("dataset", request.dataset()));
      request_id = request.request_id();
      request.clear_dataset();  // What is left is the content, wherever in a stream the message stands.
    }
    RETURN_IF_ERROR(CheckSequence(request.sequence(), last, !request_id.empty()));
    v1::AppendExamplesResponse response;
    RETURN_IF_ERROR(Append(call, dataset, request_id, request, &response));
    if (!stream->Write(response)) break;
  }
  return stream->status();
}

absl::Status DatasetService::Append(const Call& call, const std::string& dataset, const std::string& request_id,
                                    const v1::AppendExamplesRequest& request, v1::AppendExamplesResponse* response) {
  std::vector<Example> examples;
  RefusedItems refused;
  for (int i = 0; i < request.examples_size(); ++i) {
    const absl::Status status = Validate(request.examples(i));
    if (status.ok()) {
      examples.push_back(FromProto(request.examples(i)));
    } else {
      refused.Add(i, status);
    }
  }
  StreamMessage message;
  if (!request_id.empty()) message = {request_id, request.sequence(), Fingerprint(request)};
  ASSIGN_OR_RETURN(const AppendResult result,
                   rooms_.meta->AppendExamples(call.tenant, dataset, message, examples, refused.ToJson()));
  response->set_sequence(request.sequence());
  response->set_commit(result.commit);
  response->set_accepted(result.accepted);
  FromRefusedJson(result.errors_json, response->mutable_errors());
  return absl::OkStatus();
}

absl::Status DatasetService::ListExamples(const Call& call, const v1::ListExamplesRequest& request,
                                          v1::ListExamplesResponse* response) {
  ASSIGN_OR_RETURN(const std::string id, ParseDataset("dataset", request.dataset()));
  const std::string list = Concat(request.dataset(), "/examples");
  ASSIGN_OR_RETURN(const Page page, ParsePage(list, request.page_size(), request.page_token()));
  int64_t after = 0;  // The token's key is a commit.
  if (!page.after.empty() && !absl::SimpleAtoi(page.after, &after)) {
    return InvalidField("page_token", Concat(Quote(request.page_token()), ": is not a token of this list"));
  }
  ASSIGN_OR_RETURN(const DatasetRecord dataset, rooms_.meta->GetDataset(call.tenant, id));
  ASSIGN_OR_RETURN(const auto examples,
                   rooms_.meta->ReadExamples(call.tenant, id, after, dataset.commit, page.size + 1, kMaxPageBytes));
  response->set_next_page_token(FillPage(
      list, page.size, examples, response->mutable_items(),
      [](const StoredExample& stored, v1::ListExamplesResponse::Item* out) {
        out->set_commit(stored.commit);
        ToProto(stored.example, out->mutable_example());
      },
      [](const StoredExample& stored) { return Concat(stored.commit); }));
  return absl::OkStatus();
}

absl::Status DatasetService::AnalyzeDataset(const Call& call, const v1::AnalyzeDatasetRequest& request,
                                            v1::Job* response) {
  const auto submit = [&](const MetaStore::Request* answer) -> absl::StatusOr<JobRecord> {
    ASSIGN_OR_RETURN(const AnalysisRequest wanted, ToAnalysisRequest(call, request));
    ASSIGN_OR_RETURN(const AnalysisPlan plan, PlanAnalysis(wanted, rooms_.meta));
    return rooms_.jobs->Submit(AnalysisJob(call.tenant, plan), answer);
  };
  return SubmitJob(call, "AnalyzeDataset", request, rooms_.meta, submit, response);
}

absl::StatusOr<AnalysisRequest> DatasetService::ToAnalysisRequest(const Call& call,
                                                                  const v1::AnalyzeDatasetRequest& request) {
  AnalysisRequest analysis{.tenant = call.tenant};
  ASSIGN_OR_RETURN(analysis.dataset.dataset, ParseDataset("dataset", request.dataset()));
  if (request.has_dataset_commit()) analysis.dataset.commit = request.dataset_commit();
  if (!request.validation_dataset().empty()) {
    ASSIGN_OR_RETURN(analysis.validation_dataset, ParseDataset("validation_dataset", request.validation_dataset()));
  }
  if (!request.base_revision().empty()) {
    ASSIGN_OR_RETURN(const RevisionName base,
                     ResolveRevision(rooms_.meta, call.tenant, "base_revision", request.base_revision()));
    analysis.base_model = base.model;
    analysis.base_revision = base.revision;
  }
  if (request.has_max_length()) analysis.max_length = request.max_length();
  if (request.has_batch_size()) analysis.batch_size = request.batch_size();
  return analysis;
}

}  // namespace tandem
