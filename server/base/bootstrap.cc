#include "server/base/bootstrap.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <random>
#include <vector>

#include "server/base/similarity_metrics.h"

namespace tandem {
namespace {

// Linear interpolation between the two nearest of the sorted values (numpy's default).
double Quantile(const std::vector<double>& sorted, double q) {
  const double position = q * static_cast<double>(sorted.size() - 1);
  const size_t below = static_cast<size_t>(position);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (position - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

// `resampled(draw)` is the figure of one resample; draw() is the index of one of its `n` elements.
template <typename Resampled>
Interval Resample(double value, size_t n, const BootstrapOptions& options, Resampled resampled) {
  // The generator's 64 bits are scaled to [0, n) by hand: std::uniform_int_distribution differs between libraries.
  std::mt19937_64 random(options.seed);
  const auto draw = [&]() { return static_cast<size_t>((static_cast<unsigned __int128>(random()) * n) >> 64); };
  std::vector<double> values(static_cast<size_t>(options.resamples));
  for (double& figure : values) figure = resampled(draw);
  std::sort(values.begin(), values.end());
  const double tail = (1 - options.confidence) / 2;
  return {.value = value, .lower = Quantile(values, tail), .upper = Quantile(values, 1 - tail)};
}

}  // namespace

Interval BootstrapMean(std::span<const double> values, const BootstrapOptions& options) {
  const size_t n = values.size();
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(n);
  return Resample(mean, n, options, [&](const auto& draw) {
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += values[draw()];
    return sum / static_cast<double>(n);
  });
}

Interval BootstrapSpearman(std::span<const double> x, std::span<const double> y, const BootstrapOptions& options) {
  std::vector<double> drawn_x(x.size()), drawn_y(y.size());
  return Resample(Spearman(x, y), x.size(), options, [&](const auto& draw) {
    for (size_t i = 0; i < x.size(); ++i) {
      const size_t pair = draw();
      drawn_x[i] = x[pair];
      drawn_y[i] = y[pair];
    }
    return Spearman(drawn_x, drawn_y);
  });
}

PairedDifference PairedBootstrap(std::span<const double> a, std::span<const double> b, int resamples, uint64_t seed) {
  std::vector<double> differences(a.size());
  for (size_t i = 0; i < a.size(); ++i) differences[i] = a[i] - b[i];
  const Interval interval = BootstrapMean(differences, {.resamples = resamples, .seed = seed});
  return {.mean = interval.value, .lower = interval.lower, .upper = interval.upper};
}

}  // namespace tandem
