#pragma once
// From a prepared query to labels: the vector half, the keyword half or both, among the documents that the filter holds
// for; then diversity, groups, the lowest score and the offset.

#include <span>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "index/vector_index.h"
#include "server/search/fusion.h"
#include "server/search/searcher.h"
#include "server/storage/document_store.h"

namespace tandem {

// What the search of one query stands on; all outlive it.
struct Retrieval {
  const IndexSnapshot& snapshot;
  VectorMetric metric;
  DocumentStore& documents;
  const SearchQuery& query;
  std::span<const float> vector;        // Empty in SearchMode::kKeyword.
  const std::vector<int64_t>& exclude;  // Labels that are no hits.
  absl::Time deadline;
};

// Whether a collection can be asked that: InvalidField on fields of SearchRequest ("filter.must[0].field.field",
// "group_by.field"); FAILED_PRECONDITION when keywords are asked for and it has no keyword index.
absl::Status CheckAskable(const DocumentStoreOptions& collection, const SearchQuery& query);

// The hits after the offset, in the order of the answer. REQUIRES: CheckAskable.
absl::StatusOr<std::vector<FoundHit>> Retrieve(const Retrieval& retrieval);

}  // namespace tandem
