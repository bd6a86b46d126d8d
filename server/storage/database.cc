#include "server/storage/database.h"

#include <SQLiteCpp/Backup.h>
#include <sqlite3.h>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/storage/word_score.h"
#include "server/storage/word_tokenizer.h"

namespace tandem {

namespace {

// A statement waits so long for another process that holds the file; tandem's own connections never make each other
// wait except for the moment of a checkpoint.
constexpr int kBusyTimeoutMs = 10'000;

absl::StatusCode CodeOf(int sqlite_code) {
  switch (sqlite_code & 0xff) {
    case SQLITE_FULL:
    case SQLITE_NOMEM:
      return absl::StatusCode::kResourceExhausted;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::StatusCode::kDataLoss;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::StatusCode::kUnavailable;
    case SQLITE_TOOBIG:
      return absl::StatusCode::kInvalidArgument;
    default:
      return absl::StatusCode::kInternal;
  }
}

}  // namespace

Database::Database(std::filesystem::path path, int flags)
    : path_(std::move(path)), connection_(path_.string(), flags | SQLite::OPEN_NOMUTEX, kBusyTimeoutMs) {
  connection_.exec("PRAGMA foreign_keys = ON");
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::filesystem::path& path,
                                                         std::span<const char* const> migrations,
                                                         Durability durability) {
  std::unique_ptr<Database> database;
  try {
    database.reset(new Database(path, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE));
  } catch (const std::exception& error) {
    return absl::InternalError(Concat(path.string(), ": ", error.what()));
  }
  RETURN_IF_ERROR(database->Read([&](Database& db) -> absl::Status {
    db.Configure(durability);
    return db.RegisterWords();
  }));
  RETURN_IF_ERROR(database->Write([&](Database& db) { return db.Migrate(migrations); }));
  return database;
}

absl::StatusOr<std::unique_ptr<Database>> Database::OpenReadOnly(const std::filesystem::path& path) {
  std::unique_ptr<Database> database;
  try {
    database.reset(new Database(path, SQLite::OPEN_READONLY));
  } catch (const std::exception& error) {
    return absl::InternalError(Concat(path.string(), ": ", error.what()));
  }
  RETURN_IF_ERROR(database->Read([](Database& db) { return db.RegisterWords(); }));
  return database;
}

void Database::Configure(Durability durability) {
  connection_.exec("PRAGMA journal_mode = WAL");
  connection_.exec(durability == Durability::kPower ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
  // A bulk import grows the log; the next checkpoint gives the disk back down to this.
  connection_.exec("PRAGMA journal_size_limit = 67108864");
}

absl::Status Database::RegisterWords() {
  RETURN_IF_ERROR(RegisterWordTokenizer(handle()));
  return RegisterWordScore(handle(), &word_score_bound_);
}

absl::Status Database::Migrate(std::span<const char* const> migrations) {
  const int newest = static_cast<int>(migrations.size());
  const int format = connection_.execAndGet("PRAGMA user_version").getInt();
  if (format < 0 || format > newest) {
    return absl::FailedPreconditionError(
        Concat(path_.string(), ": format ", format, " is newer than this server's ", newest));
  }
  for (int n = format; n < newest; ++n) connection_.exec(migrations[n]);
  if (format != newest) connection_.exec(Concat("PRAGMA user_version = ", newest));
  return absl::OkStatus();
}

absl::Status Database::CopyTo(const std::filesystem::path& to,
                              const std::function<absl::Status(int64_t, int64_t)>& proceed) {
  constexpr int kPagesAtOnce = 1024;
  absl::MutexLock lock(&mutex_);
  try {
    SQLite::Database copy(to.string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE | SQLite::OPEN_NOMUTEX);
    copy.exec("PRAGMA synchronous = OFF");  // Whoever publishes the copy syncs it.
    const int64_t page_bytes = connection_.execAndGet("PRAGMA page_size").getInt64();
    // Held over all steps: a backup whose source changes between two steps would begin anew.
    SQLite::Transaction moment(connection_);
    connection_.execAndGet("SELECT count(*) FROM sqlite_schema");
    SQLite::Backup backup(copy, connection_);
    while (backup.executeStep(kPagesAtOnce) != SQLITE_DONE) {
      const int64_t all = backup.getTotalPageCount();
      RETURN_IF_ERROR(proceed((all - backup.getRemainingPageCount()) * page_bytes, all * page_bytes));
    }
    return absl::OkStatus();
  } catch (const std::exception& error) {
    return ToStatus(error);
  }
}

absl::Status Database::ToStatus(const std::exception& error) const {
  const auto* sqlite_error = dynamic_cast<const SQLite::Exception*>(&error);
  if (sqlite_error == nullptr) return absl::InternalError(Concat(path_.string(), ": ", error.what()));
  const int code = sqlite_error->getErrorCode();
  return absl::Status(
      CodeOf(code), Concat(path_.string(), ": ", error.what(), " (SQLite ", sqlite_error->getExtendedErrorCode(), ")"));
}

SQLite::Statement& Database::Prepared(std::string_view sql) {
  auto found = statements_.find(sql);
  if (found == statements_.end()) {
    auto statement = std::make_unique<SQLite::Statement>(connection_, std::string(sql));
    found = statements_.emplace(std::string(sql), std::move(statement)).first;
  }
  return *found->second;
}

Query::~Query() {
  statement_.tryReset();
  try {
    statement_.clearBindings();
  } catch (const SQLite::Exception&) {
    // sqlite3_clear_bindings always returns SQLITE_OK; a destructor must not throw in any case.
  }
}

bool Query::Next() {
  column_ = 0;
  return statement_.executeStep();
}

int64_t Query::Int() { return statement_.getColumn(column_++).getInt64(); }

double Query::Real() { return statement_.getColumn(column_++).getDouble(); }

std::string_view Query::Blob() {
  const SQLite::Column column = statement_.getColumn(column_++);
  const void* bytes = column.getBlob();
  if (bytes == nullptr) return {};
  return {static_cast<const char*>(bytes), static_cast<size_t>(column.getBytes())};
}

std::string Query::Text() { return std::string(Blob()); }

std::optional<absl::Time> Query::OptionalTime() {
  if (!NextIsNull()) return Time();
  Skip();
  return std::nullopt;
}

bool Query::NextIsNull() const { return statement_.getColumn(column_).isNull(); }

void Query::Bind(int index, std::string_view text) { statement_.bind(index, std::string(text)); }

void Query::Bind(int index, std::span<const std::byte> blob) {
  // A null pointer would bind NULL; an empty blob is a value.
  statement_.bind(index, blob.empty() ? static_cast<const void*>("") : blob.data(), static_cast<int>(blob.size()));
}

}  // namespace tandem
