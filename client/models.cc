#include "client/models.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "client/download.h"
#include "client/model_upload.h"
#include "client/names.h"
#include "client/pages.h"

namespace tandem {
namespace {

using Stub = v1::ModelService::Stub;

v1::ImportModelRequest::Header MakeHeader(absl::string_view model_id, absl::string_view revision_id) {
  v1::ImportModelRequest::Header header;
  header.set_model_id(std::string(ShortId(model_id)));
  header.set_revision_id(std::string(revision_id));
  return header;
}

}  // namespace

Models::Models(std::shared_ptr<const Connection> connection)
    : connection_(std::move(connection)), stub_(v1::ModelService::NewStub(connection_->channel())) {}

absl::StatusOr<v1::ModelRevision> Models::Import(const std::string& directory, absl::string_view model_id,
                                                 absl::string_view revision_id, const OnTransfer& on_transfer) const {
  absl::StatusOr<std::vector<ModelFile>> files = ListModelFiles(directory);
  if (!files.ok()) return files.status();
  const v1::ImportModelRequest::Header header = MakeHeader(model_id, revision_id);
  Backoff backoff(connection_->options().retry, connection_->options().retry.call_patience);
  while (true) {
    absl::StatusOr<v1::ModelRevision> revision =
        UploadModel(*stub_, connection_->address(), header, *files, on_transfer);
    if (revision.ok() || !backoff.WaitAfter(revision.status())) return revision;
  }
}

absl::StatusOr<v1::ModelRevision> Models::ImportFromServer(absl::string_view directory, absl::string_view model_id,
                                                           absl::string_view revision_id) const {
  v1::ImportModelRequest::Header header = MakeHeader(model_id, revision_id);
  header.set_directory(std::string(directory));
  return UploadModel(*stub_, connection_->address(), header, {}, {});
}

absl::Status Models::Export(absl::string_view revision, const std::string& directory,
                            const OnTransfer& on_transfer) const {
  absl::StatusOr<v1::ModelRevision> found = GetRevision(revision);
  if (!found.ok()) return found.status();
  v1::ExportModelRequest request;
  request.set_name(found->name());
  return DownloadDirectory<v1::ExportModelResponse>(
      *connection_, directory, on_transfer,
      [&](grpc::ClientContext* context) { return stub_->ExportModel(context, request); },
      [](const v1::ExportModelResponse& response) {
        return FilePart{
            .path = response.chunk().path(), .data = response.chunk().data(), .total_bytes = response.total_bytes()};
      });
}

absl::StatusOr<v1::Model> Models::Get(absl::string_view model) const {
  v1::GetModelRequest request;
  request.set_name(ModelName(model));
  return connection_->Call(*stub_, &Stub::GetModel, request);
}

absl::StatusOr<std::vector<v1::Model>> Models::List() const {
  return CollectPages<v1::Model>(
      v1::ListModelsRequest(), 0,
      [this](const v1::ListModelsRequest& page) { return connection_->Call(*stub_, &Stub::ListModels, page); },
      [](v1::ListModelsResponse* response) { return response->mutable_models(); });
}

absl::Status Models::Delete(absl::string_view model) const {
  v1::DeleteModelRequest request;
  request.set_name(ModelName(model));
  return connection_->CallOnce(*stub_, &Stub::DeleteModel, request).status();
}

absl::StatusOr<v1::ModelRevision> Models::GetRevision(absl::string_view revision) const {
  v1::GetModelRevisionRequest request;
  request.set_name(ModelOrRevisionName(revision));
  if (!absl::StrContains(request.name(), "/revisions/")) {
    absl::StatusOr<v1::Model> model = Get(request.name());
    if (!model.ok()) return model.status();
    request.set_name(model->newest_revision());
  }
  return connection_->Call(*stub_, &Stub::GetModelRevision, request);
}

absl::StatusOr<std::vector<v1::ModelRevision>> Models::ListRevisions(absl::string_view model) const {
  v1::ListModelRevisionsRequest request;
  request.set_model(ModelName(model));
  return CollectPages<v1::ModelRevision>(
      request, 0,
      [this](const v1::ListModelRevisionsRequest& page) {
        return connection_->Call(*stub_, &Stub::ListModelRevisions, page);
      },
      [](v1::ListModelRevisionsResponse* response) { return response->mutable_revisions(); });
}

absl::Status Models::DeleteRevision(absl::string_view revision) const {
  v1::DeleteModelRevisionRequest request;
  request.set_name(ModelOrRevisionName(revision));
  return connection_->CallOnce(*stub_, &Stub::DeleteModelRevision, request).status();
}

}  // namespace tandem
