#include "client/datasets.h"

#include <utility>

#include "absl/strings/string_view.h"
#include "client/names.h"
#include "client/pages.h"
#include "client/upload.h"

namespace tandem {

using Stub = v1::DatasetService::Stub;

Datasets::Datasets(std::shared_ptr<const Connection> connection)
    : connection_(std::move(connection)), stub_(v1::DatasetService::NewStub(connection_->channel())) {}

absl::StatusOr<v1::Dataset> Datasets::Create(v1::CreateDatasetRequest request) const {
  return connection_->Call(*stub_, &Stub::CreateDataset, std::move(request));
}

absl::StatusOr<v1::Dataset> Datasets::Get(absl::string_view dataset) const {
  v1::GetDatasetRequest request;
  request.set_name(DatasetName(dataset));
  return connection_->Call(*stub_, &Stub::GetDataset, request);
}

absl::StatusOr<std::vector<v1::Dataset>> Datasets::List() const {
  return CollectPages<v1::Dataset>(
      v1::ListDatasetsRequest(), 0,
      [this](const v1::ListDatasetsRequest& page) { return connection_->Call(*stub_, &Stub::ListDatasets, page); },
      [](v1::ListDatasetsResponse* response) { return response->mutable_datasets(); });
}

absl::Status Datasets::Delete(absl::string_view dataset) const {
  v1::DeleteDatasetRequest request;
  request.set_name(DatasetName(dataset));
  return connection_->CallOnce(*stub_, &Stub::DeleteDataset, request).status();
}

absl::StatusOr<UploadProgress> Datasets::Append(absl::string_view dataset, const ItemSource<v1::Example>& examples,
                                                const UploadOptions& options, const UploadCallbacks& callbacks) const {
  using Append = Upload<v1::AppendExamplesRequest, v1::AppendExamplesResponse, v1::Example>;
  const std::string name = DatasetName(dataset);
  Append::Protocol protocol{
      .open = [this](grpc::ClientContext* context) { return stub_->AppendExamples(context); },
      .set_parent = [&name](v1::AppendExamplesRequest* request) { request->set_dataset(name); },
      .add_item = [](v1::AppendExamplesRequest* request,
                     v1::Example example) { *request->add_examples() = std::move(example); },
  };
  return Append(*connection_, std::move(protocol), options, callbacks).Run(examples);
}

absl::StatusOr<std::vector<v1::ListExamplesResponse::Item>> Datasets::Examples(absl::string_view dataset,
                                                                               size_t limit) const {
  v1::ListExamplesRequest request;
  request.set_dataset(DatasetName(dataset));
  return CollectPages<v1::ListExamplesResponse::Item>(
      request, limit,
      [this](const v1::ListExamplesRequest& page) { return connection_->Call(*stub_, &Stub::ListExamples, page); },
      [](v1::ListExamplesResponse* response) { return response->mutable_items(); });
}

absl::Status Datasets::VisitExamples(absl::string_view dataset,
                                     const std::function<bool(const v1::ListExamplesResponse::Item&)>& visit) const {
  v1::ListExamplesRequest request;
  request.set_dataset(DatasetName(dataset));
  request.set_page_size(1000);
  do {
    const absl::StatusOr<v1::ListExamplesResponse> page = connection_->Call(*stub_, &Stub::ListExamples, request);
    if (!page.ok()) return page.status();
    for (const v1::ListExamplesResponse::Item& item : page->items()) {
      if (!visit(item)) return absl::OkStatus();
    }
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  return absl::OkStatus();
}

absl::StatusOr<v1::Job> Datasets::Analyze(v1::AnalyzeDatasetRequest request) const {
  request.set_dataset(DatasetName(request.dataset()));
  if (!request.validation_dataset().empty()) {
    request.set_validation_dataset(DatasetName(request.validation_dataset()));
  }
  if (!request.base_revision().empty()) request.set_base_revision(ModelOrRevisionName(request.base_revision()));
  return connection_->Call(*stub_, &Stub::AnalyzeDataset, std::move(request));
}

}  // namespace tandem
