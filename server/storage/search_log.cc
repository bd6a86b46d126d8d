#include "server/storage/search_log.h"

#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include <spdlog/spdlog.h>
#include <nlohmann/json.hpp>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/storage/database.h"

namespace tandem {

namespace {

constexpr size_t kFlushAt = 256;
constexpr size_t kMostWaiting = 65'536;
constexpr int kPrunedAtOnce = 5'000;  // So that a lookup gets its turn.

// Hits are [[commit, "id"], ...]. Never change a migration that was released.
constexpr const char* kMigrations[] = {
    "CREATE TABLE searches (place INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT NOT NULL, search_id TEXT NOT NULL,"
    "  collection TEXT NOT NULL, time_us INTEGER NOT NULL, query TEXT NOT NULL, hits TEXT NOT NULL,"
    "  UNIQUE (tenant, search_id)) STRICT;"
    "CREATE INDEX searches_by_time ON searches (time_us)",
};

std::string PackHits(const std::vector<LoggedSearch::Hit>& hits) {
  nlohmann::json json = nlohmann::json::array();
  for (const LoggedSearch::Hit& hit : hits) json.push_back({hit.commit, hit.document});
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

absl::StatusOr<std::vector<LoggedSearch::Hit>> UnpackHits(const std::string& text) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  std::vector<LoggedSearch::Hit> hits;
  for (const nlohmann::json& hit : json) {
    if (!hit.is_array() || hit.size() != 2 || !hit[0].is_number_integer() || !hit[1].is_string()) {
      return absl::DataLossError("search_log.db: hits of another form");
    }
    hits.push_back({hit[0].get<int64_t>(), hit[1].get<std::string>()});
  }
  return hits;
}

absl::StatusOr<std::unique_ptr<Database>> OpenOrMakeAnew(const std::filesystem::path& path) {
  absl::StatusOr<std::unique_ptr<Database>> database = Database::Open(path, kMigrations, Durability::kProcess);
  if (!absl::IsDataLoss(database.status())) return database;
  for (const char* suffix : {"", "-wal", "-shm"}) {
    std::error_code ignored;
    std::filesystem::remove(Concat(path.string(), suffix), ignored);
  }
  return Database::Open(path, kMigrations, Durability::kProcess);
}

}  // namespace

struct SearchLog::Rep {
  void FlushLoop();
  void Flush();
  absl::Status Write(const std::vector<LoggedSearch>& searches);
  absl::Status Prune();
  std::optional<LoggedSearch> FindWaiting(std::string_view tenant, std::string_view search_id);

  SearchLogOptions options;
  std::unique_ptr<Database> db;

