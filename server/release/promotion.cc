// How a release goes live: wait until it has what the live one has, measure both at that state, ask the gate, swap.

#include <algorithm>
#include <string>
#include <utility>

#include <spdlog/spdlog.h>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/release/evaluation.h"
#include "server/release/gate.h"
#include "server/release/open_collection.h"

namespace tandem {
namespace {

// The release that answers is kept still while the candidate comes level, so that what is written then waits to be
// found. The candidate gets two steps for one of the other, so it comes as near as this under any load.
constexpr int64_t kNearCommits = 128;
// A candidate that is near and does not come level (its steps fail, or its index is just being sealed) keeps the other
// still for no longer than this; then both go on for as long, and it is tried again.
constexpr absl::Duration kLongestHold = absl::Seconds(2);

// What a promotion that could not wait any longer says.
absl::Status GivenUp(const Patience& patience, std::string_view release, std::string_view what) {
  if (patience.IsGone()) {
    return absl::CancelledError(
        Concat(release, " was not promoted: when the call was cancelled or the server shut down ", what));
  }
  return absl::DeadlineExceededError(Concat(release, " was not promoted: at the deadline ", what));
}

absl::Status Refused(std::string_view release, const GateReport& report) {
  constexpr size_t kNamed = 3;  // The report, which the release keeps, has more.
  std::string fell;
  for (size_t i = 0; i < report.changes.fell.size() && i < kNamed; ++i) {
    const QueryChange& change = report.changes.fell[i];
    absl::StrAppendFormat(&fell, "%s\"%s\" from %.4f to %.4f", i == 0 ? "; the queries that fell most: " : ", ",
                          change.text, change.before, change.after);
  }
  return absl::FailedPreconditionError(Concat(release, " was not promoted, the gate refuses: ", report.reason, fell));
}

}  // namespace

absl::StatusOr<PromotionResult> OpenCollection::Promote(std::string_view id, std::optional<int64_t> etag,
                                                        const GateOverride& gate_override, const Patience& patience,
                                                        const MetaStore::Request* request) {
  if (patience.IsOver()) return GivenUp(patience, ReleaseName(id), "nothing was begun yet");
  RETURN_IF_ERROR(BeginPromotion(id, patience));
  const absl::Cleanup end = [this] { EndPromotion(); };
  CollectionRecord collection;
  ReleaseRecord record;
  {
    absl::MutexLock rows(&rows_mutex_);
    ASSIGN_OR_RETURN(collection, rooms_.meta->GetCollection(tenant_, id_));
    ASSIGN_OR_RETURN(record, rooms_.meta->GetRelease(tenant_, id_, id));
  }
  if (etag && *etag != collection.etag) {
    return absl::AbortedError(Concat(Name(), ": etag ", *etag, " is stale, it is ", collection.etag, " now"));
  }
  ASSIGN_OR_RETURN(const FollowedPtr candidate, Candidate(record, patience));
  PromotionResult result;
  if (record.state != ReleaseState::kPrevious) {  // Going back asks no gate.
    ASSIGN_OR_RETURN(result.gate, AskAndRecord(candidate, collection, gate_override, patience));
  }
  RETURN_IF_ERROR(Swap(candidate, etag, result.gate, request, patience));
  if (result.gate && result.gate->overridden) {
    spdlog::warn("{} of tenant \"{}\" was promoted against the gate by {}: reason given \"{}\"; the gate said: {}",
                 ReleaseName(id), tenant_, gate_override.by, gate_override.reason, result.gate->reason);
  }
  ASSIGN_OR_RETURN(result.release, rooms_.meta->GetRelease(tenant_, id_, id));
  if (!collection.live_release.empty()) {
    ASSIGN_OR_RETURN(result.previous, rooms_.meta->GetRelease(tenant_, id_, collection.live_release));
  }
  return result;
}

absl::Status OpenCollection::BeginPromotion(std::string_view id, const Patience& patience) {
  absl::MutexLock lock(&mutex_);
  const auto free = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return closed_ || !promoting_; };
  if (!Await(&mutex_, absl::Condition(&free), patience)) {
    return GivenUp(patience, ReleaseName(id), Concat("the promotion of ", promoting_id_, " was still under way"));
  }
  if (closed_) return ClosedError();
  promoting_ = true;
  promoting_id_ = std::string(id);
  promotion_floor_ = documents_->head();
  ++version_;
  return absl::OkStatus();
}

