#pragma once
// What the messages of an import stream have stored, so that a client may send again after a broken stream. The tables
// are the same in meta.db (owner: key of the dataset) and documents.db (owner: 0). A result is kept for a day; a
// stream's last sequence until a day after its last message.

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/storage/database.h"
#include "server/storage/records.h"

namespace tandem {

struct StreamResult {
  int64_t commit = 0;
  int accepted = 0;
  std::string errors_json;
};

// Part of a migration.
#define TANDEM_STREAM_TABLES                                                                                       \
  "CREATE TABLE streams (owner INTEGER NOT NULL, stream_id TEXT NOT NULL, last_sequence INTEGER NOT NULL,"         \
  "  time_us INTEGER NOT NULL, PRIMARY KEY (owner, stream_id)) STRICT, WITHOUT ROWID;"                             \
  "CREATE INDEX streams_by_time ON streams (time_us);"                                                             \
  "CREATE TABLE stream_results (owner INTEGER NOT NULL, stream_id TEXT NOT NULL, sequence INTEGER NOT NULL,"       \
  "  fingerprint TEXT NOT NULL, commit_id INTEGER NOT NULL, accepted INTEGER NOT NULL, errors_json TEXT NOT NULL," \
  "  time_us INTEGER NOT NULL, PRIMARY KEY (owner, stream_id, sequence)) STRICT, WITHOUT ROWID;"                   \
  "CREATE INDEX stream_results_by_time ON stream_results (time_us);"

// The stored result of a repeated message, or nothing when its sequence is the next one and is to be stored.
// INVALID_ARGUMENT on "sequence" for a gap and for a message whose result was dropped, on "request_id" when the stored
// message had another fingerprint. Inside a Write.
absl::StatusOr<std::optional<StreamResult>> FindStreamResult(Database& db, int64_t owner, const StreamMessage& message);
// REQUIRES: FindStreamResult gave nothing, in the same transaction.
void StoreStreamResult(Database& db, int64_t owner, const StreamMessage& message, const StreamResult& result);
void DropStreams(Database& db, int64_t owner);

}  // namespace tandem
