#pragma once
// One SQLite connection to meta.db or documents.db with its prepared statements. Inside server/storage only: this is
// the one place that catches SQLiteCpp's exceptions, and no SQLite type goes further than the .cc files of this folder.
//
//   auto name = database->Read([&](Database& db) -> absl::StatusOr<std::string> {
//     Query row(db, "SELECT display_name FROM datasets WHERE tenant = ? AND id = ?", tenant, id);
//     if (!row.Next()) return absl::NotFoundError(...);
//     return row.Text();
//   });
//
// Thread-safe: Read and Write hold the connection's mutex while their body runs. A body must not call Read or Write
// again.

#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <SQLiteCpp/SQLiteCpp.h>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace tandem {

// What an OK after a change outlives: a loss of power, or an end of the process only.
enum class Durability { kPower, kProcess };

class Database {
 public:
  // Opens for writing, creates the file when it is not there, and brings it to the newest format: `migrations[n]` takes
  // it from format n to n + 1, and user_version holds the format. FAILED_PRECONDITION when the file's format is newer.
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::filesystem::path& path,
                                                        std::span<const char* const> migrations,
                                                        Durability durability = Durability::kPower);
  // A second connection, beside an open one that writes.
  static absl::StatusOr<std::unique_ptr<Database>> OpenReadOnly(const std::filesystem::path& path);

  // Runs `body(Database&)`, which returns a Status or StatusOr, and turns SQLite's exceptions into a Status.
  template <typename Body>
  std::invoke_result_t<Body&, Database&> Read(Body body) {
    absl::MutexLock lock(&mutex_);
    try {
      return body(*this);
    } catch (const std::exception& error) {
      return ToStatus(error);
    }
  }

  // The same in one transaction that is committed when the body's result is OK and rolled back otherwise.
  template <typename Body>
  std::invoke_result_t<Body&, Database&> Write(Body body) {
    absl::MutexLock lock(&mutex_);
    try {
      SQLite::Transaction transaction(connection_, SQLite::TransactionBehavior::IMMEDIATE);
      auto result = body(*this);
      if (result.ok()) transaction.commit();
      return result;
    } catch (const std::exception& error) {
      return ToStatus(error);
    }
  }

  // Copies the database, as it is at one moment, into the new file `to`, which nobody else has open. Other connections
  // read and write meanwhile; what they write stays in the write-ahead log until this ends. `proceed` gets bytes done
  // and all, every few MiB; its error ends the copy and is returned.
  absl::Status CopyTo(const std::filesystem::path& to,
                      const std::function<absl::Status(int64_t done, int64_t all)>& proceed);

  // Of the last INSERT; of the last INSERT, UPDATE or DELETE. Only inside a body.
  int64_t LastRowId() { return connection_.getLastInsertRowid(); }
  // For what SQLiteCpp has no call for. Only inside a body.
  sqlite3* handle() { return connection_.getHandle(); }
  // What word_score.h says of the last query that was scored. Only inside its body.
  double word_score_bound() const { return word_score_bound_; }

 private:
  friend class Query;
  Database(std::filesystem::path path, int flags);
  void Configure(Durability durability);
  absl::Status RegisterWords();
  absl::Status Migrate(std::span<const char* const> migrations);
  absl::Status ToStatus(const std::exception& error) const;
  SQLite::Statement& Prepared(std::string_view sql);

  const std::filesystem::path path_;
  absl::Mutex mutex_;
  double word_score_bound_ = 0;
  SQLite::Database connection_;
  std::map<std::string, std::unique_ptr<SQLite::Statement>, std::less<>> statements_;
};

// One run of a prepared statement: binds on construction, gives its rows, resets on destruction. Column readers go from
// left to right, one column a call, anew after each Next. Lvalue strings are bound without a copy and must outlive the
// Query. Only inside a body of Read or Write; the same SQL must not run twice at once.
class Query {
 public:
  template <typename... Values>
  Query(Database& db, std::string_view sql, Values&&... values) : statement_(db.Prepared(sql)) {
    int index = 0;
    (Bind(++index, std::forward<Values>(values)), ...);
  }
  ~Query();
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  bool Next();  // False after the last row.
  void Run() {
    while (Next()) continue;
  }

  int64_t Int();
  double Real();
  bool Bool() { return Int() != 0; }
  std::string Text();  // Text or blob, NUL bytes included.
  absl::Time Time() { return absl::FromUnixMicros(Int()); }
  std::optional<absl::Time> OptionalTime();
  bool NextIsNull() const;  // The column that the next reader gives; it is not passed.
  void Skip() { ++column_; }
  // The bytes of the next blob; valid until Next.
  std::string_view Blob();

 private:
  // Counted text; a string_view of a temporary is fine, SQLite copies it.
  void Bind(int index, std::string_view text);
  void Bind(int index, const std::string& text) { statement_.bindNoCopy(index, text); }
  void Bind(int index, std::string& text) { statement_.bindNoCopy(index, text); }
  void Bind(int index, std::string&& text) { statement_.bind(index, text); }
  void Bind(int index, const char* text) { Bind(index, std::string_view(text)); }
  void Bind(int index, int value) { statement_.bind(index, value); }
  void Bind(int index, int64_t value) { statement_.bind(index, value); }
  void Bind(int index, bool value) { statement_.bind(index, value ? 1 : 0); }
  void Bind(int index, double value) { statement_.bind(index, value); }
  void Bind(int index, absl::Time time) { statement_.bind(index, int64_t{absl::ToUnixMicros(time)}); }
  void Bind(int index, std::span<const std::byte> blob);
  template <typename T>
  void Bind(int index, const std::optional<T>& value) {
    if (value) {
      Bind(index, *value);
    } else {
      statement_.bind(index);
    }
  }
  template <typename Enum>
  requires std::is_enum_v<Enum>
  void Bind(int index, Enum value) { statement_.bind(index, static_cast<int>(value)); }

  SQLite::Statement& statement_;
  int column_ = 0;
};

}  // namespace tandem
