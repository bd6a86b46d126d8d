#pragma once
// How two releases differ on a set of queries: what each ranks and, where the queries are judged, how well. A pure
// computation over the rankings. Not thread-safe.
//
//   ReleaseComparer comparer(/*top_k=*/10, /*judged=*/true);
//   for each query: comparer.Add(query, hits of the first release, hits of the second);
//   ReleaseComparison comparison = comparer.Finish();  // Sides' releases and commits are the caller's.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "server/base/bootstrap.h"
#include "server/base/retrieval_metrics.h"
#include "server/release/retrieval.h"
#include "server/storage/records.h"

namespace tandem {

inline constexpr size_t kMostChangedQueries = 100;
inline constexpr size_t kMostDifferentDocuments = 10;  // Of one query and one side.

struct ReleaseComparison {
  struct Side {
    std::string release;  // Id.
    int64_t commit = 0;
    std::optional<RetrievalMetrics> metrics;  // Of judged queries.
  };
  struct Query {
    std::string text;                                  // Cut to kMostQueryChangeBytes.
    double overlap = 0;                                // Share of the first's top_k that the second has too.
    std::optional<double> first_ndcg, second_ndcg;     // nDCG@10 of a judged query.
    std::vector<std::string> only_first, only_second;  // Ids, best first.
  };
  Side first, second;
  int queries = 0, top_k = 0;
  double overlap_at_k = 0;                            // Mean over queries.
  std::optional<PairedDifference> ndcg, recall, mrr;  // At 10, second minus first; of judged queries.
  std::vector<Query> changed;                         // See ReleaseComparer.
};

// The form reaches disk.
nlohmann::json ToJson(const ReleaseComparison& comparison);
absl::StatusOr<ReleaseComparison> ReleaseComparisonFromJson(const nlohmann::json& json);  // INVALID_ARGUMENT.

class ReleaseComparer {
 public:
  // `judged`: queries have judgements, and those whose nDCG@10 changed most stand in `changed`; else those with the
  // least overlap. Equal ones in the order of the queries; queries without a change are left out.
  ReleaseComparer(int top_k, bool judged) : top_k_(top_k), judged_(judged) {}

  // How many hits of a query the comparer has to see.
  int hits() const;

  // Hits are best first, at most hits() of them.
  void Add(const EvaluationQuery& query, std::span<const RetrievedDocument> first,
           std::span<const RetrievedDocument> second);
  ReleaseComparison Finish();

 private:
  struct Changed {
    double size = 0;
    ReleaseComparison::Query query;
  };
  void Judged(const EvaluationQuery& query, std::span<const RetrievedDocument> first,
              std::span<const RetrievedDocument> second, Changed* changed);
  void KeepMostChanged();

  const int top_k_;
  const bool judged_;
  int queries_ = 0;
  double overlaps_ = 0;
  std::vector<QueryMetrics> first_, second_;
  std::vector<Changed> changed_;  // The most changed so far, and those that came since.
};

}  // namespace tandem
