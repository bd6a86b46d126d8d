#pragma once
// How sure a measured figure is: percentile bootstrap (Efron and Tibshirani 1993, chapter 13), the intervals of
// scipy.stats.bootstrap(method="percentile"). Deterministic for a seed, on every platform.

#include <cstdint>
#include <span>

namespace tandem {

struct BootstrapOptions {
  int resamples = 10000;
  uint64_t seed = 1;
  double confidence = 0.95;  // In (0, 1).
};

struct Interval {
  double value = 0;             // Of the sample itself.
  double lower = 0, upper = 0;  // Quantiles of the resampled values, (1 -+ confidence) / 2.
};

// REQUIRES: at least one value.
Interval BootstrapMean(std::span<const double> values, const BootstrapOptions& options = {});

// Spearman's correlation (similarity_metrics.h); pairs are drawn together. REQUIRES: as many of both, at least one.
Interval BootstrapSpearman(std::span<const double> x, std::span<const double> y, const BootstrapOptions& options = {});

// The mean of a[i] - b[i], of two systems on the same queries (paired as in Sakai 2006), with its 95% interval.
// REQUIRES: as many of both, at least one.
struct PairedDifference {
  double mean = 0, lower = 0, upper = 0;
};
PairedDifference PairedBootstrap(std::span<const double> a, std::span<const double> b, int resamples = 10000,
                                 uint64_t seed = 1);

// A figure of a system before and after a change, on the same elements, and `after` - `before`. A resample draws the
// same elements of both, so that what is hard for both does not blur the difference. Element i is before[i], after[i]
// and, where there is one, target[i]. A resample of which a correlation or the average precision is not defined counts
// as 0, as in the figures themselves. Time is linear in resamples * elements. REQUIRES: as many of each, at least one.
struct ComparedFigure {
  Interval before, after, difference;
};
ComparedFigure CompareMeans(std::span<const double> before, std::span<const double> after,
                            const BootstrapOptions& options = {});
// Correlations with the target (similarity_metrics.h).
ComparedFigure CompareSpearman(std::span<const double> before, std::span<const double> after,
                               std::span<const double> target, const BootstrapOptions& options = {});
ComparedFigure ComparePearson(std::span<const double> before, std::span<const double> after,
                              std::span<const double> target, const BootstrapOptions& options = {});
// AveragePrecision (pair_metrics.h).
ComparedFigure CompareAveragePrecision(std::span<const double> before, std::span<const double> after,
                                       std::span<const char> similar, const BootstrapOptions& options = {});

}  // namespace tandem
