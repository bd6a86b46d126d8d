#include "server/release/open_collection.h"

#include <algorithm>
#include <utility>

#include <spdlog/spdlog.h>

#include "absl/time/clock.h"
#include "server/base/files.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/storage/release_state.h"

namespace tandem {
namespace {

constexpr absl::Duration kIdle =
    absl::Milliseconds(250);  // How long the follower thread sleeps when nothing is written.
constexpr absl::Duration kLongestRetry = absl::Seconds(30);
constexpr int kBuildStepTries = 5;  // A build that fails so often in a row is given up; others try for ever.
constexpr int kChaserSteps = 2;     // Of one that must come level, for one of the release that answers.
constexpr absl::Duration kAdmitRetry = absl::Seconds(1);
constexpr int64_t kRollbackLag =
    8;  // Commits that the previous release may be behind the live one, and one short step.

// Whether it fails the same way when it is tried again.
bool IsLasting(const absl::Status& error) {
  return absl::IsDataLoss(error) || absl::IsNotFound(error) || absl::IsInvalidArgument(error) ||
         absl::IsFailedPrecondition(error) || absl::IsUnimplemented(error);
}

absl::Duration RetryDelayAfter(int failures) {
  return std::min(absl::Milliseconds(100) * (1 << std::min(failures, 10)), kLongestRetry);
}

}  // namespace

OpenCollection::OpenCollection(const ReleaseOptions& options, const Rooms& rooms, std::string tenant, std::string id,
                               std::shared_ptr<DocumentStore> documents)
    : options_(options),
      rooms_(rooms),
      tenant_(std::move(tenant)),
      id_(std::move(id)),
      directory_(CollectionDirectory(options.data_directory, tenant_, id_)),
      documents_(std::move(documents)) {}

OpenCollection::~OpenCollection() { Close(); }

std::string OpenCollection::Name() const { return Concat("collections/", id_); }
std::string OpenCollection::ReleaseName(std::string_view id) const { return Concat(Name(), "/releases/", id); }
absl::Status OpenCollection::ClosedError() const { return absl::UnavailableError(Concat(Name(), " is being closed")); }

absl::Status OpenCollection::Start() {
  ASSIGN_OR_RETURN(const CollectionRecord collection, rooms_.meta->GetCollection(tenant_, id_));
  ASSIGN_OR_RETURN(const std::vector<ReleaseRecord> releases, ReadReleases());
  RETURN_IF_ERROR(ClearLeftovers(releases));
  {
    absl::MutexLock lock(&mutex_);
    live_id_ = collection.live_release;
    previous_id_ = collection.previous_release;
  }
  if (!collection.live_release.empty()) {
    ASSIGN_OR_RETURN(const DocumentStore::Cursor cursor, documents_->GetCursor(collection.live_release));
    const int64_t before = ReleaseDirectory(directory_, collection.live_release).ShownBefore();
    absl::MutexLock lock(&mutex_);
    shown_ = std::max(cursor.commit, before);
  }
  // In the order of need, should memory not suffice for all.
  for (const ReleaseState state :
       {ReleaseState::kLive, ReleaseState::kPrevious, ReleaseState::kBuilding, ReleaseState::kReady}) {
    for (const ReleaseRecord& release : releases) {
      if (release.state == state) OpenOrReport(release);
    }
  }
  {
    absl::MutexLock lock(&mutex_);
    UpdateStandIn();
  }
  follower_thread_ = std::thread([this] { FollowLoop(); });
  task_thread_ = std::thread([this] { TaskLoop(); });
  return absl::OkStatus();
}

void OpenCollection::Close() {
  stop_ = true;
  {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
    ++version_;
  }
  documents_->Wake();
  if (follower_thread_.joinable()) follower_thread_.join();
  if (task_thread_.joinable()) task_thread_.join();
  absl::MutexLock lock(&mutex_);
  const auto no_calls = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return !promoting_ && creating_.empty(); };
  mutex_.Await(absl::Condition(&no_calls));
}

