// Cursors of releases and the vectors that are not in a sealed index yet.

#include <cstring>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/storage/document_store_rep.h"

namespace tandem {

namespace {

// Commits stay below this; see the comment at the tables in document_store.cc.
constexpr int64_t kCommitsPerFollower = int64_t{1} << 40;

int64_t LabelOf(int64_t follower, int64_t commit) { return follower * kCommitsPerFollower + commit; }

std::optional<int64_t> FollowerKey(Database& db, std::string_view release) {
  Query row(db, "SELECT key FROM followers WHERE release = ?", release);
  if (!row.Next()) return std::nullopt;
  return row.Int();
}

int64_t RequireFollowerKey(Database& db, std::string_view release) {
  if (const std::optional<int64_t> key = FollowerKey(db, release)) return *key;
  Query(db, "INSERT INTO followers (release, commit_id, sealed_commit) VALUES (?, 0, 0)", release).Run();
  return db.LastRowId();
}

}  // namespace

absl::StatusOr<DocumentStore::Cursor> DocumentStore::GetCursor(std::string_view release) {
  return rep_->Read([&](Database& db) -> absl::StatusOr<Cursor> {
    Query row(db, "SELECT commit_id, sealed_commit FROM followers WHERE release = ?", release);
    Cursor cursor;
    if (row.Next()) {
      cursor.commit = row.Int();
      cursor.sealed_commit = row.Int();
    }
    return cursor;
  });
}

absl::Status DocumentStore::Advance(std::string_view release, int64_t commit, std::span<const int64_t> commits,
                                    std::span<const float> vectors, int dimensions) {
  if (vectors.size() != commits.size() * static_cast<size_t>(dimensions)) {
    return absl::InternalError(Concat("Advance of release ", release, ": ", vectors.size(), " values for ",
                                      commits.size(), " vectors of ", dimensions, " dimensions"));
  }
  return rep_->writer->Write([&](Database& db) -> absl::Status {
    const int64_t key = RequireFollowerKey(db, release);
    for (size_t i = 0; i < commits.size(); ++i) {
      const std::span<const float> vector = vectors.subspan(i * dimensions, dimensions);
      Query(db, "INSERT OR REPLACE INTO vectors VALUES (?, ?)", LabelOf(key, commits[i]), std::as_bytes(vector)).Run();
    }
    Query(db, "UPDATE followers SET commit_id = ? WHERE key = ?", commit, key).Run();
    return absl::OkStatus();
  });
}

absl::StatusOr<DocumentStore::Vectors> DocumentStore::ReadVectors(std::string_view release, int64_t after, int limit,
                                                                  int dimensions) {
  return rep_->Read([&](Database& db) -> absl::StatusOr<Vectors> {
    Vectors vectors;
    const std::optional<int64_t> key = FollowerKey(db, release);
    if (!key) return vectors;
    Query row(db, "SELECT label, vector FROM vectors WHERE label > ? AND label < ? ORDER BY label LIMIT ?",
              LabelOf(*key, after), LabelOf(*key + 1, 0), limit);
    while (row.Next()) {
      vectors.commits.push_back(row.Int() - LabelOf(*key, 0));
      const std::string_view bytes = row.Blob();
      if (bytes.size() != dimensions * sizeof(float)) {
        return absl::DataLossError(Concat(rep_->path.string(), ": vector of release ", release, " and commit ",
                                          vectors.commits.back(), " has ", bytes.size(), " bytes, must have ",
                                          dimensions * sizeof(float)));
      }
      vectors.values.resize(vectors.values.size() + dimensions);
      std::memcpy(vectors.values.data() + vectors.values.size() - dimensions, bytes.data(), bytes.size());
    }
    return vectors;
  });
}

absl::Status DocumentStore::MarkSealed(std::string_view release, int64_t commit) {
  return rep_->writer->Write([&](Database& db) -> absl::Status {
    const int64_t key = RequireFollowerKey(db, release);
    Query(db, "DELETE FROM vectors WHERE label > ? AND label <= ?", LabelOf(key, 0), LabelOf(key, commit)).Run();
    Query(db, "UPDATE followers SET sealed_commit = ? WHERE key = ?", commit, key).Run();
    return absl::OkStatus();
  });
}

absl::Status DocumentStore::DropFollower(std::string_view release) {
  return rep_->writer->Write([&](Database& db) -> absl::Status {
    const std::optional<int64_t> key = FollowerKey(db, release);
    if (!key) return absl::OkStatus();
    Query(db, "DELETE FROM vectors WHERE label > ? AND label < ?", LabelOf(*key, 0), LabelOf(*key + 1, 0)).Run();
    Query(db, "DELETE FROM followers WHERE key = ?", *key).Run();
    return absl::OkStatus();
  });
}

absl::StatusOr<std::map<std::string, DocumentStore::Cursor>> DocumentStore::Followers() {
  return rep_->Read([&](Database& db) -> absl::StatusOr<std::map<std::string, Cursor>> {
    std::map<std::string, Cursor> followers;
    Query row(db, "SELECT release, commit_id, sealed_commit FROM followers");
    while (row.Next()) {
      Cursor& cursor = followers[row.Text()];
      cursor.commit = row.Int();
      cursor.sealed_commit = row.Int();
    }
    return followers;
  });
}

}  // namespace tandem
