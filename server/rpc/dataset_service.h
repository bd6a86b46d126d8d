#pragma once
// Training data. See proto/tandem/v1/dataset.proto.

#include "server/jobs/analysis_job.h"
#include "server/rpc/rooms.h"
#include "server/rpc/rpc_service.h"
#include "tandem/v1/dataset.pb.h"

namespace tandem {

class DatasetService : public RpcService {
 public:
  explicit DatasetService(const Rooms& rooms);

 private:
  absl::Status CreateDataset(const Call& call, const v1::CreateDatasetRequest& request, v1::Dataset* response);
  absl::Status GetDataset(const Call& call, const v1::GetDatasetRequest& request, v1::Dataset* response);
  absl::Status ListDatasets(const Call& call, const v1::ListDatasetsRequest& request,
                            v1::ListDatasetsResponse* response);
  absl::Status DeleteDataset(const Call& call, const v1::DeleteDatasetRequest& request,
                             google::protobuf::Empty* response);
  absl::Status AppendExamples(const Call& call, MessageStream* stream);
  absl::Status ListExamples(const Call& call, const v1::ListExamplesRequest& request,
                            v1::ListExamplesResponse* response);
  absl::Status AnalyzeDataset(const Call& call, const v1::AnalyzeDatasetRequest& request, v1::Job* response);
  absl::StatusOr<AnalysisRequest> ToAnalysisRequest(const Call& call, const v1::AnalyzeDatasetRequest& request);
  absl::Status Append(const Call& call, const std::string& dataset, const std::string& request_id,
                      const v1::AppendExamplesRequest& request, v1::AppendExamplesResponse* response);

  const Rooms& rooms_;
};

}  // namespace tandem
