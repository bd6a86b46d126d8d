#pragma once
// Long work. See proto/tandem/v1/job.proto.

#include "server/rpc/rooms.h"
#include "server/rpc/rpc_service.h"
#include "tandem/v1/job.pb.h"

namespace tandem {

class JobService : public RpcService {
 public:
  explicit JobService(const Rooms& rooms);

 private:
  absl::Status GetJob(const Call& call, const v1::GetJobRequest& request, v1::Job* response);
  absl::Status ListJobs(const Call& call, const v1::ListJobsRequest& request, v1::ListJobsResponse* response);
  absl::Status CancelJob(const Call& call, const v1::CancelJobRequest& request, v1::Job* response);
  absl::Status DeleteJob(const Call& call, const v1::DeleteJobRequest& request, google::protobuf::Empty* response);
  absl::Status WatchJob(const Call& call, const v1::WatchJobRequest& request, MessageStream* stream);
  void Fill(const Call& call, const JobRecord& record, v1::Job* out);

  const Rooms& rooms_;
};

}  // namespace tandem
