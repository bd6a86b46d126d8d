#include "server/jobs/feedback_round.h"

#include <string>
#include <utility>

#include <spdlog/spdlog.h>

#include "absl/time/clock.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/jobs/feedback.h"

namespace tandem {
namespace {

constexpr absl::Duration kPromotionPatience = absl::Hours(1);

class Round {
 public:
  Round(const RoundRooms& rooms, FeedbackPolicy policy, const std::function<bool()>& stop)
      : rooms_(rooms), policy_(std::move(policy)), stop_(stop) {}

  absl::Status Advance() {
    switch (policy_.last.state) {
      case RoundState::kIdle:
        return BeginIfDue();
      case RoundState::kTraining:
        return policy_.last.job.empty() ? SubmitTraining() : LookAtTraining();
      case RoundState::kBuilding:
        return LookAtRelease();
    }
    return absl::DataLossError(Concat(Name(), ": a feedback round in an unknown state"));
  }

 private:
  absl::Status BeginIfDue() {
    if (policy_.dataset.empty() || !policy_.retrain_after || policy_.new_examples < *policy_.retrain_after) {
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const CollectionRecord collection, Collection());
    if (collection.live_release.empty()) return absl::OkStatus();  // It begins once there is one to improve.
    RETURN_IF_ERROR(DropRefused());
    const int64_t taken = policy_.new_examples;
    policy_.last = {.number = policy_.last.number + 1,
                    .state = RoundState::kTraining,
                    .start_time = absl::Now(),
                    .job = "",
                    .release = "",
                    .outcome = "training"};
    spdlog::info("{}: feedback round {} begins with {} new examples", Name(), policy_.last.number, taken);
    return rooms_.meta->UpdateFeedbackRound(policy_, taken);
  }

  // The last round's release, when the gate refused it: it holds memory, and the new one stands on what it knew.
  absl::Status DropRefused() {
    if (policy_.last.release.empty()) return absl::OkStatus();
    const auto release = rooms_.meta->GetRelease(policy_.tenant, policy_.collection, policy_.last.release);
    if (!release.ok() || release->state != ReleaseState::kReady) return absl::OkStatus();
    return rooms_.collections->DeleteRelease(policy_.tenant, policy_.collection, policy_.last.release);
  }

  absl::Status SubmitTraining() {
    // The time: a collection of the same name that is gone had rounds of the same numbers.
    const std::string id =
        Concat(policy_.collection, "/", policy_.last.number, "/", absl::ToUnixMicros(policy_.last.start_time));
    const MetaStore::Request request{
        .tenant = policy_.tenant, .method = "FeedbackRound", .request_id = id, .fingerprint = "", .answer = ""};
    ASSIGN_OR_RETURN(const std::optional<std::string> answer, rooms_.meta->FindAnswer(request));
    if (answer) {
      policy_.last.job = answer->substr(answer->rfind('/') + 1);
      return Store();
    }
    const absl::StatusOr<TrainingJobRequest> wanted = WantedTraining();
    if (!wanted.ok()) return EndOrRetry(wanted.status());
    const absl::StatusOr<JobRecord> job = rooms_.jobs->Submit(*wanted, &request);
    if (!job.ok()) return EndOrRetry(job.status());
    policy_.last.job = job->id;
    return Store();
  }

  absl::StatusOr<TrainingJobRequest> WantedTraining() {
    ASSIGN_OR_RETURN(const CollectionRecord collection, Collection());
    ASSIGN_OR_RETURN(const ReleaseRecord live,
                     rooms_.meta->GetRelease(policy_.tenant, policy_.collection, collection.live_release));
    if (live.model.empty()) return absl::FailedPreconditionError("the live release has no model to train");
    ASSIGN_OR_RETURN(FeedbackTraining training, FeedbackTrainingFromJson(policy_.training_json));
    TrainingJobRequest request{.tenant = policy_.tenant,
                               .base_model = live.model,
                               .base_revision = live.revision,
                               .sources = {{policy_.dataset, std::nullopt}},
                               .target_model = training.target_model.empty() ? live.model : training.target_model,
                               .validation_dataset = training.validation_dataset,
                               .options = std::move(training.options)};
    return request;
  }

