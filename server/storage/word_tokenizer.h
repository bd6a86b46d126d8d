#pragma once
// How texts and queries become the words that the keyword index knows, as a tokenizer "tandem" of SQLite's FTS5. Words
// of scripts that write spaces are those of FTS5's unicode61: letters and digits, lower case, diacritics folded, and
// English endings cut by the Porter stemmer. Scripts that do not (Han, Kana, Hangul, Thai, Lao, Khmer, Myanmar) become
// overlapping pairs of characters, and the last character of a run stands alone, too, so that a query of one character
// finds it wherever it stands. Full-width letters and digits are taken for their ASCII forms.
//
// What it makes of a text reaches disk: a change needs a new name and a migration that fills the index again.

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct fts5_api;
struct sqlite3;

namespace tandem {

// Makes the tokenizer known to a connection; needed before its keyword index is touched.
absl::Status RegisterWordTokenizer(sqlite3* connection);

// FTS5's interface on a connection, for the functions that rank.
absl::StatusOr<fts5_api*> Fts5Api(sqlite3* connection);

// A word of a query.
struct QueryWord {
  std::string surface;  // As it stands in the query: to be quoted in a MATCH expression, where it is tokenized again.
  std::string token;    // As it stands in the index.
  bool prefix = false;  // A single character of a run: what begins with it counts.
};

// The different words of a query, in order, at most `most`.
absl::StatusOr<std::vector<QueryWord>> WordsOfQuery(sqlite3* connection, std::string_view query, size_t most);

}  // namespace tandem
