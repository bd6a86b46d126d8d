#include "server/storage/document_store.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>

#include "absl/time/clock.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/storage/document_store_rep.h"
#include "server/storage/row_codec.h"
#include "server/storage/stream_log.h"

namespace tandem {

namespace {

// The current version of an id is the one that nothing superseded; a deletion is a version too. `text` stands last, so
// that a scan over versions does not read its overflow pages; so a version with the text of the one before it says so
// in `previous`, which is then below 0. A vector's label is its follower's key * 2^40 + its commit: one b-tree in
// commit order for each follower, without a second index. Never change a migration that was released.
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

    // field_values: of each version that has any, as PackFieldValues; in commit order, so that a write appends. The
    // words of texts, without the texts: FTS5 asks `versions` for them where it needs them.
    "CREATE TABLE field_values (commit_id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;"
    "CREATE INDEX deleted_versions ON versions (commit_id) WHERE deleted = 1;"
    "CREATE VIRTUAL TABLE words USING fts5 (text, content = 'versions', content_rowid = 'commit_id',"
    "  tokenize = 'tandem');"
    "CREATE VIRTUAL TABLE word_counts USING fts5vocab (words, 'row');"
    "ALTER TABLE counters ADD COLUMN words_commit INTEGER NOT NULL DEFAULT 0",

    // Vectors of EXTERNAL collections; from here on `previous` may be below 0.
    "CREATE TABLE client_vectors (commit_id INTEGER PRIMARY KEY, vector BLOB NOT NULL) STRICT",
};

void AppendVersion(Database& db, int64_t commit, const Current& old, bool deleted, const std::string& id,
                   const std::string& payload, const std::string& text) {
  if (old.commit != 0) Query(db, "UPDATE versions SET superseded_by = ? WHERE commit_id = ?", commit, old.commit).Run();
  Query(db,
        "INSERT INTO versions (commit_id, previous, superseded_by, deleted, id, payload, text) VALUES (?, ?, 0, ?, ?, "
        "?, ?)",
        commit, old.same_text && !deleted ? -old.commit : old.commit, deleted, id, payload, text)
      .Run();
}

}  // namespace

Counters ReadCounters(Database& db) {
  Query row(db, "SELECT head, documents, words_commit FROM counters");
  Counters counters;
  if (row.Next()) {
    counters.head = row.Int();
    counters.documents = row.Int();
    counters.words_commit = row.Int();
  }
  return counters;
}

void WriteCounters(Database& db, const Counters& counters) {
  Query(db, "UPDATE counters SET head = ?, documents = ?, words_commit = ?", counters.head, counters.documents,
        counters.words_commit)
      .Run();
}

Current FindCurrent(Database& db, const std::string& id, const std::string& text) {
  Query row(db, "SELECT commit_id, deleted, text = ? FROM versions WHERE id = ? AND superseded_by = 0", text, id);
  Current current;
  if (row.Next()) {
    current.commit = row.Int();
    current.deleted = row.Bool();
    current.same_text = row.Bool() && !current.deleted;
  }
  return current;
}

void DocumentStore::Rep::AppendDocument(Database& db, int64_t commit, const Current& old, const DocumentInput& document,
                                        std::vector<FieldValues> values, VersionChanges* changes) {
  static const std::string kNoPayload = "{}";
  AppendVersion(db, commit, old, false, document.id, document.payload_json.empty() ? kNoPayload : document.payload_json,
                document.text);
  if (!values.empty()) {
    const std::string bytes = PackFieldValues(values);
    Query(db, "INSERT INTO field_values VALUES (?, ?)", commit, AsBlob(bytes)).Run();
  }
  if (!document.vector.empty()) {
    Query(db, "INSERT INTO client_vectors VALUES (?, ?)", commit, std::as_bytes(std::span(document.vector))).Run();
  }
  if (options.keyword_index) Query(db, "INSERT INTO words (rowid, text) VALUES (?, ?)", commit, document.text).Run();
  if (old.commit != 0) changes->ended.push_back(old.commit);
  changes->added.push_back({.label = commit, .values = std::move(values)});
}

DocumentStore::WriteResult DocumentStore::Rep::AppendDeletions(Database& db, const std::vector<std::string>& ids,
                                                               VersionChanges* changes) {
  Counters counters = ReadCounters(db);
  WriteResult result;
  for (const std::string& id : ids) {
    const Current old = FindCurrent(db, id, "");
    if (old.deleted) continue;
    AppendVersion(db, ++counters.head, old, true, id, "{}", "");
    changes->ended.push_back(old.commit);
    --counters.documents;
    ++result.accepted;
  }
  if (options.keyword_index) counters.words_commit = counters.head;
  WriteCounters(db, counters);
  result.commit = counters.head;
  return result;
}

