#include "server/rpc/model_service.h"

#include <fstream>
#include <system_error>

#include "absl/time/clock.h"
#include "server/base/files.h"
#include "server/base/ids.h"
#include "server/base/strings.h"
#include "server/release/release_directory.h"
#include "server/rpc/convert.h"
#include "server/rpc/limits.h"
#include "server/rpc/model_upload.h"
#include "server/rpc/names.h"
#include "server/rpc/paging.h"

namespace tandem {
namespace {

constexpr int64_t kProgressBytes = 16 << 20;  // How often an import says how far it is.

absl::Status ClientGone() { return absl::CancelledError("the client has gone"); }

}  // namespace

ModelService::ModelService(const Rooms& rooms) : RpcService("ModelService", rooms.pool), rooms_(rooms) {
  TwoWayStream("ImportModel", &ModelService::ImportModel);
  ServerStream("ExportModel", &ModelService::ExportModel);
  Unary("GetModel", &ModelService::GetModel);
  Unary("ListModels", &ModelService::ListModels);
  Unary("DeleteModel", &ModelService::DeleteModel);
  Unary("GetModelRevision", &ModelService::GetModelRevision);
  Unary("ListModelRevisions", &ModelService::ListModelRevisions);
  Unary("DeleteModelRevision", &ModelService::DeleteModelRevision);
}

std::filesystem::path ModelService::Directory(const Call& call, std::string_view model, std::string_view revision) {
  return ModelRevisionDirectory(rooms_.data_directory, call.tenant, model, revision);
}

absl::Status ModelService::ImportModel(const Call& call, MessageStream* stream) {
  v1::ImportModelRequest request;
  if (!stream->Read(&request)) {
    return stream->status().ok() ? InvalidField("header", "must be the stream's first message") : stream->status();
  }
  RETURN_IF_ERROR(Validate(request, /*first=*/true));
  const v1::ImportModelRequest::Header header = request.header();
  const std::string id = header.revision_id().empty() ? NewId() : header.revision_id();
  if (rooms_.meta->GetModelRevision(call.tenant, header.model_id(), id).ok()) {
    return absl::AlreadyExistsError(Concat(RevisionNameOf(header.model_id(), id), " is there already"));
  }
  ModelUpload upload(Directory(call, header.model_id(), id));
  RETURN_IF_ERROR(upload.Begin());
  RETURN_IF_ERROR(header.directory().empty() ? Receive(stream, &upload)
                                             : CopyFrom(header.directory(), stream, &upload));
  // A stream that was torn ends like one that was finished; but then nothing can be written to it.
  v1::ImportModelResponse response;
  response.set_bytes_received(upload.bytes());
  if (!stream->Write(response) || call.gone()) return ClientGone();
  ASSIGN_OR_RETURN(const ModelDescription description, upload.Publish());
  RETURN_IF_ERROR(AddRevision(call, header.model_id(), id, description, response.mutable_revision()));
  return stream->Write(response) ? absl::OkStatus() : ClientGone();
}

absl::Status ModelService::Receive(MessageStream* stream, ModelUpload* upload) {
  v1::ImportModelRequest request;
  for (int64_t reported = 0; stream->Read(&request);) {
    RETURN_IF_ERROR(Validate(request, /*first=*/false));
    RETURN_IF_ERROR(upload->Append(request.chunk().path(), request.chunk().data()));
    if (upload->bytes() - reported < kProgressBytes) continue;
    reported = upload->bytes();
    v1::ImportModelResponse response;
    response.set_bytes_received(reported);
    if (!stream->Write(response)) return ClientGone();
  }
  return stream->status();
}

absl::Status ModelService::CopyFrom(const std::string& directory, MessageStream* stream, ModelUpload* upload) {
  if (rooms_.model_import_directory.empty()) {
    return InvalidField("header.directory", "this server was started without --model-import-dir: send the files");
  }
  v1::ImportModelRequest request;
  if (stream->Read(&request)) return InvalidField("chunk", "cannot come with header.directory");
  RETURN_IF_ERROR(stream->status());
  return upload->CopyFrom(rooms_.model_import_directory, directory);
}

absl::Status ModelService::AddRevision(const Call& call, const std::string& model, const std::string& id,
                                       const ModelDescription& description, v1::ModelRevision* out) {
  const ModelRevisionRecord record{.tenant = call.tenant,
                                   .model = model,
                                   .id = id,
                                   .create_time = absl::Now(),
                                   .architecture = description.architecture,
                                   .parameters = description.parameters,
                                   .contract = description.contract,
                                   .sha256 = description.sha256};
  if (const absl::Status status = rooms_.meta->AddModelRevision(record); !status.ok()) {
    // The directory was ours: publishing refuses a name that is taken.
    RETURN_IF_ERROR(RemoveTree(Directory(call, model, id)));
    return status;
  }
  ToProto(record, out);
  return absl::OkStatus();
}

absl::Status ModelService::ExportModel(const Call& call, const v1::ExportModelRequest& request, MessageStream* stream) {
  ASSIGN_OR_RETURN(const RevisionName name, ParseRevision("name", request.name()));
  RETURN_IF_ERROR(rooms_.meta->GetModelRevision(call.tenant, name.model, name.revision).status());
  const std::filesystem::path directory = Directory(call, name.model, name.revision);
  ASSIGN_OR_RETURN(const std::vector<std::string> files, ListFiles(directory));
  v1::ExportModelResponse message;
  std::error_code error;
  int64_t total = 0;
  for (const std::string& file : files)
    total += static_cast<int64_t>(std::filesystem::file_size(directory / file, error));
  message.set_total_bytes(total);
  for (const std::string& file : files) RETURN_IF_ERROR(SendFile(directory, file, stream, &message));
  return absl::OkStatus();
}

// At least one chunk, so that an empty file arrives too.
absl::Status ModelService::SendFile(const std::filesystem::path& directory, const std::string& file,
                                    MessageStream* stream, v1::ExportModelResponse* message) {
  std::ifstream in(directory / file, std::ios::binary);
  std::string buffer(kMaxChunkBytes, '\0');
  message->mutable_chunk()->set_path(file);
  bool first = true;
  while (in.read(buffer.data(), kMaxChunkBytes), in.gcount() > 0 || (first && in.eof())) {
    first = false;
    message->mutable_chunk()->set_data(buffer.data(), static_cast<size_t>(in.gcount()));
    if (!stream->Write(*message)) return ClientGone();
  }
  return in.eof() ? absl::OkStatus() : absl::AbortedError(Concat("\"", file, "\" cannot be read: was it deleted?"));
}

// Forgotten last: until the files are gone, a call that found the revision before may still load them.
absl::Status ModelService::RemoveFiles(const std::filesystem::path& directory) {
  const absl::Status status = RemoveTree(directory);
  rooms_.models->Forget(directory);
  return status;
}

absl::Status ModelService::GetModel(const Call& call, const v1::GetModelRequest& request, v1::Model* response) {
  ASSIGN_OR_RETURN(const std::string id, ParseModel("name", request.name()));
  ASSIGN_OR_RETURN(const ModelRecord record, rooms_.meta->GetModel(call.tenant, id));
  ToProto(record, response);
  return absl::OkStatus();
}

absl::Status ModelService::ListModels(const Call& call, const v1::ListModelsRequest& request,
                                      v1::ListModelsResponse* response) {
  ASSIGN_OR_RETURN(Page page, ParsePage("models", request.page_size(), request.page_token()));
  const int size = page.size++;
  ASSIGN_OR_RETURN(const auto records, rooms_.meta->ListModels(call.tenant, page));
  response->set_next_page_token(FillPage(
      "models", size, records, response->mutable_models(),
      [](const ModelRecord& record, v1::Model* out) { ToProto(record, out); },
      [](const ModelRecord& record) { return record.id; }));
  return absl::OkStatus();
}

absl::Status ModelService::DeleteModel(const Call& call, const v1::DeleteModelRequest& request,
                                       google::protobuf::Empty*) {
  ASSIGN_OR_RETURN(const std::string id, ParseModel("name", request.name()));
  ASSIGN_OR_RETURN(const auto revisions, rooms_.meta->DeleteModel(call.tenant, id));
  for (const std::string& revision : revisions) RETURN_IF_ERROR(RemoveFiles(Directory(call, id, revision)));
  return absl::OkStatus();
}

absl::Status ModelService::GetModelRevision(const Call& call, const v1::GetModelRevisionRequest& request,
                                            v1::ModelRevision* response) {
  ASSIGN_OR_RETURN(const RevisionName name, ParseRevision("name", request.name()));
  ASSIGN_OR_RETURN(const ModelRevisionRecord record,
                   rooms_.meta->GetModelRevision(call.tenant, name.model, name.revision));
  ToProto(record, response);
  return absl::OkStatus();
}

absl::Status ModelService::ListModelRevisions(const Call& call, const v1::ListModelRevisionsRequest& request,
                                              v1::ListModelRevisionsResponse* response) {
  ASSIGN_OR_RETURN(const std::string id, ParseModel("model", request.model()));
  const std::string list = Concat(request.model(), "/revisions");
  ASSIGN_OR_RETURN(Page page, ParsePage(list, request.page_size(), request.page_token()));
  const int size = page.size++;
  ASSIGN_OR_RETURN(const auto records, rooms_.meta->ListModelRevisions(call.tenant, id, page));
  response->set_next_page_token(FillPage(
      list, size, records, response->mutable_revisions(),
      [](const ModelRevisionRecord& record, v1::ModelRevision* out) { ToProto(record, out); },
      [](const ModelRevisionRecord& record) { return record.id; }));
  return absl::OkStatus();
}

absl::Status ModelService::DeleteModelRevision(const Call& call, const v1::DeleteModelRevisionRequest& request,
                                               google::protobuf::Empty*) {
  ASSIGN_OR_RETURN(const RevisionName name, ParseRevision("name", request.name()));
  RETURN_IF_ERROR(rooms_.meta->DeleteModelRevision(call.tenant, name.model, name.revision));
  return RemoveFiles(Directory(call, name.model, name.revision));
}

}  // namespace tandem
