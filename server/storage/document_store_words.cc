// The keyword index: FTS5 over the texts of versions.

#include <algorithm>
#include <queue>

#include <spdlog/spdlog.h>

#include "absl/time/clock.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/storage/document_store_rep.h"
#include "server/storage/word_tokenizer.h"

namespace tandem {

namespace {

constexpr int kFilledAtOnce = 1000;     // Versions a transaction.
constexpr size_t kMostWords = 256;      // Of a query; its encoder does not read many more.
constexpr int kRowsBetweenLooks = 512;  // At the clock.

// FTS5 scores every version that has any of the words, at 2 to 3 microseconds a version and word: words are taken from
// the rarest on until so many places are to be scored, about 0.15 s. What is left out are words that add the least to a
// score; the rarest word of a query is always taken.
constexpr int64_t kFewVersions = 50'000;
constexpr int64_t kMostPlaces = 50'000;
// A count of a common word is taken again when the head has grown by a tenth.
constexpr int64_t kCommonWord = 5'000;

// The best k of the hits offered.
class BestHits {
 public:
  explicit BestHits(size_t k) : k_(k) {}

  void Offer(const DocumentStore::KeywordHit& hit) {
    if (hits_.size() == k_ && !(k_ > 0 && Better(hit, hits_.top()))) return;
    hits_.push(hit);
    if (hits_.size() > k_) hits_.pop();
  }
  std::vector<DocumentStore::KeywordHit> TakeBestFirst() {
    std::vector<DocumentStore::KeywordHit> hits(hits_.size());
    for (auto place = hits.rbegin(); place != hits.rend(); ++place) {
      *place = hits_.top();
      hits_.pop();
    }
    return hits;
  }

 private:
  static bool Better(const DocumentStore::KeywordHit& a, const DocumentStore::KeywordHit& b) {
    return a.score > b.score || (a.score == b.score && a.commit < b.commit);
  }
  struct Order {
    bool operator()(const DocumentStore::KeywordHit& a, const DocumentStore::KeywordHit& b) const {
      return Better(a, b);
    }
  };
  const size_t k_;
  std::priority_queue<DocumentStore::KeywordHit, std::vector<DocumentStore::KeywordHit>, Order> hits_;  // Worst on top.
};

int64_t CountVersions(Database& db, const std::string& word) {
  Query row(db, "SELECT doc FROM word_counts WHERE term = ?", word);
  return row.Next() ? row.Int() : 0;
}

// "word" OR "字" *: quoted, so that nothing of a query is syntax.
std::string MatchExpression(const std::vector<QueryWord>& words) {
  std::string expression;
  for (const QueryWord& word : words) {
    if (!expression.empty()) expression += " OR ";
    expression += '"';
    for (const char c : word.surface) expression.append(c == '"' ? 2 : 1, c);
    expression += '"';
    if (word.prefix) expression += " *";
  }
  return expression;
}

}  // namespace

absl::Status DocumentStore::Rep::FillWords() {
  while (true) {
    ASSIGN_OR_RETURN(const bool done, writer->Write([&](Database& db) -> absl::StatusOr<bool> {
      Counters counters = ReadCounters(db);
      if (counters.words_commit >= counters.head) return true;
      if (counters.words_commit == 0) spdlog::info("{}: making the keyword index", path.string());
      const int64_t last = std::min(counters.head, counters.words_commit + kFilledAtOnce);
      Query(db,
            "INSERT INTO words (rowid, text) SELECT commit_id, text FROM versions"
            " WHERE commit_id > ? AND commit_id <= ? AND deleted = 0",
            counters.words_commit, last)
          .Run();
      counters.words_commit = last;
      WriteCounters(db, counters);
      return false;
    }));
    if (done) return absl::OkStatus();
  }
}

std::vector<QueryWord> DocumentStore::Rep::Affordable(Database& db, std::vector<QueryWord> words, int64_t head) {
  if (head <= kFewVersions) return words;
  std::vector<std::pair<int64_t, size_t>> counts;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& token = words[i].token;
    std::optional<int64_t> known;
    {
      absl::MutexLock lock(&words_mutex);
      const auto found = common_words.find(token);
      if (found != common_words.end() && found->second.head >= head - head / 10) known = found->second.versions;
    }
    const int64_t count = known ? *known : CountVersions(db, token);
    if (!known && count >= kCommonWord) {
      absl::MutexLock lock(&words_mutex);
      common_words[token] = {count, head};
    }
    // A prefix stands for words that were not counted: it is never left out.
    counts.emplace_back(words[i].prefix ? 0 : count, i);
  }
  std::sort(counts.begin(), counts.end());
  std::vector<QueryWord> taken;
  int64_t places = 0;
  for (const auto& [count, i] : counts) {
    places += count;
    if (!taken.empty() && places > kMostPlaces) break;
    taken.push_back(std::move(words[i]));
  }
  return taken;
}

absl::StatusOr<DocumentStore::KeywordHits> DocumentStore::SearchWords(std::string_view query, size_t k,
                                                                      const std::function<bool(int64_t)>& shown,
                                                                      absl::Time deadline) {
  return rep_->Read([&](Database& db) -> absl::StatusOr<KeywordHits> {
    ASSIGN_OR_RETURN(std::vector<QueryWord> words, WordsOfQuery(db.handle(), query, kMostWords));
    words = rep_->Affordable(db, std::move(words), head());
    if (words.empty()) return KeywordHits();
    BestHits best(k);
    const std::string expression = MatchExpression(words);
    Query row(db, "SELECT rowid, word_score(words) FROM words WHERE words MATCH ?", expression);
    for (int64_t rows = 0; row.Next(); ++rows) {
      if (rows % kRowsBetweenLooks == 0 && absl::Now() >= deadline) {
        return absl::DeadlineExceededError(Concat("keyword search: the deadline passed after ", rows, " versions"));
      }
      const int64_t commit = row.Int();
      if (!shown(commit)) continue;
      best.Offer({commit, row.Real()});
    }
    return KeywordHits{best.TakeBestFirst(), db.word_score_bound()};
  });
}

}  // namespace tandem
