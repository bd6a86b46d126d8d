// Feedback, and policies for it.

#include "server/base/status.h"
#include "server/rpc/checks.h"
#include "server/rpc/names.h"
#include "server/rpc/validate.h"
#include "tandem/v1/collection.pb.h"
#include "tandem/v1/search.pb.h"

namespace tandem {
namespace {

constexpr int64_t kMostRetrainAfter = 1'000'000;

// The round itself says what it trains, and on what.
absl::Status ValidateTraining(const v1::FeedbackPolicy& policy) {
  const v1::TrainRequest& training = policy.training();
  constexpr char kOfTheRound[] = "is what the round fills in: leave it empty";
  if (!training.base_revision().empty()) return InvalidField("base_revision", kOfTheRound);
  if (!training.dataset().empty()) return InvalidField("dataset", kOfTheRound);
  if (training.has_dataset_commit()) return InvalidField("dataset_commit", kOfTheRound);
  if (!training.objectives().empty()) return InvalidField("objectives", "a round has one objective: give its loss");
  if (!training.request_id().empty()) return InvalidField("request_id", kOfTheRound);
  v1::TrainRequest whole = training;
  whole.set_base_revision("models/live");
  whole.set_dataset(policy.dataset());
  return Validate(whole);
}

}  // namespace

absl::Status Validate(const v1::FeedbackPolicy& policy) {
  if (policy.has_last()) return InvalidField("last", "is given by the server: leave it empty");
  if (!policy.dataset().empty()) RETURN_IF_ERROR(ParseDataset("dataset", policy.dataset()).status());
  if (policy.has_retrain_after()) {
    RETURN_IF_ERROR(CheckRange("retrain_after", policy.retrain_after(), 1, kMostRetrainAfter));
    if (policy.dataset().empty()) return InvalidField("retrain_after", "nothing can come in without dataset");
  }
  if (!policy.has_training()) return absl::OkStatus();
  if (policy.dataset().empty()) return InvalidField("training", "there is nothing to train on without dataset");
  return PrefixField("training", ValidateTraining(policy));
}

absl::Status Validate(const v1::SendFeedbackRequest& request) {
  RETURN_IF_ERROR(CheckBytes("search_id", request.search_id(), 1, 64));
  RETURN_IF_ERROR(CheckDocumentId("document", request.document()));
  return CheckEnum("judgement", request.judgement(), v1::SendFeedbackRequest::Judgement_IsValid(request.judgement()),
                   "SendFeedbackRequest.Judgement", /*required=*/true);
}

}  // namespace tandem
