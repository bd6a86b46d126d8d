#include "server/release/open_collection.h"

#include <algorithm>
#include <utility>

#include <spdlog/spdlog.h>

#include "absl/time/clock.h"
#include "server/base/files.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

constexpr absl::Duration kIdle =
    absl::Milliseconds(250);  // How long the follower thread sleeps when nothing is written.
constexpr absl::Duration kLongestRetry = absl::Seconds(30);
constexpr int kBuildStepTries = 5;  // A build that fails so often in a row is given up; others try for ever.
constexpr int kCandidateSteps = 2;  // A promotion's candidate takes so many for one of the live release.
constexpr absl::Duration kAdmitRetry = absl::Seconds(1);
constexpr int64_t kRollbackLag = 8;  // Commits that the previous release may be behind the live one, and one short step.

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
  ASSIGN_OR_RETURN(const std::vector<std::string> followers, documents_->ListFollowers());
  for (const std::string& name : followers) {
    if (!wanted.contains(name)) RETURN_IF_ERROR(documents_->DropFollower(name));
  }
  return absl::OkStatus();
}

absl::StatusOr<OpenCollection::FollowedPtr> OpenCollection::OpenRelease(const ReleaseRecord& record) {
  // What answered before a restart answers after it, whatever it has grown to.
  const bool in_use = record.state == ReleaseState::kLive || record.state == ReleaseState::kPrevious;
  const Admission admission = in_use ? Admission::kAlways : Admission::kIfItFits;
  ASSIGN_OR_RETURN(
      std::shared_ptr<const Encoder> encoder,
      rooms_.models->Get(ModelRevisionDirectory(options_.data_directory, tenant_, record.model, record.revision),
                         admission));
  const bool building = record.state == ReleaseState::kBuilding || record.state == ReleaseState::kRetired;
  auto followed = std::make_shared<Followed>();
  ASSIGN_OR_RETURN(const int64_t documents, documents_->Count());
  followed->estimated_bytes = EstimateIndexBytes(IndexOptions(record), documents);
  ASSIGN_OR_RETURN(followed->memory, rooms_.memory->Reserve(ReleaseName(record.id), followed->estimated_bytes, admission));
  ASSIGN_OR_RETURN(followed->follower, Follower::Open(options_, record, directory_, std::move(encoder), documents_,
                                                      rooms_.queue, building));
  followed->state = record.state;
  UpdateMemory(*followed);
  return followed;
}

void OpenCollection::UpdateMemory(Followed& followed) {
  const int64_t bytes = followed.follower->release()->index->snapshot()->memory_bytes();
  followed.memory.Force(followed.follower->caught_up() ? bytes : std::max(bytes, followed.estimated_bytes));
}