void OpenCollection::EndPromotion() {
  LetGo();
  absl::MutexLock lock(&mutex_);
  // A retired release was opened for this promotion only.
  const FollowedPtr candidate = Find(promoting_id_);
  if (candidate != nullptr && candidate->state == ReleaseState::kRetired && !candidate->removed) {
    Remove(candidate, /*discard=*/false);
  }
  promoting_ = false;
  promoting_id_.clear();
  ++version_;
}

absl::StatusOr<OpenCollection::FollowedPtr> OpenCollection::Candidate(const ReleaseRecord& record,
                                                                      const Patience& patience) {
  const std::string name = ReleaseName(record.id);
  switch (record.state) {
    case ReleaseState::kReady:
    case ReleaseState::kPrevious:
    case ReleaseState::kRetired:
      break;
    case ReleaseState::kBuilding:
      return absl::FailedPreconditionError(Concat(name, " is BUILDING: wait until it is READY (WatchRelease)"));
    case ReleaseState::kLive:
      return absl::FailedPreconditionError(Concat(name, " is the live release already"));
    case ReleaseState::kFailed:
      return absl::FailedPreconditionError(Concat(name, " is FAILED and cannot be promoted: ", record.error_message));
  }
  {
    absl::MutexLock lock(&mutex_);
    // One that has just retired may still be about to be forgotten.
    const auto settled = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      const FollowedPtr followed = Find(record.id);
      return closed_ || (!creating_.contains(record.id) && (followed == nullptr || !followed->removed));
    };
    if (!Await(&mutex_, absl::Condition(&settled), patience)) {
      return GivenUp(patience, name, "it was still being put away after its rollback window");
    }
    if (closed_) return ClosedError();
    if (const FollowedPtr followed = Find(record.id); followed != nullptr) return followed;
  }
  const Admission admission = record.state == ReleaseState::kPrevious ? Admission::kAlways : Admission::kIfItFits;
  ASSIGN_OR_RETURN(const FollowedPtr followed, OpenRelease(record, admission));
  {
    absl::MutexLock lock(&mutex_);
    followed_[record.id] = followed;
  }
  documents_->Wake();
  return followed;
}

// The commit that must not be missing: what is shown now, or, when nothing can answer, all that was written before the
// promotion began.
int64_t OpenCollection::LevelCommit() const {
  const FollowedPtr answering = Answering();
  return CanAnswer(answering) ? answering->follower->cursor() : promotion_floor_;
}

absl::Status OpenCollection::WaitUntilNear(const FollowedPtr& candidate, const Patience& patience) {
  documents_->Wake();
  absl::MutexLock lock(&mutex_);
  const auto near = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    if (closed_ || candidate->removed) return true;
    const int64_t distance = LevelCommit() - candidate->follower->cursor();
    return candidate->follower->caught_up() && distance <= (CanAnswer(Answering()) ? kNearCommits : 0);
  };
  const bool reached = Await(&mutex_, absl::Condition(&near), patience);
  if (closed_) return ClosedError();
  if (candidate->removed) return absl::AbortedError("the release was removed while it was being promoted");
  if (reached) return absl::OkStatus();
  const BuildProgress progress = candidate->follower->Progress();
  return GivenUp(patience, ReleaseName(candidate->follower->release()->id),
                 Concat("it had commit ", progress.cursor, " of ", progress.target_commit));
}

absl::Status OpenCollection::HoldAnswering(const FollowedPtr& candidate, const Patience& patience) {
  while (true) {
    RETURN_IF_ERROR(WaitUntilNear(candidate, patience));
    ASSIGN_OR_RETURN(const bool level, TryToHold(candidate, patience));
    if (level) return absl::OkStatus();
    absl::MutexLock lock(&mutex_);
    const auto over = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return closed_ || candidate->removed; };
    Await(&mutex_, absl::Condition(&over),
          {.deadline = std::min(patience.deadline, absl::Now() + kLongestHold), .gone = patience.gone});
  }
}

