#include "server/storage/stream_log.h"

#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {

namespace {

void DropExpired(Database& db) {
  const absl::Time oldest = absl::Now() - absl::Hours(24);
  Query(db, "DELETE FROM stream_results WHERE time_us < ?", oldest).Run();
  Query(db, "DELETE FROM streams WHERE time_us < ?", oldest).Run();
}

}  // namespace

absl::StatusOr<std::optional<StreamResult>> FindStreamResult(Database& db, int64_t owner,
                                                             const StreamMessage& message) {
  const auto& [stream_id, sequence, fingerprint] = message;
  if (stream_id.empty()) return std::nullopt;
  DropExpired(db);
  int64_t last = 0;
  {
    Query stream(db, "SELECT last_sequence FROM streams WHERE owner = ? AND stream_id = ?", owner, stream_id);
    if (stream.Next()) last = stream.Int();
  }
  if (sequence == last + 1) return std::nullopt;
  if (sequence < 1 || sequence > last) {
    return InvalidField("sequence", Concat(sequence, ": the next one of request_id \"", stream_id, "\" is ", last + 1));
  }
  Query row(db,
            "SELECT fingerprint, commit_id, accepted, errors_json FROM stream_results "
            "WHERE owner = ? AND stream_id = ? AND sequence = ?",
            owner, stream_id, sequence);
  if (!row.Next()) {
    return InvalidField("sequence", Concat(sequence, ": was stored more than a day ago; the next one is ", last + 1));
  }
  if (row.Text() != fingerprint) {
    return InvalidField("request_id", Concat("was used with other content (sequence ", sequence, ")"));
  }
  StreamResult result;
  result.commit = row.Int();
  result.accepted = static_cast<int>(row.Int());
  result.errors_json = row.Text();
  return result;
}

void StoreStreamResult(Database& db, int64_t owner, const StreamMessage& message, const StreamResult& result) {
  const auto& [stream_id, sequence, fingerprint] = message;
  if (stream_id.empty()) return;
  const absl::Time now = absl::Now();
  Query(db,
        "INSERT INTO streams VALUES (?, ?, ?, ?) ON CONFLICT (owner, stream_id) DO UPDATE SET "
        "last_sequence = excluded.last_sequence, time_us = excluded.time_us",
        owner, stream_id, sequence, now)
      .Run();
  Query(db, "INSERT INTO stream_results VALUES (?, ?, ?, ?, ?, ?, ?, ?)", owner, stream_id, sequence, fingerprint,
        result.commit, result.accepted, result.errors_json, now)
      .Run();
}

void DropStreams(Database& db, int64_t owner) {
  Query(db, "DELETE FROM stream_results WHERE owner = ?", owner).Run();
  Query(db, "DELETE FROM streams WHERE owner = ?", owner).Run();
}

}  // namespace tandem