  absl::Mutex mutex;
  std::vector<LoggedSearch> waiting ABSL_GUARDED_BY(mutex);
  std::vector<LoggedSearch> writing ABSL_GUARDED_BY(mutex);  // By the flush that is under way; still to be found.
  int64_t dropped ABSL_GUARDED_BY(mutex) = 0;
  bool stopping ABSL_GUARDED_BY(mutex) = false;
  std::thread thread;
};

absl::Status SearchLog::Rep::Write(const std::vector<LoggedSearch>& searches) {
  return db->Write([&](Database& database) -> absl::Status {
    for (const LoggedSearch& search : searches) {
      Query(database,
            "INSERT OR REPLACE INTO searches (tenant, search_id, collection, time_us, query, hits)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            search.tenant, search.search_id, search.collection, search.time, search.query, PackHits(search.hits))
          .Run();
    }
    return absl::OkStatus();
  });
}

absl::Status SearchLog::Rep::Prune() {
  return db->Write([&](Database& database) -> absl::Status {
    Query(database,
          "DELETE FROM searches WHERE place IN"
          " (SELECT place FROM searches WHERE time_us < ? ORDER BY time_us LIMIT ?)",
          absl::Now() - options.max_age, kPrunedAtOnce)
        .Run();
    Query(database,
          "DELETE FROM searches WHERE place IN (SELECT place FROM searches"
          " WHERE place <= (SELECT max(place) FROM searches) - ? ORDER BY place LIMIT ?)",
          options.max_searches, kPrunedAtOnce)
        .Run();
    return absl::OkStatus();
  });
}

void SearchLog::Rep::Flush() {
  std::vector<LoggedSearch> searches;
  int64_t lost = 0;
  {
    absl::MutexLock lock(&mutex);
    writing.swap(waiting);
    searches = writing;
    std::swap(lost, dropped);
  }
  absl::Status status = searches.empty() ? absl::OkStatus() : Write(searches);
  {
    absl::MutexLock lock(&mutex);
    writing.clear();
  }
  if (status.ok()) status = Prune();
  if (!status.ok()) spdlog::warn("the log of searches: {}", status.ToString());
  if (lost > 0) spdlog::warn("the log of searches: {} were not taken, the disk is too slow", lost);
}

void SearchLog::Rep::FlushLoop() {
  while (true) {
    bool last = false;
    {
      absl::MutexLock lock(&mutex);
      const auto due = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex) { return stopping || waiting.size() >= kFlushAt; };
      mutex.AwaitWithTimeout(absl::Condition(&due), options.flush_every);
      last = stopping;
    }
    Flush();
    if (last) return;
  }
}

std::optional<LoggedSearch> SearchLog::Rep::FindWaiting(std::string_view tenant, std::string_view search_id) {
  absl::ReaderMutexLock lock(&mutex);
  for (const std::vector<LoggedSearch>* const searches : {&waiting, &writing}) {
    for (const LoggedSearch& search : *searches) {
      if (search.search_id == search_id && search.tenant == tenant) return search;
    }
  }
  return std::nullopt;
}

SearchLog::SearchLog(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}

SearchLog::~SearchLog() {
  {
    absl::MutexLock lock(&rep_->mutex);
    rep_->stopping = true;
  }
  rep_->thread.join();
}

absl::StatusOr<std::unique_ptr<SearchLog>> SearchLog::Open(const std::filesystem::path& path,
                                                           const SearchLogOptions& options) {
  auto rep = std::make_unique<Rep>();
  rep->options = options;
  ASSIGN_OR_RETURN(rep->db, OpenOrMakeAnew(path));
  rep->thread = std::thread([rep = rep.get()] { rep->FlushLoop(); });
  return std::unique_ptr<SearchLog>(new SearchLog(std::move(rep)));
}

void SearchLog::Add(LoggedSearch search) {
  absl::MutexLock lock(&rep_->mutex);
  if (rep_->waiting.size() >= kMostWaiting) {
    ++rep_->dropped;
  } else {
    rep_->waiting.push_back(std::move(search));
  }
}

absl::StatusOr<LoggedSearch> SearchLog::Find(std::string_view tenant, std::string_view search_id) {
  // The file after the memory: a flush moves entries that way.
  if (std::optional<LoggedSearch> search = rep_->FindWaiting(tenant, search_id)) return *std::move(search);
  return rep_->db->Read([&](Database& db) -> absl::StatusOr<LoggedSearch> {
    Query row(db, "SELECT collection, time_us, query, hits FROM searches WHERE tenant = ? AND search_id = ?", tenant,
              search_id);
    if (!row.Next()) {
      return absl::NotFoundError(Concat("search_id \"", search_id, "\": is not in the log of searches (any more)"));
    }
    LoggedSearch search;
    search.tenant = tenant;
    search.search_id = search_id;
    search.collection = row.Text();
    search.time = row.Time();
    search.query = row.Text();
    ASSIGN_OR_RETURN(search.hits, UnpackHits(row.Text()));
    return search;
  });
}

absl::Status SearchLog::Forget(std::string_view tenant, std::string_view collection) {
  {
    absl::MutexLock lock(&rep_->mutex);
    std::erase_if(rep_->waiting, [&](const LoggedSearch& search) {
      return search.tenant == tenant && search.collection == collection;
    });
  }
  return rep_->db->Write([&](Database& db) -> absl::Status {
    Query(db, "DELETE FROM searches WHERE tenant = ? AND collection = ?", tenant, collection).Run();
    return absl::OkStatus();
  });
}

}  // namespace tandem
