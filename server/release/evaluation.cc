#include "server/release/evaluation.h"

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "index/vector_index.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/release/retrieval.h"

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
  std::vector<QueryMetrics> metrics;
  std::vector<JudgedScore> scores;
  std::vector<float> recall_queries;
  const size_t recall_floats = kRecallQueries * static_cast<size_t>(snapshot.dimensions());
  for (size_t first = 0; first < queries.size(); first += kQueriesAtOnce) {
    RETURN_IF_ERROR(MayGoOn(patience, stop, first, queries.size()));
    const auto chunk = queries.subspan(first, std::min(kQueriesAtOnce, queries.size() - first));
    std::vector<std::string> texts;
    for (const EvaluationQuery& query : chunk) texts.push_back(query.text);
    ASSIGN_OR_RETURN(const std::vector<float> vectors, EmbedQueries(release, texts, queue, patience.deadline));
    ASSIGN_OR_RETURN(const auto hits, Retrieve(snapshot, vectors, kTopK, documents));
    for (size_t i = 0; i < chunk.size(); ++i) {
      metrics.push_back(Judge(chunk[i], hits[i]));
      const std::vector<int> grades = GradesOf(chunk[i], hits[i]);
      for (size_t j = 0; j < grades.size(); ++j) {
        scores.push_back({hits[i][j].score, grades[j] > 0, static_cast<int64_t>(first + i)});
      }
    }
    const size_t wanted = std::min(vectors.size(), recall_floats - recall_queries.size());
    recall_queries.insert(recall_queries.end(), vectors.begin(), vectors.begin() + static_cast<ptrdiff_t>(wanted));
  }
  if (queries.empty()) recall_queries = SampleVectors(snapshot);

  MeasuredRelease measured;
  measured.evaluation.evaluation_set = std::string(evaluation_set);
  measured.evaluation.commit = snapshot.commit();
  measured.evaluation.metrics = Average(metrics);
  measured.evaluation.calibration = Calibrate(scores);
  for (const QueryMetrics& query : metrics) measured.ndcg_at_10.push_back(query.ndcg_at_10);
  ASSIGN_OR_RETURN(measured.evaluation.index_recall_at_10, IndexRecall(snapshot, recall_queries));
  return measured;
}

}  // namespace tandem
