#include "server/rpc/training_service.h"

#include "server/rpc/convert.h"
#include "server/rpc/idempotency.h"
#include "server/rpc/model_names.h"
#include "server/rpc/names.h"

namespace tandem {

TrainingService::TrainingService(const Rooms& rooms) : RpcService("TrainingService", rooms.pool), rooms_(rooms) {
  Unary("Train", &TrainingService::Train);
  Unary("MineNegatives", &TrainingService::MineNegatives);
}

absl::Status TrainingService::Train(const Call& call, const v1::TrainRequest& request, v1::Job* response) {
  Idempotency idempotency(call, "Train", request);
  ASSIGN_OR_RETURN(const auto answer, idempotency.Find(rooms_.meta));
  JobRecord job;
  if (answer) {
    ASSIGN_OR_RETURN(const std::string id, ParseJob("request_id", *answer));
    ASSIGN_OR_RETURN(job, rooms_.meta->GetJob(call.tenant, id));
  } else {
    ASSIGN_OR_RETURN(const TrainingJobRequest wanted, ToJobRequest(call, request));
    ASSIGN_OR_RETURN(job, rooms_.jobs->Submit(wanted, idempotency.Answer("")));
  }
  ToProto(job, JobProgress{}, response);
  return absl::OkStatus();
}

absl::StatusOr<TrainingJobRequest> TrainingService::ToJobRequest(const Call& call, const v1::TrainRequest& request) {
  TrainingJobRequest job{.tenant = call.tenant, .options = ToTrainerOptions(request)};
  ASSIGN_OR_RETURN(const RevisionName base,
                   ResolveRevision(rooms_.meta, call.tenant, "base_revision", request.base_revision()));
  job.base_model = base.model;
  job.base_revision = base.revision;
  ASSIGN_OR_RETURN(job.dataset, ParseDataset("dataset", request.dataset()));
  if (request.has_dataset_commit()) job.dataset_commit = request.dataset_commit();
  job.target_model = base.model;
  if (!request.target_model().empty()) {
    ASSIGN_OR_RETURN(job.target_model, ParseModel("target_model", request.target_model()));
  }
  if (!request.validation_dataset().empty()) {
    ASSIGN_OR_RETURN(job.validation_dataset, ParseDataset("validation_dataset", request.validation_dataset()));
  }
  return job;
}

absl::Status TrainingService::MineNegatives(const Call&, const v1::MineNegativesRequest&, v1::Job*) {
  return absl::UnimplementedError("MineNegatives: this server has no jobs that search hard negatives");
}

}  // namespace tandem
