#pragma once
// search_log.db: what searches answered, so that feedback can name them. Not durable on purpose: a search never waits
// for a disk. Entries are written together, once a second or when 256 have come, and a crash loses those of the last
// second. Old ones go by age and number. A file that cannot be used is made anew. Thread-safe.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace tandem {

struct SearchLogOptions {
  absl::Duration max_age = absl::Hours(7 * 24);
  int64_t max_searches = 1'000'000;
  absl::Duration flush_every = absl::Seconds(1);
};

struct LoggedSearch {
  struct Hit {
    int64_t commit = 0;  // Of the document version that was shown.
    std::string document;
  };
  std::string tenant, collection, search_id;
  absl::Time time;
  std::string query;  // Its text.
  std::vector<Hit> hits;
};

class SearchLog {
 public:
  static absl::StatusOr<std::unique_ptr<SearchLog>> Open(const std::filesystem::path& path,
                                                         const SearchLogOptions& options);
  ~SearchLog();  // Writes what is left.

  // Takes a moment. When the disk is so slow that 65,536 entries wait, new ones are dropped, and the log says so.
  void Add(LoggedSearch search);
  absl::StatusOr<LoggedSearch> Find(std::string_view tenant, std::string_view search_id);  // NOT_FOUND.
  absl::Status Forget(std::string_view tenant, std::string_view collection);

 private:
  struct Rep;
  explicit SearchLog(std::unique_ptr<Rep> rep);
  std::unique_ptr<Rep> rep_;
};

}  // namespace tandem