absl::StatusOr<std::vector<ReleaseRecord>> OpenCollection::ReadReleases() {
  std::vector<ReleaseRecord> releases;
  Page page;
  page.size = 1000;
  while (true) {
    ASSIGN_OR_RETURN(std::vector<ReleaseRecord> some, rooms_.meta->ListReleases(tenant_, id_, page));
    const bool last = static_cast<int>(some.size()) < page.size;
    if (!some.empty()) page.after = some.back().id;
    std::move(some.begin(), some.end(), std::back_inserter(releases));
    if (last) return releases;
  }
}

// Files and vectors of releases that are gone or FAILED.
absl::Status OpenCollection::ClearLeftovers(const std::vector<ReleaseRecord>& releases) {
  std::set<std::string> wanted;
  for (const ReleaseRecord& release : releases) {
    if (release.state != ReleaseState::kFailed) wanted.insert(release.id);
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> directories, ListDirectories(ReleasesDirectory(directory_)));
  for (const std::string& name : directories) {
    if (wanted.contains(name)) continue;
    spdlog::info("{}: removing files that no release needs", ReleaseName(name));
    RETURN_IF_ERROR(RemoveTree(ReleasesDirectory(directory_) / name));
  }
  ASSIGN_OR_RETURN(const auto followers, documents_->Followers());
  for (const auto& [name, cursor] : followers) {
    if (!wanted.contains(name)) RETURN_IF_ERROR(documents_->DropFollower(name));
  }
  return absl::OkStatus();
}

absl::StatusOr<OpenCollection::FollowedPtr> OpenCollection::OpenRelease(const ReleaseRecord& record,
                                                                        Admission admission) {
  std::shared_ptr<const Encoder> encoder;
  if (!record.external()) {
    ASSIGN_OR_RETURN(encoder, rooms_.models->Get(ModelRevisionDirectory(options_.data_directory, tenant_, record.model,
                                                                        record.revision),
                                                 admission));
  }
  const bool building = record.state == ReleaseState::kBuilding || record.state == ReleaseState::kRetired;
  auto followed = std::make_shared<Followed>();
  ASSIGN_OR_RETURN(const int64_t documents, documents_->Count());
  followed->estimated_bytes = EstimateIndexBytes(IndexOptions(record), documents);
  ASSIGN_OR_RETURN(followed->memory,
                   rooms_.memory->Reserve(ReleaseName(record.id), followed->estimated_bytes, admission));
  ASSIGN_OR_RETURN(followed->follower, Follower::Open(options_, record, directory_, std::move(encoder), documents_,
                                                      rooms_.queue, OthersOf(record), building));
  followed->state = record.state;
  UpdateMemory(*followed);
  return followed;
}

OtherIndexes OpenCollection::OthersOf(const ReleaseRecord& record) {
  if (record.external()) return nullptr;
  return [this, id = record.id, model = record.model, revision = record.revision] {
    KnownVectors::Snapshots others;
    absl::ReaderMutexLock lock(&mutex_);
    for (const auto& [name, followed] : followed_) {
      const ActiveRelease& release = *followed->follower->release();
      if (name == id || release.model != model || release.revision != revision) continue;
      others.push_back(release.index->snapshot());
    }
    return others;
  };
}

void OpenCollection::UpdateMemory(Followed& followed) {
  const int64_t bytes = followed.follower->release()->index->snapshot()->memory_bytes();
  followed.memory.Force(followed.follower->caught_up() ? bytes : std::max(bytes, followed.estimated_bytes));
}

