#include "server/base/retrieval_metrics.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>

namespace tandem {
namespace {

constexpr size_t kDepth = 10;

double DiscountedGain(std::span<const int> gains) {
  double sum = 0;
  for (size_t i = 0; i < std::min(gains.size(), kDepth); ++i) sum += std::max(gains[i], 0) / std::log2(i + 2.0);
  return sum;
}

size_t CountRelevant(std::span<const int> gains) {
  return std::count_if(gains.begin(), gains.end(), [](int gain) { return gain > 0; });
}

// Linear interpolation between the two nearest of the sorted values (numpy's default).
double Quantile(const std::vector<double>& sorted, double q) {
  const double position = q * (sorted.size() - 1);
  const size_t below = static_cast<size_t>(position);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (position - below) * (sorted[above] - sorted[below]);
}

}  // namespace

QueryMetrics MeasureQuery(std::span<const int> gains, std::span<const int> judged) {
  QueryMetrics metrics;
  const size_t relevant = CountRelevant(judged);
  if (relevant == 0) return metrics;
  std::vector<int> ideal(judged.begin(), judged.end());
  std::sort(ideal.begin(), ideal.end(), std::greater<int>());
  metrics.ndcg_at_10 = DiscountedGain(gains) / DiscountedGain(ideal);
  const std::span<const int> top = gains.subspan(0, std::min(gains.size(), kDepth));
  metrics.recall_at_10 = static_cast<double>(CountRelevant(top)) / relevant;
  metrics.recall_at_1 = static_cast<double>(CountRelevant(top.subspan(0, std::min<size_t>(top.size(), 1)))) / relevant;
  const auto first = std::find_if(top.begin(), top.end(), [](int gain) { return gain > 0; });
  if (first != top.end()) metrics.mrr_at_10 = 1.0 / (first - top.begin() + 1);
  return metrics;
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

PairedDifference PairedBootstrap(std::span<const double> a, std::span<const double> b, int resamples, uint64_t seed) {
  const size_t n = a.size();
  std::vector<double> differences(n);
  for (size_t i = 0; i < n; ++i) differences[i] = a[i] - b[i];
  PairedDifference result;
  for (double difference : differences) result.mean += difference;
  result.mean /= n;

  // The generator's 64 bits are scaled to [0, n) by hand: std::uniform_int_distribution differs between libraries.
  std::mt19937_64 random(seed);
  std::vector<double> means(resamples);
  for (double& mean : means) {
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += differences[(static_cast<unsigned __int128>(random()) * n) >> 64];
    mean = sum / n;
  }
  std::sort(means.begin(), means.end());
  result.lower = Quantile(means, 0.025);
  result.upper = Quantile(means, 0.975);
  return result;
}

}  // namespace tandem
