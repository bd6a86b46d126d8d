#include "server/release/evaluation.h"

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <unordered_map>
#include <utility>

#include "absl/time/clock.h"
#include "index/vector_index.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

constexpr int kTopK = 10;
constexpr size_t kQueriesAtOnce = 64;      // Embedded and looked up together: at most 640 hits a statement.
constexpr size_t kRecallQueries = 200;     // The index's recall is measured on so many: exact search is the price.
constexpr int kSampleAttempts = 200 * 50;  // Commits tried to find so many stored vectors.

absl::Status MayGoOn(const Patience& patience, const std::atomic<bool>& stop, size_t done, size_t total) {
  if (stop) return absl::CancelledError("the collection is being closed");
  if (patience.IsGone()) return absl::CancelledError("the evaluation was cancelled");
  if (absl::Now() < patience.deadline) return absl::OkStatus();
  return absl::DeadlineExceededError(
      Concat("the evaluation of ", total, " queries was not done at the deadline: ", done, " were"));
}

// Document id of each label of `hits`, for the labels of many queries.
absl::StatusOr<std::unordered_map<int64_t, std::string>> DocumentIds(
    DocumentStore* documents, const std::vector<std::vector<ScoredLabel>>& hits) {
  std::vector<int64_t> labels;
  for (const std::vector<ScoredLabel>& list : hits) {
    for (const ScoredLabel& hit : list) labels.push_back(hit.label);
  }
  std::sort(labels.begin(), labels.end());
  labels.erase(std::unique(labels.begin(), labels.end()), labels.end());
  std::unordered_map<int64_t, std::string> ids;
  if (labels.empty()) return ids;
  ASSIGN_OR_RETURN(std::vector<DocumentVersion> versions, documents->ReadVersions(labels, /*with_text=*/false));
  for (DocumentVersion& version : versions) ids[version.commit] = std::move(version.id);
  return ids;
}

QueryMetrics Judge(const EvaluationQuery& query, const std::vector<ScoredLabel>& hits,
                   const std::unordered_map<int64_t, std::string>& ids) {
  std::vector<int> judged;
  std::unordered_map<std::string_view, int> grades;
  for (const Judgement& judgement : query.judgements) {
    judged.push_back(judgement.grade);
    grades[judgement.document] = judgement.grade;
  }
  std::vector<int> gains;
  for (const ScoredLabel& hit : hits) {
    const auto id = ids.find(hit.label);
    const auto grade = id == ids.end() ? grades.end() : grades.find(id->second);
    gains.push_back(grade == grades.end() ? 0 : grade->second);
  }
  return MeasureQuery(gains, judged);
}

// Stored vectors at random commits, the same for the same snapshot.
std::vector<float> SampleVectors(const IndexSnapshot& snapshot) {
  std::vector<float> sample;
  if (snapshot.size() == 0 || snapshot.commit() < 1) return sample;
  std::mt19937_64 random(1);
  std::uniform_int_distribution<int64_t> commit(1, snapshot.commit());
  size_t found = 0;
  for (int i = 0; i < kSampleAttempts && found < kRecallQueries; ++i) {
    if (const auto vector = snapshot.Vector(commit(random))) {
      sample.insert(sample.end(), vector->begin(), vector->end());
      ++found;
    }
  }
  return sample;
}

absl::StatusOr<double> IndexRecall(const IndexSnapshot& snapshot, std::span<const float> queries) {
  if (snapshot.size() == 0 || queries.empty()) return 1;  // There is nothing that the index could have missed.
  return MeasureRecall(snapshot, queries, kTopK);
}

}  // namespace

absl::StatusOr<MeasuredRelease> Evaluate(const ActiveRelease& release, const IndexSnapshot& snapshot,
                                         DocumentStore* documents, EmbeddingQueue* queue,
                                         std::string_view evaluation_set, std::span<const EvaluationQuery> queries,
                                         const Patience& patience, const std::atomic<bool>& stop) {
  const size_t dimensions = static_cast<size_t>(snapshot.dimensions());
  std::vector<QueryMetrics> metrics;
  std::vector<float> recall_queries;
  VectorSearch search;
  search.k = kTopK;
  for (size_t first = 0; first < queries.size(); first += kQueriesAtOnce) {
    RETURN_IF_ERROR(MayGoOn(patience, stop, first, queries.size()));
    const auto chunk = queries.subspan(first, std::min(kQueriesAtOnce, queries.size() - first));
    std::vector<std::string> texts;
    for (const EvaluationQuery& query : chunk) texts.push_back(query.text);
    ASSIGN_OR_RETURN(const EmbeddedTexts embedded, queue->Embed(release.encoder, texts, InputRole::kQuery,
                                                                EmbeddingPriority::kBulk, patience.deadline));
    std::vector<std::vector<ScoredLabel>> hits;
    for (size_t i = 0; i < chunk.size(); ++i) {
      const std::span<const float> vector(embedded.vectors.data() + i * dimensions, dimensions);
      ASSIGN_OR_RETURN(hits.emplace_back(), snapshot.Search(vector, search));
      if (first + i < kRecallQueries) recall_queries.insert(recall_queries.end(), vector.begin(), vector.end());
    }
    ASSIGN_OR_RETURN(const auto ids, DocumentIds(documents, hits));
    for (size_t i = 0; i < chunk.size(); ++i) metrics.push_back(Judge(chunk[i], hits[i], ids));
  }
  if (queries.empty()) recall_queries = SampleVectors(snapshot);

  MeasuredRelease measured;
  measured.evaluation.evaluation_set = std::string(evaluation_set);
  measured.evaluation.commit = snapshot.commit();
  measured.evaluation.metrics = Average(metrics);
  for (const QueryMetrics& query : metrics) measured.ndcg_at_10.push_back(query.ndcg_at_10);
  ASSIGN_OR_RETURN(measured.evaluation.index_recall_at_10, IndexRecall(snapshot, recall_queries));
  return measured;
}

}  // namespace tandem
