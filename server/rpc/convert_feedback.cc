// Feedback policies.

#include <google/protobuf/timestamp.pb.h>

#include "server/base/status.h"
#include "server/jobs/feedback.h"
#include "server/rpc/convert.h"
#include "server/rpc/names.h"
#include "tandem/v1/collection.pb.h"

namespace tandem {

void ToProto(const FeedbackPolicy& policy, v1::FeedbackPolicy* out) {
  if (!policy.dataset.empty()) out->set_dataset(DatasetName(policy.dataset));
  if (policy.retrain_after) out->set_retrain_after(*policy.retrain_after);
  if (!policy.training_request.empty() && !out->mutable_training()->ParseFromString(policy.training_request)) {
    out->clear_training();
  }
  if (policy.last.number == 0) return;
  v1::FeedbackPolicy::Round* const last = out->mutable_last();
  last->set_number(policy.last.number);
  ToProto(policy.last.start_time, last->mutable_start_time());
  if (!policy.last.job.empty()) last->set_job(JobName(policy.last.job));
  if (!policy.last.release.empty()) last->set_release(ReleaseNameOf(policy.collection, policy.last.release));
  last->set_outcome(policy.last.outcome);
}

absl::StatusOr<FeedbackPolicy> FromProto(const v1::FeedbackPolicy& from) {
  FeedbackPolicy policy;
  if (!from.dataset().empty()) {
    ASSIGN_OR_RETURN(policy.dataset, ParseDataset("feedback.dataset", from.dataset()));
  }
  if (from.has_retrain_after()) policy.retrain_after = from.retrain_after();
  FeedbackTraining training{.options = ToTrainerOptions(from.training())};
  if (!from.training().target_model().empty()) {
    ASSIGN_OR_RETURN(training.target_model,
                     ParseModel("feedback.training.target_model", from.training().target_model()));
  }
  if (!from.training().validation_dataset().empty()) {
    ASSIGN_OR_RETURN(training.validation_dataset,
                     ParseDataset("feedback.training.validation_dataset", from.training().validation_dataset()));
  }
  policy.training_json = ToJson(training);
  if (from.has_training()) policy.training_request = from.training().SerializeAsString();
  return policy;
}

}  // namespace tandem