absl::StatusOr<bool> OpenCollection::TryToHold(const FollowedPtr& candidate, const Patience& patience) {
  const std::string name = ReleaseName(candidate->follower->release()->id);
  absl::MutexLock lock(&mutex_);
  const FollowedPtr answering = Answering();
  if (!CanAnswer(answering)) return candidate->follower->cursor() >= LevelCommit();  // Nothing to keep still.
  if (!TakeTurn(answering, patience)) {
    return closed_ ? ClosedError() : GivenUp(patience, name, "the live release was still taking a step");
  }
  held_ = answering;
  documents_->Wake();
  const auto level = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return closed_ || candidate->removed || candidate->follower->cursor() >= answering->follower->cursor();
  };
  const bool reached =
      Await(&mutex_, absl::Condition(&level),
            {.deadline = std::min(patience.deadline, absl::Now() + kLongestHold), .gone = patience.gone});
  if (closed_) return ClosedError();
  if (candidate->removed) return absl::AbortedError(Concat(name, " was removed while it was being promoted"));
  if (reached && Answering() == answering) return true;  // A stand-in may have ended meanwhile.
  LetGoLocked();
  if (!patience.IsOver()) return false;
  return GivenUp(patience, name,
                 Concat("it had commit ", candidate->follower->cursor(), ", ", answering->follower->release()->id,
                        ", which answers, ", answering->follower->cursor()));
}

void OpenCollection::LetGo() {
  {
    absl::MutexLock lock(&mutex_);
    LetGoLocked();
  }
  documents_->Wake();
}

void OpenCollection::LetGoLocked() {
  if (held_ == nullptr) return;
  held_->writing = false;
  held_ = nullptr;
}

absl::StatusOr<GateReport> OpenCollection::AskAndRecord(const FollowedPtr& candidate,
                                                        const CollectionRecord& collection,
                                                        const GateOverride& gate_override, const Patience& patience) {
  ASSIGN_OR_RETURN(GateReport report, Judge(candidate, collection, patience));
  report.time = absl::Now();
  if (report.passed) return report;
  if (!gate_override.reason.empty()) {
    report.overridden = true;
    report.override_reason = gate_override.reason;
    report.overridden_by = gate_override.by;
    return report;  // Recorded with the swap.
  }
  const std::string& id = candidate->follower->release()->id;
  absl::MutexLock rows(&rows_mutex_);
  ASSIGN_OR_RETURN(ReleaseRecord record, rooms_.meta->GetRelease(tenant_, id_, id));
  record.gate = report;
  RETURN_IF_ERROR(rooms_.meta->UpdateRelease(record));
  return Refused(ReleaseName(id), report);
}

// Both are measured at one state: the snapshots are taken while the live release is held.
absl::StatusOr<GateReport> OpenCollection::Judge(const FollowedPtr& candidate, const CollectionRecord& collection,
                                                 const Patience& patience) {
  const GatePolicy& policy = collection.gate;
  // Nothing embeds the queries of an evaluation set for vectors that clients bring: such releases differ in their index
  // alone, and its recall on stored vectors is what they are judged by.
  const bool replaces = !collection.live_release.empty() && !collection.external;
  if (LacksEvaluationSet(policy, replaces)) return GateWithoutEvaluationSet();
  RETURN_IF_ERROR(HoldAnswering(candidate, patience));
  FollowedPtr live;
  {
    absl::MutexLock lock(&mutex_);
    if (replaces && !standing_in_ && CanAnswer(live_)) live = live_;
  }
  if (replaces && live == nullptr) {
    GateReport report;
    report.reason = Concat(ReleaseName(collection.live_release),
                           ", the live release, cannot be measured now: its index is not whole");
    LetGo();
    return report;
  }
  const DocumentStore::Pin pin = documents_->PinVersions();  // Of the versions that both snapshots show.
  const auto candidate_snapshot = candidate->follower->release()->index->snapshot();
  const auto live_snapshot = live == nullptr ? nullptr : live->follower->release()->index->snapshot();
  LetGo();

  std::vector<EvaluationQuery> queries;
  if (!policy.evaluation_set.empty()) {
    ASSIGN_OR_RETURN(queries, rooms_.meta->ReadEvaluationQueries(tenant_, id_, policy.evaluation_set));
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<const MeasuredRelease> measured,
                   Measure(candidate, *candidate_snapshot, policy.evaluation_set, queries, patience));
  std::shared_ptr<const MeasuredRelease> measured_live;
  if (live != nullptr) {
    ASSIGN_OR_RETURN(measured_live, Measure(live, *live_snapshot, policy.evaluation_set, queries, patience));
  }
  if (!policy.evaluation_set.empty()) {
    RETURN_IF_ERROR(StoreEvaluation(candidate->follower->release()->id, measured->evaluation));
    if (measured_live != nullptr) {
      RETURN_IF_ERROR(StoreEvaluation(collection.live_release, measured_live->evaluation));
    }
  }
  return AskGate(policy, queries, *measured, measured_live.get());
}

