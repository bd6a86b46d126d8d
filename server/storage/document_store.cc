#include "server/storage/document_store.h"

#include <optional>
#include <unordered_map>

#include "absl/time/clock.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/storage/document_store_rep.h"
#include "server/storage/stream_log.h"

namespace tandem {

namespace {

// The current version of an id is the one that nothing superseded; a deletion is a version too. `text` stands last, so
// that a scan over versions does not read its overflow pages. A vector's label is its follower's key * 2^40 + its
// commit: one b-tree in commit order for each follower, without a second index. Never change a migration that was
// released.
constexpr const char* kMigrations[] = {
    "CREATE TABLE versions (commit_id INTEGER PRIMARY KEY, previous INTEGER NOT NULL, superseded_by INTEGER NOT NULL,"
    "  deleted INTEGER NOT NULL, id TEXT NOT NULL, payload TEXT NOT NULL, text TEXT NOT NULL) STRICT;"
    "CREATE UNIQUE INDEX current_versions ON versions (id) WHERE superseded_by = 0;"
    "CREATE INDEX superseded_versions ON versions (superseded_by) WHERE superseded_by > 0;"
    "CREATE TABLE counters (head INTEGER NOT NULL, documents INTEGER NOT NULL) STRICT;"
    "INSERT INTO counters VALUES (0, 0);"
    "CREATE TABLE followers (key INTEGER PRIMARY KEY AUTOINCREMENT, release TEXT NOT NULL UNIQUE,"
    "  commit_id INTEGER NOT NULL, sealed_commit INTEGER NOT NULL) STRICT;"
    "CREATE TABLE vectors (label INTEGER PRIMARY KEY, vector BLOB NOT NULL) STRICT;"  //
    TANDEM_STREAM_TABLES,
};

struct Counters {
  int64_t head = 0, documents = 0;
};

Counters ReadCounters(Database& db) {
  Query row(db, "SELECT head, documents FROM counters");
  Counters counters;
  if (row.Next()) {
    counters.head = row.Int();
    counters.documents = row.Int();
  }
  return counters;
}

void WriteCounters(Database& db, const Counters& counters) {
  Query(db, "UPDATE counters SET head = ?, documents = ?", counters.head, counters.documents).Run();
}

struct Current {
  int64_t commit = 0;  // 0: there never was one.
  bool deleted = true;
};

Current FindCurrent(Database& db, const std::string& id) {
  Query row(db, "SELECT commit_id, deleted FROM versions WHERE id = ? AND superseded_by = 0", id);
  Current current;
  if (row.Next()) {
    current.commit = row.Int();
    current.deleted = row.Bool();
  }
  return current;
}

void AppendVersion(Database& db, int64_t commit, const Current& old, bool deleted, const std::string& id,
                   const std::string& payload, const std::string& text) {
  if (old.commit != 0) Query(db, "UPDATE versions SET superseded_by = ? WHERE commit_id = ?", commit, old.commit).Run();
  Query(db,
        "INSERT INTO versions (commit_id, previous, superseded_by, deleted, id, payload, text) VALUES (?, ?, 0, ?, ?, "
        "?, ?)",
        commit, old.commit, deleted, id, payload, text)
      .Run();
}

void UpsertAll(Database& db, const std::vector<DocumentInput>& documents, Counters& counters) {
  std::unordered_map<std::string_view, size_t> last;  // Id -> its last place.
  for (size_t i = 0; i < documents.size(); ++i) last[documents[i].id] = i;
  static const std::string kNoPayload = "{}";
  for (size_t i = 0; i < documents.size(); ++i) {
    const DocumentInput& document = documents[i];
    if (last[document.id] != i) continue;
    const Current old = FindCurrent(db, document.id);
    if (old.deleted) ++counters.documents;
    AppendVersion(db, ++counters.head, old, false, document.id,
                  document.payload_json.empty() ? kNoPayload : document.payload_json, document.text);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Database>> DocumentStore::Rep::Borrow() {
  {
    absl::MutexLock lock(&readers_mutex);
    readers_mutex.Await(absl::Condition(
        +[](Rep* rep) { return !rep->idle_readers.empty() || rep->open_readers < kMaxReaders; }, this));
    if (!idle_readers.empty()) {
      std::unique_ptr<Database> reader = std::move(idle_readers.back());
      idle_readers.pop_back();
      return reader;
    }
    ++open_readers;
  }
  absl::StatusOr<std::unique_ptr<Database>> reader = Database::OpenReadOnly(path);
  if (!reader.ok()) {
    absl::MutexLock lock(&readers_mutex);
    --open_readers;
  }
  return reader;
}

void DocumentStore::Rep::Return(std::unique_ptr<Database> reader) {
  absl::MutexLock lock(&readers_mutex);
  idle_readers.push_back(std::move(reader));
}

void DocumentStore::Rep::RaiseHead(int64_t commit) {
  absl::MutexLock lock(&head_mutex);
  if (commit > head) head = commit;
}

DocumentStore::DocumentStore(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
DocumentStore::~DocumentStore() = default;

absl::StatusOr<std::unique_ptr<DocumentStore>> DocumentStore::Open(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(std::unique_ptr<Database> writer, Database::Open(path, kMigrations));
  auto rep = std::make_unique<Rep>(path, std::move(writer));
  ASSIGN_OR_RETURN(const int64_t head,
                   rep->writer->Read([](Database& db) -> absl::StatusOr<int64_t> { return ReadCounters(db).head; }));
  {
    absl::MutexLock lock(&rep->head_mutex);
    rep->head = head;
  }
  return std::unique_ptr<DocumentStore>(new DocumentStore(std::move(rep)));
}

absl::StatusOr<DocumentStore::WriteResult> DocumentStore::Upsert(const std::vector<DocumentInput>& documents,
                                                                 const StreamMessage& message,
                                                                 std::string_view errors_json) {
  ASSIGN_OR_RETURN(WriteResult written, rep_->writer->Write([&](Database& db) -> absl::StatusOr<WriteResult> {
    ASSIGN_OR_RETURN(std::optional<StreamResult> stored, FindStreamResult(db, 0, message));
    if (stored) return WriteResult{stored->commit, stored->accepted, std::move(stored->errors_json), true};
    Counters counters = ReadCounters(db);
    UpsertAll(db, documents, counters);
    WriteCounters(db, counters);
    StreamResult result{counters.head, static_cast<int>(documents.size()), std::string(errors_json)};
    StoreStreamResult(db, 0, message, result);
    return WriteResult{result.commit, result.accepted, std::move(result.errors_json), false};
  }));
  rep_->RaiseHead(written.commit);
  return written;
}

absl::StatusOr<DocumentStore::WriteResult> DocumentStore::Delete(const std::vector<std::string>& ids) {
  ASSIGN_OR_RETURN(const WriteResult written, rep_->writer->Write([&](Database& db) -> absl::StatusOr<WriteResult> {
    Counters counters = ReadCounters(db);
    WriteResult result;
    for (const std::string& id : ids) {
      const Current old = FindCurrent(db, id);
      if (old.deleted) continue;
      AppendVersion(db, ++counters.head, old, true, id, "{}", "");
      --counters.documents;
      ++result.accepted;
    }
    WriteCounters(db, counters);
    result.commit = counters.head;
    return result;
  }));
  rep_->RaiseHead(written.commit);
  return written;
}

int64_t DocumentStore::head() const {
  absl::MutexLock lock(&rep_->head_mutex);
  return rep_->head;
}

int64_t DocumentStore::WaitForCommitAfter(int64_t commit, absl::Duration timeout) {
  absl::MutexLock lock(&rep_->head_mutex);
  struct Wait {
    const Rep* rep;
    int64_t commit, wakes;
  } wait{rep_.get(), commit, rep_->wakes};
  ++rep_->waiters;
  if (!rep_->pending_wake) {
    rep_->head_mutex.AwaitWithTimeout(absl::Condition(
                                          +[](Wait* w) ABSL_NO_THREAD_SAFETY_ANALYSIS {
                                            return w->rep->head > w->commit || w->rep->wakes != w->wakes;
                                          },
                                          &wait),
                                      timeout);
  }
  --rep_->waiters;
  rep_->pending_wake = false;
  return rep_->head;
}

void DocumentStore::Wake() {
  absl::MutexLock lock(&rep_->head_mutex);
  ++rep_->wakes;
  if (rep_->waiters == 0) rep_->pending_wake = true;
}

absl::StatusOr<int64_t> DocumentStore::Count() {
  return rep_->Read([](Database& db) -> absl::StatusOr<int64_t> { return ReadCounters(db).documents; });
}

}  // namespace tandem
