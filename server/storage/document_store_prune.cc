// Removing versions that no follower and no reader needs any more. SQLite uses the pages that this frees again, so
// under a steady load the file stays as large as it is.

#include <algorithm>

#include "server/base/status.h"
#include "server/storage/document_store_rep.h"

namespace tandem {

namespace {

// Both selections are answered by an index alone.
constexpr char kSuperseded[] =
    "SELECT commit_id FROM versions WHERE superseded_by > 0 AND superseded_by <= ? ORDER BY superseded_by LIMIT ?";
constexpr char kDeletions[] =
    "SELECT commit_id FROM versions WHERE deleted = 1 AND superseded_by = 0 AND commit_id <= ? ORDER BY commit_id "
    "LIMIT ?";

void Collect(Database& db, const char* sql, int64_t floor, size_t limit, std::vector<int64_t>* commits) {
  Query row(db, sql, floor, static_cast<int64_t>(limit - commits->size()));
  while (row.Next()) commits->push_back(row.Int());
}

bool IsDeletion(Database& db, int64_t commit) {
  Query row(db, "SELECT deleted FROM versions WHERE commit_id = ?", commit);
  return row.Next() && row.Bool();
}

}  // namespace

// The floor is raised before anything goes: a pin that is taken from then on says so.
absl::StatusOr<int> DocumentStore::Prune(int64_t floor, int limit) {
  {
    absl::MutexLock lock(&rep_->pins->mutex);
    if (!rep_->pins->held.empty()) floor = std::min(floor, *rep_->pins->held.begin());
    rep_->pins->floor = std::max(rep_->pins->floor, floor);
  }
  const auto collect = [&](Database& db) {
    std::vector<int64_t> commits;
    Collect(db, kSuperseded, floor, static_cast<size_t>(limit), &commits);
    Collect(db, kDeletions, floor, static_cast<size_t>(limit), &commits);
    return commits;
  };
  // Mostly there is nothing to do, which is found out without keeping writers waiting.
  ASSIGN_OR_RETURN(const bool any,
                   rep_->Read([&](Database& db) -> absl::StatusOr<bool> { return !collect(db).empty(); }));
  if (!any) return 0;
  absl::MutexLock lock(&rep_->write_mutex);
  std::vector<LabelValues> values;  // Of versions that go, for what memory keeps of them.
  ASSIGN_OR_RETURN(const int gone, rep_->writer->Write([&](Database& db) -> absl::StatusOr<int> {
    const std::vector<int64_t> commits = collect(db);
    for (const int64_t commit : commits) {
      if (!IsDeletion(db, commit)) {
        ASSIGN_OR_RETURN(values.emplace_back(), rep_->EraseBeside(db, commit));
      }
      Query(db, "DELETE FROM client_vectors WHERE commit_id = ?", commit).Run();
      Query(db, "DELETE FROM versions WHERE commit_id = ?", commit).Run();
    }
    return static_cast<int>(commits.size());
  }));
  rep_->field_index.Remove(values);
  return gone;
}

DocumentStore::Pin DocumentStore::PinVersions() {
  const std::shared_ptr<Rep::Pins> pins = rep_->pins;
  absl::MutexLock lock(&pins->mutex);
  const auto held = pins->held.insert(pins->floor);
  return Pin(&*held, [pins, held](const int64_t*) {
    absl::MutexLock unpin(&pins->mutex);
    pins->held.erase(held);
  });
}

}  // namespace tandem