  absl::Status LookAtTraining() {
    const absl::StatusOr<JobRecord> job = rooms_.meta->GetJob(policy_.tenant, policy_.last.job);
    if (absl::IsNotFound(job.status())) return End("failed: its training was deleted");
    RETURN_IF_ERROR(job.status());
    switch (job->state) {
      case JobState::kQueued:
      case JobState::kRunning:
        return absl::OkStatus();
      case JobState::kFailed:
        return End(Concat("failed: ", job->error_message));
      case JobState::kCancelled:
        return End("failed: its training was cancelled");
      case JobState::kSucceeded:
        return CreateRelease(*job);
    }
    return absl::DataLossError(Concat(Name(), ": jobs/", job->id, " is in an unknown state"));
  }

  absl::Status CreateRelease(const JobRecord& job) {
    ASSIGN_OR_RETURN(const CollectionRecord collection, Collection());
    ASSIGN_OR_RETURN(const ReleaseRecord live,
                     rooms_.meta->GetRelease(policy_.tenant, policy_.collection, collection.live_release));
    ReleaseRecord release;
    release.tenant = policy_.tenant;
    release.collection = policy_.collection;
    release.id = Concat("feedback-", job.id);  // Numbers begin anew in a collection that is made or restored again.
    release.create_time = absl::Now();
    release.model = job.target_model;
    release.revision = job.result_revision.substr(job.result_revision.rfind('/') + 1);
    release.index = live.index;
    absl::Status made = rooms_.collections->CreateRelease(release, nullptr).status();
    if (absl::IsAlreadyExists(made)) {
      ASSIGN_OR_RETURN(const ReleaseRecord there,
                       rooms_.meta->GetRelease(policy_.tenant, policy_.collection, release.id));
      if (there.model == release.model && there.revision == release.revision) made = absl::OkStatus();
    }
    if (!made.ok()) return EndOrRetry(made);
    policy_.last.state = RoundState::kBuilding;
    policy_.last.release = release.id;
    policy_.last.outcome = "building";
    return Store();
  }

  absl::Status LookAtRelease() {
    const absl::StatusOr<ReleaseRecord> release =
        rooms_.meta->GetRelease(policy_.tenant, policy_.collection, policy_.last.release);
    if (absl::IsNotFound(release.status())) return End("failed: its release was deleted");
    RETURN_IF_ERROR(release.status());
    switch (release->state) {
      case ReleaseState::kBuilding:
        return absl::OkStatus();
      case ReleaseState::kReady:
        return Promote();
      case ReleaseState::kFailed:
        return End(Concat("failed: ", release->error_message));
      case ReleaseState::kLive:
      case ReleaseState::kPrevious:
      case ReleaseState::kRetired:
        return End("promoted");  // By a step that did not come to store it.
    }
    return absl::DataLossError(Concat(Name(), ": release ", release->id, " is in an unknown state"));
  }

  absl::Status Promote() {
    const absl::Status promoted =
        rooms_.collections
            ->Promote(policy_.tenant, policy_.collection, policy_.last.release, std::nullopt, GateOverride{},
                      {.deadline = absl::Now() + kPromotionPatience, .gone = stop_}, nullptr)
            .status();
    if (promoted.ok()) return End("promoted");
    if (absl::IsFailedPrecondition(promoted)) return End(Concat("refused: ", promoted.message()));
    return EndOrRetry(promoted);
  }

  // What fails the same way next time ends the round.
  absl::Status EndOrRetry(const absl::Status& error) {
    const bool lasting = absl::IsInvalidArgument(error) || absl::IsNotFound(error) ||
                         absl::IsFailedPrecondition(error) || absl::IsAlreadyExists(error) || absl::IsDataLoss(error);
    return lasting ? End(Concat("failed: ", error.message())) : error;
  }

  absl::Status End(std::string outcome) {
    policy_.last.state = RoundState::kIdle;
    policy_.last.outcome = std::move(outcome);
    spdlog::info("{}: feedback round {} ends: {}", Name(), policy_.last.number, policy_.last.outcome);
    return Store();
  }

  absl::Status Store() { return rooms_.meta->UpdateFeedbackRound(policy_, 0); }
  absl::StatusOr<CollectionRecord> Collection() {
    return rooms_.meta->GetCollection(policy_.tenant, policy_.collection);
  }
  std::string Name() const { return Concat("collections/", policy_.collection); }

  const RoundRooms rooms_;
  FeedbackPolicy policy_;
  const std::function<bool()>& stop_;
};

}  // namespace

absl::Status AdvanceRound(const RoundRooms& rooms, FeedbackPolicy policy, const std::function<bool()>& stop) {
  return Round(rooms, std::move(policy), stop).Advance();
}

}  // namespace tandem
