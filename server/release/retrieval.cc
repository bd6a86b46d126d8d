#include "server/release/retrieval.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "index/vector_index.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

constexpr size_t kLabelsAtOnce = 1024;  // Looked up in one statement.

// Document id of each label, for the labels of many queries.
absl::StatusOr<std::unordered_map<int64_t, std::string>> DocumentIds(
    DocumentStore* documents, const std::vector<std::vector<ScoredLabel>>& hits) {
  std::vector<int64_t> labels;
  for (const std::vector<ScoredLabel>& list : hits) {
    for (const ScoredLabel& hit : list) labels.push_back(hit.label);
  }
  std::sort(labels.begin(), labels.end());
  labels.erase(std::unique(labels.begin(), labels.end()), labels.end());
  std::unordered_map<int64_t, std::string> ids;
  for (size_t first = 0; first < labels.size(); first += kLabelsAtOnce) {
    const auto chunk = std::span(labels).subspan(first, std::min(kLabelsAtOnce, labels.size() - first));
    ASSIGN_OR_RETURN(std::vector<DocumentVersion> versions, documents->ReadVersions(chunk, /*with_text=*/false));
    for (DocumentVersion& version : versions) ids[version.commit] = std::move(version.id);
  }
  return ids;
}

}  // namespace

absl::StatusOr<std::vector<float>> EmbedQueries(const ActiveRelease& release, std::span<const std::string> texts,
                                                EmbeddingQueue* queue, absl::Time deadline) {
  if (release.encoder == nullptr) {
    return absl::FailedPreconditionError(Concat("release ", release.id, " has no encoder: it cannot embed texts"));
  }
  ASSIGN_OR_RETURN(EmbeddedTexts embedded,
                   queue->Embed(release.encoder, texts, InputRole::kQuery, EmbeddingPriority::kBulk, deadline));
  return std::move(embedded.vectors);
}

absl::StatusOr<std::vector<std::vector<RetrievedDocument>>> Retrieve(const IndexSnapshot& snapshot,
                                                                     std::span<const float> vectors, int k,
                                                                     DocumentStore* documents) {
  const auto dimensions = static_cast<size_t>(snapshot.dimensions());
  VectorSearch search;
  search.k = k;
  std::vector<std::vector<ScoredLabel>> found;
  for (size_t first = 0; first < vectors.size(); first += dimensions) {
    ASSIGN_OR_RETURN(found.emplace_back(), snapshot.Search(vectors.subspan(first, dimensions), search));
  }
  ASSIGN_OR_RETURN(const auto ids, DocumentIds(documents, found));
  std::vector<std::vector<RetrievedDocument>> retrieved(found.size());
  for (size_t i = 0; i < found.size(); ++i) {
    for (const ScoredLabel& hit : found[i]) retrieved[i].push_back({ids.at(hit.label), hit.score});
  }
  return retrieved;
}

std::vector<int> GradesOf(const EvaluationQuery& query, std::span<const RetrievedDocument> hits) {
  std::unordered_map<std::string_view, int> judged;
  for (const Judgement& judgement : query.judgements) judged[judgement.document] = judgement.grade;
  std::vector<int> grades;
  for (const RetrievedDocument& hit : hits) {
    const auto found = judged.find(hit.id);
    grades.push_back(found == judged.end() ? 0 : found->second);
  }
  return grades;
}

QueryMetrics Judge(const EvaluationQuery& query, std::span<const RetrievedDocument> hits) {
  std::vector<int> judged;
  for (const Judgement& judgement : query.judgements) judged.push_back(judgement.grade);
  return MeasureQuery(GradesOf(query, hits), judged);
}

}  // namespace tandem