// What was admitted before a restart is admitted after it, whatever it has grown to.
void OpenCollection::OpenOrReport(const ReleaseRecord& record) {
  absl::StatusOr<FollowedPtr> followed = OpenRelease(record, Admission::kAlways);
  if (!followed.ok()) {
    spdlog::error("{}: cannot be opened: {}", ReleaseName(record.id), followed.status().ToString());
    // A build that only lacks, say, a file descriptor now goes on at the next start.
    if (record.state == ReleaseState::kBuilding && IsLasting(followed.status())) {
      FailRelease(record.id, followed.status());
    }
  }
  absl::MutexLock lock(&mutex_);
  if (followed.ok()) followed_[record.id] = *followed;
  if (record.id != live_id_) return;
  if (followed.ok()) live_ = *followed;
  live_error_ = followed.status();
}

// ---- The follower thread.

void OpenCollection::FollowLoop() {
  while (!stop_) {
    RetireIfDue();
    const int64_t head = documents_->head();
    Turn turn;
    {
      absl::MutexLock lock(&mutex_);
      ScheduleTasks();
      turn = NextTurn(head);
      if (turn.followed != nullptr) turn.followed->writing = true;
    }
    if (turn.followed == nullptr) {
      documents_->WaitForCommitAfter(head, kIdle);
      continue;
    }
    EndStep(turn.followed, turn.followed->follower->Step(turn.up_to, turn.size, turn.priority));
  }
}

bool OpenCollection::Chases(const Followed& followed) const {
  if (promoting_ && followed.follower->release()->id == promoting_id_) return true;
  if (followed.state == ReleaseState::kLive) return standing_in_;
  if (followed.state != ReleaseState::kPrevious || standing_in_ || !followed.follower->caught_up()) return false;
  if (!CanAnswer(live_)) return true;  // So that it can stand in.
  return live_->follower->cursor() - followed.follower->cursor() > kRollbackLag;
}

// Lower goes first.
int OpenCollection::Rank(const Followed& followed) const {
  if (Chases(followed)) return chaser_steps_ < kChaserSteps ? 0 : 2;
  switch (followed.state) {
    case ReleaseState::kLive:
      return 1;
    case ReleaseState::kBuilding:
      return 3;
    case ReleaseState::kPrevious:
      return standing_in_ ? 1 : 4;
    case ReleaseState::kReady:
      return 5;
    case ReleaseState::kRetired:
    case ReleaseState::kFailed:
      return 6;
  }
  return 6;
}

bool OpenCollection::TakeTurn(const FollowedPtr& followed, const Patience& patience) {
  ++followed->turns_wanted;
  const auto free = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return closed_ || !followed->writing; };
  const bool taken = Await(&mutex_, absl::Condition(&free), patience) && !closed_;
  --followed->turns_wanted;
  if (taken) followed->writing = true;
  return taken;
}

OpenCollection::Turn OpenCollection::NextTurn(int64_t head) {
  Turn next;
  int best = 0;
  for (const auto& [id, followed] : followed_) {
    if (followed->removed || followed->writing || followed->turns_wanted > 0) continue;
    if (followed->step_retry_time > absl::Now()) continue;
    const bool held_level = held_ != nullptr && id == promoting_id_ && followed->follower->caught_up();
    const int64_t up_to = held_level ? std::min(head, held_->follower->cursor()) : head;
    const Follower& follower = *followed->follower;
    if (follower.cursor() >= up_to && follower.caught_up() && !follower.rebuilding()) continue;
    const int rank = Rank(*followed);
    if (next.followed != nullptr && rank >= best) continue;
    next = {.followed = followed, .up_to = up_to, .size = live_ == nullptr ? StepSize::kLong : StepSize::kShort};
    best = rank;
  }
  if (next.followed != nullptr) {
    chaser_steps_ = Chases(*next.followed) ? chaser_steps_ + 1 : 0;
    // The release that answers is kept still for the candidate: a few documents, that searches may wait for.
    const bool candidate = promoting_ && next.followed->follower->release()->id == promoting_id_;
    if (candidate && held_ != nullptr) next.priority = EmbeddingPriority::kInteractive;
  }
  return next;
}

