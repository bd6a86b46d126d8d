#pragma once
// What a release must answer at a commit, worked out from the commit log and the vectors of texts and nothing else: no
// index, no follower, no server state. Answers are kept while the server runs and dies, and checked at the end.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem::test {

// A Search as it was answered.
struct SearchAnswer {
  std::string release;  // Full name.
  int64_t commit = 0;
  std::string query;
  int top_k = 10;
  struct Hit {
    std::string id;
    float score = 0;
    std::string text;  // Of the document that came with the hit; empty for a view of ids.
  };
  std::vector<Hit> hits;
};

// One version in the commit log.
struct LoggedVersion {
  int64_t commit = 0;
  std::string id;
  std::string text;  // Empty: deleted.
};

// All of the log of a collection's documents.db that no server has open (it was stopped or killed, or it is a copy).
absl::StatusOr<std::vector<LoggedVersion>> ReadCommitLog(const std::filesystem::path& documents_db);

class AnswerOracle {
 public:
  enum class Role { kQuery, kDocument };
  // Vectors of texts by a model revision, for example with the Embed call of a running server.
  using Embed = std::function<absl::StatusOr<std::vector<std::vector<float>>>(
      const std::string& revision, const std::vector<std::string>& texts, Role role)>;

  // `release_revision`: full names. `log` is in the order of commits.
  AnswerOracle(std::vector<LoggedVersion> log, std::map<std::string, std::string> release_revision, Embed embed);

  // What is wrong with `answers`, one line each, at most 20; empty when each one is exact. Two documents may change
  // places when their scores differ by less than a float's error. An error when vectors cannot be had.
  absl::StatusOr<std::vector<std::string>> Check(std::vector<SearchAnswer> answers);

 private:
  struct Document {
    int64_t commit = 0;
    std::string text;
  };
  using Documents = std::map<std::string, Document>;  // By id.
  using Vector = std::vector<float>;

  absl::Status EmbedAll(const std::string& revision, const std::set<std::string>& texts, Role role);
  absl::Status EmbedWhatIsNeeded(const std::vector<SearchAnswer>& answers);
  const Vector& VectorOf(const std::string& revision, const std::string& text, Role role) const;
  std::string CheckOne(const SearchAnswer& answer, const Documents& documents) const;

  const std::vector<LoggedVersion> log_;
  const std::map<std::string, std::string> release_revision_;
  const Embed embed_;
  std::map<std::tuple<std::string, Role, std::string>, Vector> vectors_;  // Of length 1.
};

}  // namespace tandem::test
