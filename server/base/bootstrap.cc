#include "server/base/bootstrap.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <random>
#include <vector>

namespace tandem {
namespace {

// How often each element was drawn; the sum is their number.
using Counts = std::span<const uint32_t>;

// Linear interpolation between the two nearest of the sorted values (numpy's default).
double Quantile(const std::vector<double>& sorted, double q) {
  const double position = q * static_cast<double>(sorted.size() - 1);
  const size_t below = static_cast<size_t>(position);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (position - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

Interval IntervalOf(double value, std::vector<double> resampled, const BootstrapOptions& options) {
  std::sort(resampled.begin(), resampled.end());
  const double tail = (1 - options.confidence) / 2;
  return {.value = value, .lower = Quantile(resampled, tail), .upper = Quantile(resampled, 1 - tail)};
}

// Calls visit(counts) for each resample of `n` elements.
template <typename Visit>
void Resample(size_t n, const BootstrapOptions& options, Visit visit) {
  // The generator's 64 bits are scaled to [0, n) by hand: std::uniform_int_distribution differs between libraries.
  std::mt19937_64 random(options.seed);
  std::vector<uint32_t> counts(n);
  for (int resample = 0; resample < options.resamples; ++resample) {
    std::fill(counts.begin(), counts.end(), 0);
    for (size_t i = 0; i < n; ++i) ++counts[static_cast<size_t>((static_cast<unsigned __int128>(random()) * n) >> 64)];
    visit(Counts(counts));
  }
}

class Mean {
 public:
  explicit Mean(std::span<const double> values) : values_(values) {}

  double operator()(Counts counts) const {
    double sum = 0;
    for (size_t i = 0; i < counts.size(); ++i) sum += counts[i] * values_[i];
    return sum / static_cast<double>(counts.size());
  }

 private:
  const std::span<const double> values_;
};

class PearsonFigure {
 public:
  PearsonFigure(std::span<const double> x, std::span<const double> y) : x_(x), y_(y) {}

  double operator()(Counts counts) const { return Correlation(x_, y_, counts); }

  static double Correlation(std::span<const double> x, std::span<const double> y, Counts counts) {
    const double n = static_cast<double>(counts.size());
    double mean_x = 0, mean_y = 0, xx = 0, yy = 0, xy = 0;
    for (size_t i = 0; i < counts.size(); ++i) {
      mean_x += counts[i] * x[i] / n;
      mean_y += counts[i] * y[i] / n;
    }
    for (size_t i = 0; i < counts.size(); ++i) {
      const double dx = x[i] - mean_x, dy = y[i] - mean_y;
      xx += counts[i] * dx * dx;
      yy += counts[i] * dy * dy;
      xy += counts[i] * dx * dy;
    }
    // A resample of one element many times has no spread, though rounding of its mean may leave some.
    constexpr double kNothing = 1e-24;
    if (xx <= kNothing * n * mean_x * mean_x || yy <= kNothing * n * mean_y * mean_y) return 0;
    return std::clamp(xy / (std::sqrt(xx) * std::sqrt(yy)), -1.0, 1.0);
  }

 private:
  const std::span<const double> x_, y_;
};

// Elements in ascending order of a value, with the ends of the groups of equal ones: sorted once, each resample is
// walked through in linear time.
class Order {
 public:
  explicit Order(std::span<const double> values) : elements_(values.size()) {
    std::iota(elements_.begin(), elements_.end(), uint32_t{0});
    std::sort(elements_.begin(), elements_.end(), [&](uint32_t a, uint32_t b) { return values[a] < values[b]; });
    for (size_t i = 0; i < elements_.size(); ++i) {
      const bool last = i + 1 == elements_.size() || values[elements_[i + 1]] != values[elements_[i]];
      if (last) group_ends_.push_back(i + 1);
    }
  }

  // Calls visit(elements of a group) for group after group.
  template <typename Visit>
  void ForEachGroup(Visit visit) const {
    size_t begin = 0;
    for (const size_t end : group_ends_) {
      visit(std::span(elements_).subspan(begin, end - begin));
      begin = end;
    }
  }

  template <typename Visit>
  void ForEachGroupFromTheLast(Visit visit) const {
    for (size_t i = group_ends_.size(); i > 0; --i) {
      const size_t begin = i > 1 ? group_ends_[i - 2] : 0;
      visit(std::span(elements_).subspan(begin, group_ends_[i - 1] - begin));
    }
  }

 private:
  std::vector<uint32_t> elements_;
  std::vector<size_t> group_ends_;
};

class SpearmanFigure {
 public:
  SpearmanFigure(std::span<const double> x, std::span<const double> y)
      : x_(x), y_(y), ranks_x_(x.size()), ranks_y_(y.size()) {}

  double operator()(Counts counts) {
    SetRanks(x_, counts, ranks_x_);
    SetRanks(y_, counts, ranks_y_);
    return PearsonFigure::Correlation(ranks_x_, ranks_y_, counts);
  }

 private:
  // Ranks in the resample, from 1; equal values share the mean of their ranks.
  static void SetRanks(const Order& order, Counts counts, std::vector<double>& ranks) {
    double below = 0;
    order.ForEachGroup([&](std::span<const uint32_t> group) {
      double count = 0;
      for (const uint32_t i : group) count += counts[i];
      for (const uint32_t i : group) ranks[i] = below + (count + 1) / 2;
      below += count;
    });
  }

  const Order x_, y_;
  std::vector<double> ranks_x_, ranks_y_;
};

class AveragePrecisionFigure {
 public:
  AveragePrecisionFigure(std::span<const double> similarities, std::span<const char> similar)
      : order_(similarities), similar_(similar) {}

  double operator()(Counts counts) const {
    double all_true = 0;
    for (size_t i = 0; i < counts.size(); ++i) all_true += similar_[i] ? counts[i] : 0;
    if (all_true == 0) return 0;
    double sum = 0, taken = 0, true_taken = 0;
    order_.ForEachGroupFromTheLast([&](std::span<const uint32_t> group) {
      const double before = true_taken;
      for (const uint32_t i : group) {
        taken += counts[i];
        true_taken += similar_[i] ? counts[i] : 0;
      }
      if (true_taken > before) sum += (true_taken - before) / all_true * (true_taken / taken);
    });
    return sum;
  }

 private:
  const Order order_;
  const std::span<const char> similar_;
};

template <typename Figure>
double OfTheSample(Figure& figure, size_t n) {
  const std::vector<uint32_t> once(n, 1);
  return figure(once);
}

template <typename Figure>
Interval Bootstrap(Figure figure, size_t n, const BootstrapOptions& options) {
  std::vector<double> resampled;
  Resample(n, options, [&](Counts counts) { resampled.push_back(figure(counts)); });
  return IntervalOf(OfTheSample(figure, n), std::move(resampled), options);
}

template <typename Figure>
ComparedFigure Compare(Figure before, Figure after, size_t n, const BootstrapOptions& options) {
  std::vector<double> befores, afters, differences;
  Resample(n, options, [&](Counts counts) {
    befores.push_back(before(counts));
    afters.push_back(after(counts));
    differences.push_back(afters.back() - befores.back());
  });
  ComparedFigure figure;
  figure.before = IntervalOf(OfTheSample(before, n), std::move(befores), options);
  figure.after = IntervalOf(OfTheSample(after, n), std::move(afters), options);
  figure.difference = IntervalOf(figure.after.value - figure.before.value, std::move(differences), options);
  return figure;
}

}  // namespace

Interval BootstrapMean(std::span<const double> values, const BootstrapOptions& options) {
  return Bootstrap(Mean(values), values.size(), options);
}

Interval BootstrapSpearman(std::span<const double> x, std::span<const double> y, const BootstrapOptions& options) {
  return Bootstrap(SpearmanFigure(x, y), x.size(), options);
}

PairedDifference PairedBootstrap(std::span<const double> a, std::span<const double> b, int resamples, uint64_t seed) {
  std::vector<double> differences(a.size());
  for (size_t i = 0; i < a.size(); ++i) differences[i] = a[i] - b[i];
  const Interval interval = BootstrapMean(differences, {.resamples = resamples, .seed = seed});
  return {.mean = interval.value, .lower = interval.lower, .upper = interval.upper};
}

ComparedFigure CompareMeans(std::span<const double> before, std::span<const double> after,
                            const BootstrapOptions& options) {
  return Compare(Mean(before), Mean(after), before.size(), options);
}

ComparedFigure CompareSpearman(std::span<const double> before, std::span<const double> after,
                               std::span<const double> target, const BootstrapOptions& options) {
  return Compare(SpearmanFigure(before, target), SpearmanFigure(after, target), before.size(), options);
}

ComparedFigure ComparePearson(std::span<const double> before, std::span<const double> after,
                              std::span<const double> target, const BootstrapOptions& options) {
  return Compare(PearsonFigure(before, target), PearsonFigure(after, target), before.size(), options);
}

ComparedFigure CompareAveragePrecision(std::span<const double> before, std::span<const double> after,
                                       std::span<const char> similar, const BootstrapOptions& options) {
  return Compare(AveragePrecisionFigure(before, similar), AveragePrecisionFigure(after, similar), before.size(),
                 options);
}

}  // namespace tandem
