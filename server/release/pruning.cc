// Versions of documents that were replaced or deleted go once no release needs them: a release that follows the log, or
// may do so again when it is promoted, has to be told what replaced what since its sealed index; searches that show
// them hold a pin (DocumentStore::PinVersions).

#include <algorithm>
#include <string>

#include <spdlog/spdlog.h>

#include "absl/time/clock.h"
#include "server/base/status.h"
#include "server/release/open_collection.h"

namespace tandem {
namespace {

constexpr int kChunkVersions = 500;                            // A write waits some milliseconds for one chunk.
constexpr absl::Duration kPause = absl::Milliseconds(20);      // Between chunks: writers go first.
constexpr absl::Duration kTurn = absl::Seconds(1);             // Then a task that waits goes first.
constexpr absl::Duration kRetryAfterError = absl::Minutes(1);  // A full disk would fill the log.

}  // namespace

// A release that is open and has no cursor yet has sealed nothing. One that is just being made has seen nothing, so
// nothing that it shows can be missing from the log.
absl::StatusOr<int64_t> OpenCollection::PruneFloor() {
  ASSIGN_OR_RETURN(auto cursors, documents_->Followers());
  RETURN_IF_ERROR(LetGoOfRetired(&cursors));
  int64_t floor = documents_->head() - options_.keep_versions;
  for (const auto& [release, cursor] : cursors) floor = std::min(floor, cursor.sealed_commit);
  absl::ReaderMutexLock lock(&mutex_);
  for (const auto& [release, followed] : followed_) {
    if (!cursors.contains(release)) floor = 0;
  }
  return floor;
}

// A RETIRED release may hold back as many versions as there are documents, and no more: then catching up would cost as
// much as building it, which is what promoting it does once its files are gone.
absl::Status OpenCollection::LetGoOfRetired(std::map<std::string, DocumentStore::Cursor>* cursors) {
  ASSIGN_OR_RETURN(const int64_t documents, documents_->Count());
  const int64_t oldest = documents_->head() - documents - options_.keep_versions;
  const bool any = std::any_of(cursors->begin(), cursors->end(),
                               [&](const auto& follower) { return follower.second.sealed_commit < oldest; });
  if (!any) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::vector<ReleaseRecord> releases, ReadReleases());
  for (const ReleaseRecord& release : releases) {
    const auto cursor = cursors->find(release.id);
    if (release.state != ReleaseState::kRetired || cursor == cursors->end()) continue;
    if (cursor->second.sealed_commit >= oldest) continue;
    {
      absl::MutexLock lock(&mutex_);
      const bool wanted = promoting_ && promoting_id_ == release.id;
      if (wanted || closed_ || Find(release.id) != nullptr || !creating_.insert(release.id).second) continue;
    }
    spdlog::info("{}: is RETIRED and {} commits behind: its index is removed, promoting it builds it again",
                 ReleaseName(release.id), documents_->head() - cursor->second.sealed_commit);
    const absl::Status status = DiscardFiles(release.id);
    absl::MutexLock lock(&mutex_);
    creating_.erase(release.id);
    RETURN_IF_ERROR(status);
    cursors->erase(cursor);
  }
  return absl::OkStatus();
}

void OpenCollection::Prune() {
  if (absl::Now() < next_prune_) return;
  const absl::Time until = absl::Now() + kTurn;
  while (true) {
    const absl::StatusOr<int64_t> floor = PruneFloor();
    absl::StatusOr<int> gone = 0;
    if (!floor.ok()) {
      gone = floor.status();
    } else if (*floor > 0) {
      gone = documents_->Prune(*floor, kChunkVersions);
    }
    if (!gone.ok()) {
      if (!stop_) spdlog::error("{}: replaced documents cannot be removed: {}", Name(), gone.status().ToString());
      next_prune_ = absl::Now() + kRetryAfterError;
      return;
    }
    if (*gone < kChunkVersions) return;
    absl::MutexLock lock(&mutex_);
    if (mutex_.AwaitWithTimeout(absl::Condition(&closed_), kPause)) return;
    if (!tasks_.empty() && absl::Now() >= until) return;
  }
}

}  // namespace tandem