void OpenCollection::OpenOrReport(const ReleaseRecord& record) {
  absl::StatusOr<FollowedPtr> followed = OpenRelease(record);
  if (!followed.ok()) {
    spdlog::error("{}: cannot be opened: {}", ReleaseName(record.id), followed.status().ToString());
    if (record.state == ReleaseState::kBuilding) FailRelease(record.id, followed.status());
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

// Lower goes first.
int OpenCollection::Rank(const Followed& followed) const {
  if (promoting_ && followed.follower->release()->id == promoting_id_) {
    return candidate_steps_ < kCandidateSteps ? 0 : 2;
  }
  switch (followed.state) {
    case ReleaseState::kLive:
      if (!standing_in_) return 1;
      return followed.follower->caught_up() ? 0 : 3;  // Built again; then it must come level with what stands in for it.
    case ReleaseState::kBuilding:
      return 3;
    case ReleaseState::kPrevious:
      if (standing_in_) return 1;
      return live_ != nullptr && live_->follower->cursor() - followed.follower->cursor() > kRollbackLag ? 0 : 4;
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
    const bool held_level = holding_live_ && id == promoting_id_ && followed->follower->caught_up();
    const int64_t up_to = held_level ? std::min(head, live_->follower->cursor()) : head;
    if (followed->follower->cursor() >= up_to && followed->follower->caught_up()) continue;
    const int rank = Rank(*followed);
    if (next.followed != nullptr && rank >= best) continue;
    next = {.followed = followed, .up_to = up_to, .size = live_ == nullptr ? StepSize::kLong : StepSize::kShort};
    best = rank;
  }
  if (next.followed != nullptr) {
    const bool candidate = promoting_ && next.followed->follower->release()->id == promoting_id_;
    candidate_steps_ = candidate ? candidate_steps_ + 1 : 0;
    // The live release is kept still for it: a few documents, that searches may wait for.
    if (candidate && holding_live_) next.priority = EmbeddingPriority::kInteractive;
  }
  return next;
}

void OpenCollection::EndStep(const FollowedPtr& followed, const absl::Status& status) {
  const std::string& id = followed->follower->release()->id;
  bool give_up = false;
  UpdateMemory(*followed);
  {
    absl::MutexLock lock(&mutex_);
    followed->writing = false;
    ++version_;
    if (standing_in_ || live_ == nullptr || !live_->follower->caught_up()) UpdateStandIn();
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

// ---- Calls.

absl::Status OpenCollection::AdmitWrite(WriteKind kind) {
  if (kind == WriteKind::kUpsert && rooms_.memory->over()) {
    return Overloaded(Concat(Name(), ": loaded models and releases take ", FormatMemory(rooms_.memory->used()),
                             ", the budget is ", FormatMemory(rooms_.memory->total()),
                             ": delete a release or raise --memory-budget"),
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

OpenCollection::FollowedPtr OpenCollection::Answering() const { return standing_in_ ? Find(previous_id_) : live_; }

void OpenCollection::UpdateStandIn() {
  const FollowedPtr previous = Find(previous_id_);
  const bool previous_can = previous != nullptr && !previous->removed && previous->follower->caught_up();
  const bool live_can = live_ != nullptr && live_->follower->caught_up();
  if (!standing_in_ && !live_id_.empty() && !live_can && previous_can) {
    standing_in_ = true;
    spdlog::warn("{}, the live release, cannot answer now: {}, the previous one, stands in for it at commit {}",
                 ReleaseName(live_id_), ReleaseName(previous_id_), previous->follower->cursor());
  } else if (standing_in_ && (!previous_can || (live_can && live_->follower->cursor() >= previous->follower->cursor()))) {
    standing_in_ = false;
    spdlog::warn("{}, the live release, answers again", ReleaseName(live_id_));
  }
}

absl::StatusOr<std::shared_ptr<const ActiveRelease>> OpenCollection::LiveLocked() const {
  if (closed_) return ClosedError();
  if (live_id_.empty()) {
    return absl::FailedPreconditionError(
        Concat(Name(), " has no live release: create a release and promote it when it is READY"));
  }
  if (const FollowedPtr answering = Answering(); answering != nullptr && answering->follower->caught_up()) {
    return answering->follower->release();
  }
  if (live_ == nullptr) {
    return absl::UnavailableError(
        Concat(ReleaseName(live_id_), ", the live release, could not be opened: ", std::string(live_error_.message())));
  }
  const BuildProgress progress = live_->follower->Progress();
  return absl::UnavailableError(Concat(ReleaseName(live_id_), ", the live release, is built again from the commit log: ",
                                       progress.documents_done, " of ", progress.documents_total, " documents, commit ",
                                       progress.cursor, " of ", progress.target_commit));
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
    return closed_ || answering == nullptr || !answering->follower->caught_up() ||
           answering->follower->cursor() >= min_commit;
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

absl::StatusOr<BuildProgress> OpenCollection::Progress(std::string_view id) {
  bool promoting = false;
  {
    absl::ReaderMutexLock lock(&mutex_);
    promoting = promoting_ && promoting_id_ == id;
    if (const FollowedPtr followed = Find(id); followed != nullptr) {
      BuildProgress progress = followed->follower->Progress();
      progress.index_bytes = followed->memory.bytes();
      progress.under_way = promoting || followed->state == ReleaseState::kBuilding || !followed->follower->caught_up();
      progress.rebuilding = followed->state != ReleaseState::kBuilding && followed->follower->rebuilding();
      return progress;
    }
  }
  RETURN_IF_ERROR(rooms_.meta->GetRelease(tenant_, id_, id).status());
  ASSIGN_OR_RETURN(const DocumentStore::Cursor cursor, documents_->GetCursor(id));
  return BuildProgress{.cursor = cursor.commit, .target_commit = documents_->head(), .under_way = promoting};
}

absl::StatusOr<int64_t> OpenCollection::WaitForChange(int64_t seen_version, absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  const auto changed = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return closed_ || version_ != seen_version; };
  mutex_.AwaitWithTimeout(absl::Condition(&changed), timeout);
  if (closed_) return ClosedError();
  return version_;
}

}  // namespace tandem
