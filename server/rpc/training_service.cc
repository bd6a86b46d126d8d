#include "server/rpc/training_service.h"

#include "server/rpc/convert.h"
#include "server/rpc/model_names.h"
#include "server/rpc/names.h"
#include "server/rpc/submit_job.h"
#include "server/rpc/validate.h"

namespace tandem {
namespace {

template <typename Message>  // TrainRequest, Objective or MineNegativesRequest.
absl::StatusOr<TrainingSource> SourceOf(const Message& message) {
  TrainingSource source;
  ASSIGN_OR_RETURN(source.dataset, ParseDataset("dataset", message.dataset()));
  if (message.has_dataset_commit()) source.commit = message.dataset_commit();
  return source;
}

}  // namespace

TrainingService::TrainingService(const Rooms& rooms) : RpcService("TrainingService", rooms.pool), rooms_(rooms) {
  Unary("Train", &TrainingService::Train);
  Unary("EstimateTraining", &TrainingService::EstimateTraining);
  Unary("MineNegatives", &TrainingService::MineNegatives);
}

absl::Status TrainingService::Train(const Call& call, const v1::TrainRequest& request, v1::Job* response) {
  const auto submit = [&](const MetaStore::Request* answer) -> absl::StatusOr<JobRecord> {
    ASSIGN_OR_RETURN(const TrainingJobRequest wanted, ToJobRequest(call, request));
    absl::StatusOr<JobRecord> job = rooms_.jobs->Submit(wanted, answer);
    if (!job.ok()) return InObjective(request, job.status());
    return job;
  };
  return SubmitJob(call, "Train", request, rooms_.meta, submit, response);
}

absl::Status TrainingService::EstimateTraining(const Call& call, const v1::TrainRequest& request,
                                               v1::TrainingEstimate* response) {
  ASSIGN_OR_RETURN(const TrainingJobRequest wanted, ToJobRequest(call, request));
  const absl::StatusOr<TrainingEstimate> estimate = rooms_.jobs->Estimate(wanted);
  if (!estimate.ok()) return InObjective(request, estimate.status());
  ToProto(*estimate, response);
  return absl::OkStatus();
}

absl::StatusOr<TrainingJobRequest> TrainingService::ToJobRequest(const Call& call, const v1::TrainRequest& request) {
  TrainingJobRequest job{.tenant = call.tenant, .options = ToTrainerOptions(request)};
  ASSIGN_OR_RETURN(const RevisionName base,
                   ResolveRevision(rooms_.meta, call.tenant, "base_revision", request.base_revision()));
  job.base_model = base.model;
  job.base_revision = base.revision;
  if (request.objectives().empty()) {
    ASSIGN_OR_RETURN(job.sources.emplace_back(), SourceOf(request));
  }
  for (const v1::Objective& objective : request.objectives()) {
    ASSIGN_OR_RETURN(job.sources.emplace_back(), SourceOf(objective));
  }
  job.target_model = base.model;
  if (!request.target_model().empty()) {
    ASSIGN_OR_RETURN(job.target_model, ParseModel("target_model", request.target_model()));
  }
  if (!request.validation_dataset().empty()) {
    ASSIGN_OR_RETURN(job.validation_dataset, ParseDataset("validation_dataset", request.validation_dataset()));
  }
  return job;
}

absl::Status TrainingService::MineNegatives(const Call& call, const v1::MineNegativesRequest& request,
                                            v1::Job* response) {
  const auto submit = [&](const MetaStore::Request* answer) -> absl::StatusOr<JobRecord> {
    ASSIGN_OR_RETURN(const MiningRequest wanted, ToMiningRequest(call, request));
    ASSIGN_OR_RETURN(const JobRecord planned, PlanMining(wanted, rooms_.meta, rooms_.collections));
    return rooms_.jobs->Submit(planned, answer);
  };
  return SubmitJob(call, "MineNegatives", request, rooms_.meta, submit, response);
}

absl::StatusOr<MiningRequest> TrainingService::ToMiningRequest(const Call& call,
                                                               const v1::MineNegativesRequest& request) {
  MiningRequest mining{.tenant = call.tenant,
                       .options = FromProto(request.mining()),
                       .only_with_negatives = request.only_with_negatives()};
  ASSIGN_OR_RETURN(mining.dataset, SourceOf(request));
  ASSIGN_OR_RETURN(mining.collection, ParseCollection("collection", request.collection()));
  if (!request.target_dataset().empty()) {
    ASSIGN_OR_RETURN(mining.target_dataset, ParseDataset("target_dataset", request.target_dataset()));
  }
  return mining;
}

}  // namespace tandem
