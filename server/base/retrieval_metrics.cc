#include "server/base/retrieval_metrics.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

namespace tandem {
namespace {

std::span<const int> First(size_t k, std::span<const int> gains) { return gains.first(std::min(gains.size(), k)); }

double DiscountedGain(std::span<const int> gains) {
  double sum = 0;
  for (size_t i = 0; i < gains.size(); ++i) sum += std::max(gains[i], 0) / std::log2(static_cast<double>(i) + 2);
  return sum;
}

double CountRelevant(std::span<const int> gains) {
  return static_cast<double>(std::count_if(gains.begin(), gains.end(), [](int gain) { return gain > 0; }));
}

}  // namespace

double NdcgAt(size_t k, std::span<const int> gains, std::span<const int> judged) {
  std::vector<int> ideal(judged.begin(), judged.end());
  std::sort(ideal.begin(), ideal.end(), std::greater<int>());
  const double best = DiscountedGain(First(k, ideal));
  return best == 0 ? 0 : DiscountedGain(First(k, gains)) / best;
}

double RecallAt(size_t k, std::span<const int> gains, std::span<const int> judged) {
  const double relevant = CountRelevant(judged);
  return relevant == 0 ? 0 : CountRelevant(First(k, gains)) / relevant;
}

double ReciprocalRankAt(size_t k, std::span<const int> gains) {
  const std::span<const int> top = First(k, gains);
  const auto first = std::find_if(top.begin(), top.end(), [](int gain) { return gain > 0; });
  return first == top.end() ? 0 : 1.0 / static_cast<double>(first - top.begin() + 1);
}

double AveragePrecisionAt(size_t k, std::span<const int> gains, std::span<const int> judged) {
  const double relevant = std::min(CountRelevant(judged), static_cast<double>(k));
  if (relevant == 0) return 0;
  const std::span<const int> top = First(k, gains);
  double sum = 0, found = 0;
  for (size_t i = 0; i < top.size(); ++i) {
    if (top[i] > 0) sum += ++found / static_cast<double>(i + 1);
  }
  return sum / relevant;
}

QueryMetrics MeasureQuery(std::span<const int> gains, std::span<const int> judged) {
  if (CountRelevant(judged) == 0) return {};
  return {.ndcg_at_10 = NdcgAt(10, gains, judged),
          .recall_at_10 = RecallAt(10, gains, judged),
          .mrr_at_10 = ReciprocalRankAt(10, gains),
          .recall_at_1 = RecallAt(1, gains, judged)};
}

RetrievalMetrics Average(std::span<const QueryMetrics> queries) {
  RetrievalMetrics average;
  average.queries = static_cast<int>(queries.size());
  if (queries.empty()) return average;
  for (const QueryMetrics& query : queries) {
    average.ndcg_at_10 += query.ndcg_at_10;
    average.recall_at_10 += query.recall_at_10;
    average.mrr_at_10 += query.mrr_at_10;
    average.recall_at_1 += query.recall_at_1;
  }
  const double count = static_cast<double>(queries.size());
  average.ndcg_at_10 /= count;
  average.recall_at_10 /= count;
  average.mrr_at_10 /= count;
  average.recall_at_1 /= count;
  return average;
}

}  // namespace tandem
