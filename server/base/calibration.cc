#include "server/base/calibration.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace tandem {
namespace {

constexpr int kFolds = 5;
constexpr int kBins = 10;
constexpr int64_t kFewestOfAKind = 20;

constexpr int kMaxIterations = 100;
constexpr double kSmallestStep = 1e-10;
constexpr double kRidge = 1e-12;  // Keeps the Hessian invertible.
constexpr double kGradientLimit = 1e-9;

// log(1 + exp(x)) without overflow.
double Softplus(double x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); }

// Cross entropy of the targets. The targets stand for a uniform prior of what was not seen.
class PlattObjective {
 public:
  explicit PlattObjective(std::span<const JudgedScore> scores) : scores_(scores) {
    int64_t relevant = 0;
    for (const JudgedScore& score : scores) relevant += score.relevant ? 1 : 0;
    high_ = (static_cast<double>(relevant) + 1) / (static_cast<double>(relevant) + 2);
    low_ = 1 / (static_cast<double>(scores.size()) - static_cast<double>(relevant) + 2);
    start_ = std::log((static_cast<double>(relevant) + 1) /
                      (static_cast<double>(scores.size()) - static_cast<double>(relevant) + 1));
  }

  double start_intercept() const { return start_; }

  double Value(const PlattScaling& at) const {
    double sum = 0;
    for (const JudgedScore& score : scores_) {
      const double z = at.slope * score.score + at.intercept;
      sum += Softplus(z) - TargetOf(score) * z;
    }
    return sum;
  }

  struct Derivatives {
    double slope = 0, intercept = 0;                                      // Gradient.
    double slope_slope = kRidge, both = 0, intercept_intercept = kRidge;  // Hessian.
  };
  Derivatives At(const PlattScaling& at) const {
    Derivatives sums;
    for (const JudgedScore& score : scores_) {
      const double p = at.Probability(score.score);
      const double residual = p - TargetOf(score), weight = p * (1 - p);
      sums.slope += residual * score.score;
      sums.intercept += residual;
      sums.slope_slope += weight * score.score * score.score;
      sums.both += weight * score.score;
      sums.intercept_intercept += weight;
    }
    return sums;
  }

 private:
  double TargetOf(const JudgedScore& score) const { return score.relevant ? high_ : low_; }

  std::span<const JudgedScore> scores_;
  double high_, low_, start_;
};

bool HasBoth(std::span<const JudgedScore> scores) {
  const auto relevant = [](const JudgedScore& score) { return score.relevant; };
  return std::any_of(scores.begin(), scores.end(), relevant) && !std::all_of(scores.begin(), scores.end(), relevant);
}

}  // namespace

double PlattScaling::Probability(double score) const {
  const double z = slope * score + intercept;
  return z >= 0 ? 1 / (1 + std::exp(-z)) : std::exp(z) / (1 + std::exp(z));
}

double PlattScaling::Score(double probability) const {
  return (std::log(probability) - std::log1p(-probability) - intercept) / slope;
}

PlattScaling FitPlatt(std::span<const JudgedScore> scores) {
  const PlattObjective objective(scores);
  PlattScaling at{.slope = 0, .intercept = objective.start_intercept()};
  double value = objective.Value(at);
  for (int i = 0; i < kMaxIterations; ++i) {
    const PlattObjective::Derivatives d = objective.At(at);
    if (std::abs(d.slope) < kGradientLimit && std::abs(d.intercept) < kGradientLimit) break;
    const double determinant = d.slope_slope * d.intercept_intercept - d.both * d.both;
    const double slope = -(d.intercept_intercept * d.slope - d.both * d.intercept) / determinant;
    const double intercept = -(d.slope_slope * d.intercept - d.both * d.slope) / determinant;
    const double descent = d.slope * slope + d.intercept * intercept;
    double step = 1;
    while (step >= kSmallestStep) {
      const PlattScaling next{at.slope + step * slope, at.intercept + step * intercept};
      const double next_value = objective.Value(next);
      if (next_value <= value + 1e-4 * step * descent) {
        at = next;
        value = next_value;
        break;
      }
      step /= 2;
    }
    if (step < kSmallestStep) break;  // As good as doubles tell.
  }
  return at;
}

double CalibrationError(std::span<const JudgedScore> scores, std::span<const double> probabilities) {
  struct Bin {
    double probabilities = 0, relevant = 0;
  };
  std::array<Bin, kBins> bins{};
  for (size_t i = 0; i < scores.size(); ++i) {
    Bin& bin = bins[std::min(kBins - 1, static_cast<int>(probabilities[i] * kBins))];
    bin.probabilities += probabilities[i];
    bin.relevant += scores[i].relevant ? 1 : 0;
  }
  double sum = 0;
  for (const Bin& bin : bins) sum += std::abs(bin.probabilities - bin.relevant);
  return sum / static_cast<double>(scores.size());
}

std::optional<Calibration> Calibrate(std::span<const JudgedScore> scores) {
  const int64_t relevant =
      std::count_if(scores.begin(), scores.end(), [](const JudgedScore& score) { return score.relevant; });
  if (relevant < kFewestOfAKind || static_cast<int64_t>(scores.size()) - relevant < kFewestOfAKind) return std::nullopt;
  std::vector<double> probabilities(scores.size());
  for (int fold = 0; fold < kFolds; ++fold) {
    std::vector<JudgedScore> others;
    for (const JudgedScore& score : scores) {
      if (score.query % kFolds != fold) others.push_back(score);
    }
    if (!HasBoth(others)) return std::nullopt;
    const PlattScaling scaling = FitPlatt(others);
    for (size_t i = 0; i < scores.size(); ++i) {
      if (scores[i].query % kFolds == fold) probabilities[i] = scaling.Probability(scores[i].score);
    }
  }
  Calibration calibration{.scaling = FitPlatt(scores),
                          .scores = static_cast<int64_t>(scores.size()),
                          .expected_error = CalibrationError(scores, probabilities)};
  if (calibration.scaling.slope <= 0) return std::nullopt;
  return calibration;
}

}  // namespace tandem