// The newest measurement again when it is of the same set and commit; sets and states of a commit never change.
absl::StatusOr<std::shared_ptr<const MeasuredRelease>> OpenCollection::Measure(
    const FollowedPtr& followed, const IndexSnapshot& snapshot, const std::string& evaluation_set,
    const std::vector<EvaluationQuery>& queries, const Patience& patience) {
  {
    absl::MutexLock lock(&mutex_);
    const std::shared_ptr<const MeasuredRelease>& known = followed->measured;
    if (known != nullptr && known->evaluation.evaluation_set == evaluation_set &&
        known->evaluation.commit == snapshot.commit() && known->ndcg_at_10.size() == queries.size()) {
      return known;
    }
  }
  ASSIGN_OR_RETURN(MeasuredRelease measured, Evaluate(*followed->follower->release(), snapshot, documents_.get(),
                                                      rooms_.queue, evaluation_set, queries, patience, stop_));
  if (!evaluation_set.empty()) followed->follower->release()->calibration->Set(measured.evaluation);
  auto shared = std::make_shared<const MeasuredRelease>(std::move(measured));
  absl::MutexLock lock(&mutex_);
  followed->measured = shared;
  return shared;
}

absl::Status OpenCollection::StoreEvaluation(const std::string& release, const Evaluation& evaluation) {
  absl::MutexLock rows(&rows_mutex_);
  ASSIGN_OR_RETURN(ReleaseRecord record, rooms_.meta->GetRelease(tenant_, id_, release));
  record.evaluation = evaluation;
  return rooms_.meta->UpdateRelease(record);
}

// The transaction in meta.db is the moment at which the release is live; memory follows before the rows are let go.
absl::Status OpenCollection::Swap(const FollowedPtr& candidate, std::optional<int64_t> etag,
                                  const std::optional<GateReport>& gate, const MetaStore::Request* request,
                                  const Patience& patience) {
  RETURN_IF_ERROR(HoldAnswering(candidate, patience));
  const std::string& id = candidate->follower->release()->id;
  {
    absl::MutexLock rows(&rows_mutex_);
    if (patience.IsGone()) return GivenUp(patience, ReleaseName(id), "it was about to go live");
    RETURN_IF_ERROR(rooms_.meta->PromoteRelease(tenant_, id_, id, etag, gate, request).status());
    absl::MutexLock lock(&mutex_);
    LetGoLocked();
    const FollowedPtr before_last = previous_id_ == id ? nullptr : Find(previous_id_);
    if (before_last != nullptr) {
      before_last->state = ReleaseState::kRetired;
      Remove(before_last, /*discard=*/false);
    }
    if (live_ != nullptr) live_->state = ReleaseState::kPrevious;
    previous_id_ = live_id_;
    candidate->state = ReleaseState::kLive;
    live_id_ = id;
    live_ = candidate;
    live_error_ = absl::OkStatus();
    standing_in_ = false;
    shown_ = 0;
    ++version_;
  }
  documents_->Wake();
  return absl::OkStatus();
}

}  // namespace tandem