void DocumentStore::Rep::Publish(const VersionChanges& changes, int64_t commit) {
  field_index.Add(changes.added);
  {
    absl::MutexLock lock(&current_mutex);
    if (current) {
      for (const LabelValues& added : changes.added) current->labels.add(static_cast<uint64_t>(added.label));
      for (const int64_t ended : changes.ended) current->labels.remove(static_cast<uint64_t>(ended));
      current->commit = std::max(current->commit, commit);
    }
  }
  absl::MutexLock lock(&head_mutex);
  head = std::max(head, commit);  // A repeated message has the commit of its first time.
}

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

DocumentStore::DocumentStore(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
DocumentStore::~DocumentStore() = default;

absl::StatusOr<std::unique_ptr<DocumentStore>> DocumentStore::Open(const std::filesystem::path& path,
                                                                   const DocumentStoreOptions& options) {
  ASSIGN_OR_RETURN(std::unique_ptr<Database> writer, Database::Open(path, kMigrations));
  auto rep = std::make_unique<Rep>(path, std::move(writer), options);
  RETURN_IF_ERROR(rep->LoadFields());
  if (options.keyword_index) RETURN_IF_ERROR(rep->FillWords());
  ASSIGN_OR_RETURN(const int64_t head,
                   rep->writer->Read([](Database& db) -> absl::StatusOr<int64_t> { return ReadCounters(db).head; }));
  {
    absl::MutexLock lock(&rep->head_mutex);
    rep->head = head;
  }
  return std::unique_ptr<DocumentStore>(new DocumentStore(std::move(rep)));
}

const DocumentStoreOptions& DocumentStore::options() const { return rep_->options; }

absl::Status DocumentStore::CheckPayload(std::string_view payload_json) const {
  return ReadFieldValues(rep_->options.fields, payload_json).status();
}

absl::StatusOr<DocumentStore::WriteResult> DocumentStore::Upsert(const std::vector<DocumentInput>& documents,
                                                                 const StreamMessage& message,
                                                                 std::string_view errors_json) {
  std::vector<std::vector<FieldValues>> values;
  std::unordered_map<std::string_view, size_t> last;  // Id -> its last place.
  for (size_t i = 0; i < documents.size(); ++i) {
    last[documents[i].id] = i;
    auto read = ReadFieldValues(rep_->options.fields, documents[i].payload_json);
    if (!read.ok()) return PrefixField(Concat("documents[", i, "]"), read.status());
    values.push_back(*std::move(read));
  }
  return rep_->WriteVersions([&](Database& db, VersionChanges* changes) -> absl::StatusOr<WriteResult> {
    ASSIGN_OR_RETURN(std::optional<StreamResult> stored, FindStreamResult(db, 0, message));
    if (stored) return WriteResult{stored->commit, stored->accepted, std::move(stored->errors_json), true};
    Counters counters = ReadCounters(db);
    for (size_t i = 0; i < documents.size(); ++i) {
      if (last[documents[i].id] != i) continue;
      const Current old = FindCurrent(db, documents[i].id, documents[i].text);
      if (old.deleted) ++counters.documents;
      rep_->AppendDocument(db, ++counters.head, old, documents[i], std::move(values[i]), changes);
    }
    if (rep_->options.keyword_index) counters.words_commit = counters.head;
    WriteCounters(db, counters);
    StreamResult result{counters.head, static_cast<int>(documents.size()), std::string(errors_json)};
    StoreStreamResult(db, 0, message, result);
    return WriteResult{result.commit, result.accepted, std::move(result.errors_json), false};
  });
}

absl::StatusOr<DocumentStore::WriteResult> DocumentStore::Delete(const std::vector<std::string>& ids) {
  return rep_->WriteVersions([&](Database& db, VersionChanges* changes) -> absl::StatusOr<WriteResult> {
    return rep_->AppendDeletions(db, ids, changes);
  });
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

// On a connection of its own: the few that reads share are for short ones.
absl::Status DocumentStore::CopyTo(const std::filesystem::path& to,
                                   const std::function<absl::Status(int64_t, int64_t)>& proceed) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Database> reader, Database::OpenReadOnly(rep_->path));
  return reader->CopyTo(to, proceed);
}

absl::StatusOr<int64_t> DocumentStore::Count() {
  return rep_->Read([](Database& db) -> absl::StatusOr<int64_t> { return ReadCounters(db).documents; });
}

}  // namespace tandem
