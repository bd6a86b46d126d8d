#pragma once
// BM25 (Robertson and Zaragoza 2009, k1 1.2, b 0.75) as a function of FTS5, with the inverse document frequency of
// Lucene, log(1 + (N - n + 0.5) / (n + 0.5)): it is above 0 for words that most documents have, too, so that small
// collections are ranked; FTS5's own bm25() makes such words worth nothing.

#include "absl/status/status.h"

struct sqlite3;

namespace tandem {

// Makes word_score(table) known to a connection: higher is better. While a query runs, *bound is what no document can
// reach: the sum over its words of idf * (k1 + 1). It outlives the connection.
absl::Status RegisterWordScore(sqlite3* connection, double* bound);

}  // namespace tandem
