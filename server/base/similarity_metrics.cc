#include "server/base/similarity_metrics.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>

namespace tandem {

std::vector<double> AverageRanks(std::span<const double> values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (size_t begin = 0; begin < order.size();) {
    size_t end = begin + 1;
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    const double rank = static_cast<double>(begin + 1 + end) / 2;  // Mean of begin + 1 .. end.
    for (size_t i = begin; i < end; ++i) ranks[order[i]] = rank;
    begin = end;
  }
  return ranks;
}

double Pearson(std::span<const double> x, std::span<const double> y) {
  const double n = static_cast<double>(x.size());
  if (x.size() < 2) return 0;
  const double mean_x = std::accumulate(x.begin(), x.end(), 0.0) / n;
  const double mean_y = std::accumulate(y.begin(), y.end(), 0.0) / n;
  double xx = 0, yy = 0, xy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double dx = x[i] - mean_x, dy = y[i] - mean_y;
    xx += dx * dx;
    yy += dy * dy;
    xy += dx * dy;
  }
  if (xx == 0 || yy == 0) return 0;
  return std::clamp(xy / (std::sqrt(xx) * std::sqrt(yy)), -1.0, 1.0);
}

double Spearman(std::span<const double> x, std::span<const double> y) {
  return Pearson(AverageRanks(x), AverageRanks(y));
}

SimilarityMetrics MeasureSimilarity(std::span<const double> similarities, std::span<const double> scores) {
  return {.spearman = Spearman(similarities, scores), .pearson = Pearson(similarities, scores)};
}

}  // namespace tandem
