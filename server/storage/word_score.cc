#include "server/storage/word_score.h"

#include <sqlite3.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/storage/word_tokenizer.h"

namespace tandem {
namespace {

constexpr double kK1 = 1.2;
constexpr double kB = 0.75;

// What is the same for all rows of one query.
struct Ranking {
  double average_length = 1;
  std::vector<double> idf;  // By phrase.
  std::vector<int> in_row;  // Scratch: how often the row has each phrase.
};

int CountRow(const Fts5ExtensionApi*, Fts5Context*, void* count) {
  ++*static_cast<int64_t*>(count);
  return SQLITE_OK;
}

int MakeRanking(const Fts5ExtensionApi* api, Fts5Context* fts, std::unique_ptr<Ranking>* out) {
  auto ranking = std::make_unique<Ranking>();
  sqlite3_int64 rows = 0, tokens = 0;
  if (const int error = api->xRowCount(fts, &rows); error != SQLITE_OK) return error;
  if (const int error = api->xColumnTotalSize(fts, -1, &tokens); error != SQLITE_OK) return error;
  if (rows > 0 && tokens > 0) ranking->average_length = static_cast<double>(tokens) / static_cast<double>(rows);
  const int phrases = api->xPhraseCount(fts);
  for (int i = 0; i < phrases; ++i) {
    int64_t having = 0;
    if (const int error = api->xQueryPhrase(fts, i, &having, CountRow); error != SQLITE_OK) return error;
    ranking->idf.push_back(
        std::log(1 + (static_cast<double>(rows - having) + 0.5) / (static_cast<double>(having) + 0.5)));
  }
  ranking->in_row.resize(static_cast<size_t>(phrases));
  *out = std::move(ranking);
  return SQLITE_OK;
}

int ScoreRow(const Fts5ExtensionApi* api, Fts5Context* fts, Ranking& ranking, double* score) {
  std::fill(ranking.in_row.begin(), ranking.in_row.end(), 0);
  int places = 0, length = 0;
  if (const int error = api->xInstCount(fts, &places); error != SQLITE_OK) return error;
  for (int i = 0; i < places; ++i) {
    int phrase = 0, column = 0, offset = 0;
    if (const int error = api->xInst(fts, i, &phrase, &column, &offset); error != SQLITE_OK) return error;
    ++ranking.in_row[static_cast<size_t>(phrase)];
  }
  if (const int error = api->xColumnSize(fts, -1, &length); error != SQLITE_OK) return error;
  const double norm = kK1 * (1 - kB + kB * length / ranking.average_length);
  for (size_t i = 0; i < ranking.idf.size(); ++i) {
    const double count = ranking.in_row[i];
    *score += ranking.idf[i] * count * (kK1 + 1) / (count + norm);
  }
  return SQLITE_OK;
}

void WordScore(const Fts5ExtensionApi* api, Fts5Context* fts, sqlite3_context* result, int, sqlite3_value**) {
  auto* ranking = static_cast<Ranking*>(api->xGetAuxdata(fts, 0));
  int error = SQLITE_OK;
  if (ranking == nullptr) {
    std::unique_ptr<Ranking> made;
    error = MakeRanking(api, fts, &made);
    if (error == SQLITE_OK) {
      ranking = made.release();
      error = api->xSetAuxdata(fts, ranking, [](void* old) { delete static_cast<Ranking*>(old); });
      auto* bound = static_cast<double*>(api->xUserData(fts));
      *bound = 0;
      if (error == SQLITE_OK) {
        for (const double idf : ranking->idf) *bound += idf * (kK1 + 1);
      }
    }
  }
  double score = 0;
  if (error == SQLITE_OK) error = ScoreRow(api, fts, *ranking, &score);
  if (error == SQLITE_OK) {
    sqlite3_result_double(result, score);
  } else {
    sqlite3_result_error_code(result, error);
  }
}

}  // namespace

absl::Status RegisterWordScore(sqlite3* connection, double* bound) {
  ASSIGN_OR_RETURN(fts5_api* const api, Fts5Api(connection));
  if (api->xCreateFunction(api, "word_score", bound, WordScore, nullptr) == SQLITE_OK) return absl::OkStatus();
  return absl::InternalError(Concat("FTS5: word_score cannot be registered: ", sqlite3_errmsg(connection)));
}

}  // namespace tandem