void OpenCollection::EndStep(const FollowedPtr& followed, const absl::Status& stepped) {
  const std::string& id = followed->follower->release()->id;
  bool give_up = false;
  UpdateMemory(*followed);
  // The mark goes before the stand-in ends: a restart in between finds the live release whole and level.
  const absl::Status status = stepped.ok() && IsWhole(followed) ? followed->follower->MarkWhole() : stepped;
  {
    absl::MutexLock lock(&mutex_);
    followed->writing = false;
    ++version_;
    UpdateStandIn();
    if (status.ok()) {
      followed->step_failures = 0;
      return;
    }
    followed->step_retry_time = absl::Now() + RetryDelayAfter(followed->step_failures++);
    give_up = followed->state == ReleaseState::kBuilding && followed->step_failures >= kBuildStepTries && !closed_ &&
              !absl::IsUnavailable(status);
    if (closed_ || followed->removed) return;
  }
  spdlog::error("{}: a step after commit {} failed: {}", ReleaseName(id), followed->follower->cursor(),
                status.ToString());
  if (give_up) FailRelease(id, status);
}

bool OpenCollection::IsWhole(const FollowedPtr& followed) {
  const Follower& follower = *followed->follower;
  if (!follower.rebuilding() || !follower.caught_up()) return false;
  absl::ReaderMutexLock lock(&mutex_);
  const FollowedPtr answering = Answering();
  return followed != live_ || !CanAnswer(answering) || follower.cursor() >= answering->follower->cursor();
}

bool OpenCollection::CanAnswer(const FollowedPtr& followed) const {
  return followed != nullptr && !followed->removed && followed->follower->caught_up();
}

OpenCollection::FollowedPtr OpenCollection::Answering() const { return standing_in_ ? Find(previous_id_) : live_; }

void OpenCollection::UpdateStandIn() {
  const FollowedPtr previous = Find(previous_id_);
  const bool previous_can = CanAnswer(previous) && previous->follower->cursor() >= shown_;
  if (!standing_in_ && !live_id_.empty() && !CanAnswer(live_) && previous_can) {
    standing_in_ = true;
    spdlog::warn("{}, the live release, cannot answer now: {}, the previous one, stands in for it at commit {}",
                 ReleaseName(live_id_), ReleaseName(previous_id_), previous->follower->cursor());
  } else if (standing_in_ && (!previous_can || (CanAnswer(live_) && !live_->follower->rebuilding()))) {
    standing_in_ = false;
    spdlog::warn("{}, the previous release, no longer stands in for {}, the live one", ReleaseName(previous_id_),
                 ReleaseName(live_id_));
  }
}

// ---- Calls.

absl::Status OpenCollection::AdmitWrite(WriteKind kind) {
  if (kind == WriteKind::kUpsert && !rooms_.memory->MakeRoom()) {
    return Overloaded(
        Concat(Name(), ": loaded models and releases take ", FormatMemory(rooms_.memory->used()), ", the budget is ",
               FormatMemory(rooms_.memory->total()), ": delete a release or raise --memory-budget"),
        kAdmitRetry);
  }
  absl::ReaderMutexLock lock(&mutex_);
  const FollowedPtr answering = Answering();
  if (answering == nullptr) return absl::OkStatus();
  const int64_t lag = documents_->head() - answering->follower->cursor();
  if (lag <= options_.max_lag) return absl::OkStatus();
  return Overloaded(Concat(Name(), ": its live release is ", lag, " commits behind, the limit is ", options_.max_lag),
                    kAdmitRetry);
}

absl::StatusOr<std::shared_ptr<const ActiveRelease>> OpenCollection::LiveLocked() const {
  if (closed_) return ClosedError();
  if (live_id_.empty()) {
    return absl::FailedPreconditionError(
        Concat(Name(), " has no live release: create a release and promote it when it is READY"));
  }
  if (const FollowedPtr answering = Answering(); CanAnswer(answering)) return answering->follower->release();
  if (live_ == nullptr) {
    return absl::UnavailableError(
        Concat(ReleaseName(live_id_), ", the live release, could not be opened: ", std::string(live_error_.message())));
  }
  const BuildProgress progress = live_->follower->Progress();
  return absl::UnavailableError(
      Concat(ReleaseName(live_id_), ", the live release, is built again from the commit log: ", progress.documents_done,
             " of ", progress.documents_total, " documents, commit ", progress.cursor, " of ", progress.target_commit));
}

