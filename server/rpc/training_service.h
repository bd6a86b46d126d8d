#pragma once
// Starts trainings, and jobs that mine negatives for them. See proto/tandem/v1/training.proto.

#include "server/jobs/mining_job.h"
#include "server/rpc/rooms.h"
#include "server/rpc/rpc_service.h"
#include "tandem/v1/training.pb.h"

namespace tandem {

class TrainingService : public RpcService {
 public:
  explicit TrainingService(const Rooms& rooms);

 private:
  absl::Status Train(const Call& call, const v1::TrainRequest& request, v1::Job* response);
  absl::Status EstimateTraining(const Call& call, const v1::TrainRequest& request, v1::TrainingEstimate* response);
  absl::Status MineNegatives(const Call& call, const v1::MineNegativesRequest& request, v1::Job* response);
  absl::StatusOr<TrainingJobRequest> ToJobRequest(const Call& call, const v1::TrainRequest& request);
  absl::StatusOr<MiningRequest> ToMiningRequest(const Call& call, const v1::MineNegativesRequest& request);

  const Rooms& rooms_;
};

}  // namespace tandem
