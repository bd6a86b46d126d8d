#include "server/storage/meta_store.h"

#include "server/storage/meta_store_rep.h"
#include "server/storage/stream_log.h"

namespace tandem {

namespace {

// Times are microseconds since 1970. Rows with a `key` are listed by age; a key is never used twice, so rows of a
// deleted owner can be cleared later. Never change a migration that was released: add one.
constexpr const char* kMigrations[] = {
    "CREATE TABLE requests (tenant TEXT NOT NULL, method TEXT NOT NULL, request_id TEXT NOT NULL,"
    "  fingerprint TEXT NOT NULL, answer TEXT NOT NULL, time_us INTEGER NOT NULL,"
    "  PRIMARY KEY (tenant, method, request_id)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX requests_by_time ON requests (time_us);"

    // `head` is the newest commit and, examples being only appended, their number.
    "CREATE TABLE datasets (key INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT NOT NULL, id TEXT NOT NULL,"
    "  display_name TEXT NOT NULL, create_us INTEGER NOT NULL, head INTEGER NOT NULL, UNIQUE (tenant, id)) STRICT;"
    "CREATE TABLE examples (dataset INTEGER NOT NULL, commit_id INTEGER NOT NULL,"
    "  kind INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 4), score REAL NOT NULL, similar INTEGER NOT NULL,"
    "  label TEXT NOT NULL, anchor TEXT NOT NULL, positives BLOB NOT NULL, negatives BLOB NOT NULL,"
    "  PRIMARY KEY (dataset, commit_id)) STRICT, WITHOUT ROWID;"

    "CREATE TABLE models (tenant TEXT NOT NULL, id TEXT NOT NULL, create_us INTEGER NOT NULL,"
    "  PRIMARY KEY (tenant, id)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE revisions (key INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT NOT NULL, model TEXT NOT NULL,"
    "  id TEXT NOT NULL, create_us INTEGER NOT NULL, architecture TEXT NOT NULL, parameters INTEGER NOT NULL,"
    "  contract TEXT NOT NULL, parent TEXT NOT NULL, dataset TEXT NOT NULL, dataset_commit INTEGER NOT NULL,"
    "  job TEXT NOT NULL, options TEXT NOT NULL, validation TEXT NOT NULL, sha256 TEXT NOT NULL,"
    "  UNIQUE (tenant, model, id), FOREIGN KEY (tenant, model) REFERENCES models (tenant, id) ON DELETE CASCADE) "
    "STRICT;"
    "CREATE INDEX revisions_by_age ON revisions (tenant, model, key);"

    "CREATE TABLE jobs (key INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT NOT NULL, id TEXT NOT NULL,"
    "  kind INTEGER NOT NULL, state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 5), create_us INTEGER NOT NULL,"
    "  start_us INTEGER, end_us INTEGER, attempt INTEGER NOT NULL, cancel_requested INTEGER NOT NULL,"
    "  options TEXT NOT NULL, dataset TEXT NOT NULL, base_revision TEXT NOT NULL, target_model TEXT NOT NULL,"
    "  result_revision TEXT NOT NULL, error_code INTEGER NOT NULL, error_message TEXT NOT NULL,"
    "  UNIQUE (tenant, id)) STRICT;"
    "CREATE INDEX jobs_by_age ON jobs (tenant, key);"
    "CREATE INDEX jobs_by_state ON jobs (state, key);"

    "CREATE TABLE collections (key INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT NOT NULL, id TEXT NOT NULL,"
    "  display_name TEXT NOT NULL, create_us INTEGER NOT NULL, gate_set TEXT NOT NULL, gate_margin REAL NOT NULL,"
    "  gate_min_recall REAL NOT NULL, gate_min_ndcg REAL NOT NULL, rollback_window_us INTEGER NOT NULL,"
    "  etag INTEGER NOT NULL, live_release TEXT NOT NULL, previous_release TEXT NOT NULL, UNIQUE (tenant, id)) STRICT;"
    "CREATE TABLE evaluation_sets (key INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  collection INTEGER NOT NULL REFERENCES collections (key) ON DELETE CASCADE, id TEXT NOT NULL,"
    "  create_us INTEGER NOT NULL, query_count INTEGER NOT NULL, UNIQUE (collection, id)) STRICT;"
    "CREATE TABLE evaluation_queries ("
    "  evaluation_set INTEGER NOT NULL REFERENCES evaluation_sets (key) ON DELETE CASCADE, position INTEGER NOT NULL,"
    "  text TEXT NOT NULL, judgements BLOB NOT NULL, PRIMARY KEY (evaluation_set, position)) STRICT, WITHOUT ROWID;"

    "CREATE TABLE releases (key INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  collection INTEGER NOT NULL REFERENCES collections (key) ON DELETE CASCADE, id TEXT NOT NULL,"
    "  state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 6), create_us INTEGER NOT NULL, model TEXT NOT NULL,"
    "  revision TEXT NOT NULL, index_kind INTEGER NOT NULL, hnsw_m INTEGER NOT NULL,"
    "  hnsw_ef_construction INTEGER NOT NULL, hnsw_ef_search INTEGER NOT NULL, contract TEXT NOT NULL,"
    "  evaluation TEXT NOT NULL, promote_us INTEGER, demote_us INTEGER, error_code INTEGER NOT NULL,"
    "  error_message TEXT NOT NULL, UNIQUE (collection, id)) STRICT;"
    "CREATE INDEX releases_by_age ON releases (collection, key);"
    "CREATE INDEX releases_by_revision ON releases (model, revision);"  //
    TANDEM_STREAM_TABLES,

    "ALTER TABLE releases ADD COLUMN gate TEXT NOT NULL DEFAULT ''",

    // A fifth kind of example; jobs that read several datasets.
    "CREATE TABLE all_examples (dataset INTEGER NOT NULL, commit_id INTEGER NOT NULL,"
    "  kind INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 5), score REAL NOT NULL, similar INTEGER NOT NULL,"
    "  label TEXT NOT NULL, anchor TEXT NOT NULL, positives BLOB NOT NULL, negatives BLOB NOT NULL,"
    "  PRIMARY KEY (dataset, commit_id)) STRICT, WITHOUT ROWID;"
    "INSERT INTO all_examples SELECT * FROM examples;"
    "DROP TABLE examples;"
    "ALTER TABLE all_examples RENAME TO examples;"
    "ALTER TABLE jobs ADD COLUMN datasets TEXT NOT NULL DEFAULT '[]';"
    "ALTER TABLE revisions ADD COLUMN sources TEXT NOT NULL DEFAULT ''",

    // Jobs that are no trainings.
    "ALTER TABLE jobs ADD COLUMN collection TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE jobs ADD COLUMN target_dataset TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE jobs ADD COLUMN result TEXT NOT NULL DEFAULT ''",

    // What a training did to its model.
    "ALTER TABLE revisions ADD COLUMN comparison TEXT NOT NULL DEFAULT ''",

    // Kinds of index other than flat and HNSW.
    "ALTER TABLE releases ADD COLUMN ivf_lists INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE releases ADD COLUMN ivf_nprobe INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE releases ADD COLUMN pq_subquantizers INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE releases ADD COLUMN code_storage INTEGER NOT NULL DEFAULT 3;"
    "ALTER TABLE releases ADD COLUMN rerank_factor INTEGER NOT NULL DEFAULT 0",
    // What collections declare when they are made.
    "ALTER TABLE collections ADD COLUMN fields TEXT NOT NULL DEFAULT '[]';"
    "ALTER TABLE collections ADD COLUMN keyword_index INTEGER NOT NULL DEFAULT 1",

    // EXTERNAL collections; 0 dimensions: it is none.
    "ALTER TABLE collections ADD COLUMN external_dimensions INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE collections ADD COLUMN external_metric INTEGER NOT NULL DEFAULT 0",

    // What users say of hits. retrain_after 0: never.
    "CREATE TABLE feedback_policies (collection INTEGER PRIMARY KEY REFERENCES collections (key) ON DELETE CASCADE,"
    "  dataset TEXT NOT NULL, retrain_after INTEGER NOT NULL, training TEXT NOT NULL, request BLOB NOT NULL,"
    "  new_examples INTEGER NOT NULL DEFAULT 0, round INTEGER NOT NULL DEFAULT 0, state INTEGER NOT NULL DEFAULT 1,"
    "  start_us INTEGER NOT NULL DEFAULT 0, job TEXT NOT NULL DEFAULT '', release TEXT NOT NULL DEFAULT '',"
    "  outcome TEXT NOT NULL DEFAULT '') STRICT;"
    "CREATE TABLE judgements (collection INTEGER NOT NULL REFERENCES collections (key) ON DELETE CASCADE,"
    "  search_id TEXT NOT NULL, document TEXT NOT NULL, relevant INTEGER NOT NULL, text TEXT NOT NULL,"
    "  time_us INTEGER NOT NULL, PRIMARY KEY (collection, search_id, document)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX judgements_by_time ON judgements (time_us)",
};

constexpr absl::Duration kAnswersAreKept = absl::Hours(24);

absl::StatusOr<std::optional<std::string>> StoredAnswer(Database& db, const MetaStore::Request& request) {
  Query row(
      db,
      "SELECT fingerprint, answer FROM requests WHERE tenant = ? AND method = ? AND request_id = ? AND time_us >= ?",
      request.tenant, request.method, request.request_id, absl::Now() - kAnswersAreKept);
  if (!row.Next()) return std::nullopt;
  if (row.Text() != request.fingerprint) {
    return InvalidField("request_id", Concat("\"", request.request_id, "\": was used for another ", request.method,
                                             " within the last 24 hours"));
  }
  return row.Text();
}

}  // namespace

MetaStore::MetaStore(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
MetaStore::~MetaStore() = default;

absl::StatusOr<std::unique_ptr<MetaStore>> MetaStore::Open(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(std::unique_ptr<Database> database, Database::Open(path, kMigrations));
  RETURN_IF_ERROR(DropDeletedExamples(*database));
  return std::unique_ptr<MetaStore>(new MetaStore(std::make_unique<Rep>(std::move(database))));
}

absl::StatusOr<std::optional<std::string>> MetaStore::FindAnswer(const Request& request) {
  return rep_->db->Read([&](Database& db) { return StoredAnswer(db, request); });
}

absl::Status ReserveAnswer(Database& db, const MetaStore::Request* request) {
  if (request == nullptr) return absl::OkStatus();
  const absl::Time now = absl::Now();
  Query(db, "DELETE FROM requests WHERE time_us < ?", now - kAnswersAreKept).Run();
  ASSIGN_OR_RETURN(const std::optional<std::string> stored, StoredAnswer(db, *request));
  if (stored) {
    return absl::AbortedError(Concat("request_id \"", request->request_id,
                                     "\": the same call was answered meanwhile; repeat it to get its answer"));
  }
  Query(db, "INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?)", request->tenant, request->method, request->request_id,
        request->fingerprint, request->answer, now)
      .Run();
  return absl::OkStatus();
}

}  // namespace tandem