absl::StatusOr<std::shared_ptr<const ActiveRelease>> OpenCollection::Live() {
  absl::ReaderMutexLock lock(&mutex_);
  return LiveLocked();
}

absl::StatusOr<std::shared_ptr<const ActiveRelease>> OpenCollection::LiveAt(int64_t min_commit,
                                                                            const Patience& patience) {
  if (const int64_t head = documents_->head(); min_commit > head) {
    return InvalidField("min_commit", Concat(min_commit, ": the newest commit of ", Name(), " is ", head));
  }
  absl::MutexLock lock(&mutex_);
  const auto decided = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    const FollowedPtr answering = Answering();
    return closed_ || !CanAnswer(answering) || answering->follower->cursor() >= min_commit;
  };
  if (!Await(&mutex_, absl::Condition(&decided), patience)) {
    if (patience.IsGone()) {
      return absl::CancelledError(Concat("the wait for min_commit ", min_commit, " was cancelled"));
    }
    const Follower& answering = *Answering()->follower;
    return absl::DeadlineExceededError(Concat(ReleaseName(answering.release()->id), ", the live release, has commit ",
                                              answering.cursor(), ", min_commit is ", min_commit));
  }
  return LiveLocked();
}

absl::StatusOr<std::shared_ptr<const ActiveRelease>> OpenCollection::Opened(std::string_view id) {
  ASSIGN_OR_RETURN(const ReleaseRecord record, rooms_.meta->GetRelease(tenant_, id_, id));
  switch (record.state) {
    case ReleaseState::kLive:
    case ReleaseState::kPrevious:
    case ReleaseState::kReady:
      break;
    case ReleaseState::kBuilding:
    case ReleaseState::kRetired:
    case ReleaseState::kFailed:
      return absl::FailedPreconditionError(
          Concat(ReleaseName(id), " is ", NameOf(record.state), ": must be LIVE, PREVIOUS or READY"));
  }
  absl::ReaderMutexLock lock(&mutex_);
  if (closed_) return ClosedError();
  const FollowedPtr followed = Find(id);
  if (CanAnswer(followed)) return followed->follower->release();
  return absl::UnavailableError(Concat(ReleaseName(id), " is built again or could not be opened"));
}

absl::StatusOr<BuildProgress> OpenCollection::Progress(std::string_view id) {
  bool under_way = false;
  {
    absl::ReaderMutexLock lock(&mutex_);
    under_way = (promoting_ && promoting_id_ == id) || creating_.contains(id);
    if (const FollowedPtr followed = Find(id); followed != nullptr) {
      BuildProgress progress = followed->follower->Progress();
      const bool builds = followed->state == ReleaseState::kBuilding || !followed->follower->caught_up();
      progress.index_bytes = followed->memory.bytes();
      progress.rebuilding = followed->follower->rebuilding();
      progress.under_way = under_way || (!followed->removed && (builds || progress.rebuilding));
      return progress;
    }
  }
  RETURN_IF_ERROR(rooms_.meta->GetRelease(tenant_, id_, id).status());
  ASSIGN_OR_RETURN(const DocumentStore::Cursor cursor, documents_->GetCursor(id));
  return BuildProgress{.cursor = cursor.commit, .target_commit = documents_->head(), .under_way = under_way};
}

absl::StatusOr<int64_t> OpenCollection::WaitForChange(int64_t seen_version, absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  const auto changed = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return closed_ || version_ != seen_version; };
  mutex_.AwaitWithTimeout(absl::Condition(&changed), timeout);
  if (closed_) return ClosedError();
  return version_;
}

}  // namespace tandem
