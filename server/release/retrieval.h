#pragma once
// What a release retrieves for query texts, by document id: the common ground of evaluations and comparisons. Blocks
// the caller for as long as embedding and searching takes, at bulk priority.

#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/base/retrieval_metrics.h"
#include "server/encoder/embedding_queue.h"
#include "server/release/collections.h"
#include "server/storage/document_store.h"
#include "server/storage/records.h"

namespace tandem {

struct RetrievedDocument {
  std::string id;
  float score = 0;
};

// Of the release's own encoder, as QUERY; row-major. FAILED_PRECONDITION for a release without encoder.
absl::StatusOr<std::vector<float>> EmbedQueries(const ActiveRelease& release, std::span<const std::string> texts,
                                                EmbeddingQueue* queue, absl::Time deadline);

// The best `k` documents for each of the vectors (row-major), best first. Some tens of queries at once.
absl::StatusOr<std::vector<std::vector<RetrievedDocument>>> Retrieve(const IndexSnapshot& snapshot,
                                                                     std::span<const float> vectors, int k,
                                                                     DocumentStore* documents);

// The grade of each hit; 0 for one that is not judged.
std::vector<int> GradesOf(const EvaluationQuery& query, std::span<const RetrievedDocument> hits);
QueryMetrics Judge(const EvaluationQuery& query, std::span<const RetrievedDocument> hits);

}  // namespace tandem
