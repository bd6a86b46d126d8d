#pragma once
// Short work: a query becomes a vector by the live release's encoder, the vector becomes labels by its index, and the
// labels become documents. All searches of one call are answered by one release at one commit. Thread-safe; blocks the
// caller.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "server/encoder/embedding_queue.h"
#include "server/release/collections.h"
#include "server/search/fusion.h"
#include "server/storage/filter.h"
#include "server/storage/records.h"

namespace tandem {

struct TextQuery {
  std::string text;
};
struct VectorQuery {
  std::vector<float> vector;
  std::string model, revision;  // Must be the live release's; empty in an EXTERNAL collection.
};
struct DocumentsQuery {
  std::vector<std::string> ids;
};

struct RecommendExample {
  std::string document;  // Its id; empty: the text.
  std::string text;      // Embedded as a query.
};
// Near the mean of the positives and away from that of the negatives: p + (p - n).
struct RecommendQuery {
  std::vector<RecommendExample> positives, negatives;
};

enum class SearchMode { kVector, kKeyword, kHybrid };  // The latter two: of a TextQuery.

struct HybridOptions {
  Fusion fusion;
  std::optional<int> candidates;  // Of each half; 100, or as many hits as are wanted where they are more.
};
// At most `size` hits with the same first value of the field; a hit without one is a group of its own.
struct GroupBy {
  std::string field;
  int size = 1;
};
// Of kVector searches without groups: see diversity.h.
struct Diversity {
  double lambda = 0.5;
  std::optional<int> candidates;  // As HybridOptions::candidates.
};

struct SearchQuery {
  std::variant<TextQuery, VectorQuery, DocumentsQuery, RecommendQuery> query;
  SearchMode mode = SearchMode::kVector;
  HybridOptions hybrid;
  std::optional<Filter> filter;
  int top_k = 10;
  int offset = 0;
  std::optional<float> min_score;
  std::optional<double> min_relevance;                  // Of a text query in the mode kVector.
  std::optional<int> ef_search, nprobe, rerank_factor;  // Of the index's kind; refused where it has none.
  bool exact = false;                                   // Every vector is scored.
  std::optional<GroupBy> group_by;
  std::optional<Diversity> diversity;
  bool with_documents = true;
  bool with_text = true, with_payload = true;  // Of documents: what the reply carries of them, at least in part.
};

struct SearchHit {
  std::string id;
  float score = 0;
  std::optional<float> vector_score, keyword_score;  // Of hybrid searches.
  DocumentVersion document;                          // Text and payload only when asked for.
};

struct SearchAnswer {
  std::string search_id;
  std::vector<SearchHit> hits;
  bool truncated = false;
  // Of a text query, when the release has one: what its scores mean.
  std::optional<PlattScaling> calibration;
};

struct SearchAnswers {
  std::string release;  // Id.
  int64_t commit = 0;
  std::vector<SearchAnswer> answers;  // One per query, in order.
};

// Of all searches of one call.
struct SearchTerms {
  std::optional<int64_t> min_commit;  // Waits for it, which ends when the caller is gone.
  Patience patience;
  int64_t max_reply_bytes = INT64_MAX;  // RESOURCE_EXHAUSTED when the hits take more, before all are read.
};

class Searcher {
 public:
  Searcher(Collections* collections, EmbeddingQueue* queue);

  // Field paths in errors are those of SearchRequest ("text", "vector.model_revision", "documents.ids[2]"), with
  // "searches[i]." in front when there are several queries.
  absl::StatusOr<SearchAnswers> Search(std::string_view tenant, std::string_view collection,
                                       const std::vector<SearchQuery>& queries, const SearchTerms& terms);

 private:
  Collections* const collections_;
  EmbeddingQueue* const queue_;
};

}  // namespace tandem
