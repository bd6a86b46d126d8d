#include "client/report/axis.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "absl/strings/str_format.h"
#include "client/cli/format.h"

namespace tandem::report {
namespace {

// A range whose low end is below this share of its high end begins at 0.
constexpr double kNearZero = 0.4;

double NiceStep(double span, int ticks) {
  const double rough = span / std::max(1, ticks);
  const double power = std::pow(10, std::floor(std::log10(rough)));
  for (double factor : {1.0, 2.0, 5.0}) {
    if (rough <= factor * power * 1.0001) return factor * power;
  }
  return 10 * power;
}

}  // namespace

Range RangeOf(const std::vector<double>& values) {
  Range range{INFINITY, -INFINITY};
  for (double value : values) {
    if (!std::isfinite(value)) continue;
    range.low = std::min(range.low, value);
    range.high = std::max(range.high, value);
  }
  if (range.low > range.high) return {0, 1};
  if (range.low >= 0 && range.low < kNearZero * range.high) range.low = 0;
  if (range.high - range.low <= 1e-12 * std::max(std::abs(range.low), std::abs(range.high))) {
    const double around = range.low == 0 ? 1 : std::abs(range.low) * 0.1;
    range = {range.low - around, range.high + around};
  }
  return range;
}

Axis::Axis(Range range, double begin, double end, int ticks, bool exact)
    : begin_(begin), end_(end), step_(NiceStep(range.high - range.low, ticks)), range_(range) {
  const double first = exact ? std::ceil(range.low / step_ - 1e-9) : std::floor(range.low / step_ + 1e-9);
  const double last = exact ? std::floor(range.high / step_ + 1e-9) : std::ceil(range.high / step_ - 1e-9);
  for (double i = first; i <= last; ++i) ticks_.push_back(i * step_);
  if (!exact) range_ = {first * step_, last * step_};
}

double Axis::At(double value) const {
  return begin_ + (value - range_.low) / (range_.high - range_.low) * (end_ - begin_);
}

std::string Axis::Label(double tick) const {
  if (std::abs(tick) < step_ / 2) return "0";
  if (step_ < 1e-4 || std::abs(tick) >= 1e9) return absl::StrFormat("%.3g", tick);
  if (step_ >= 1) return cli::FormatCount(std::llround(tick));
  const int decimals = static_cast<int>(std::ceil(-std::log10(step_) - 1e-9));
  return absl::StrFormat("%.*f", decimals, tick);
}

}  // namespace tandem::report
