#pragma once
// A range of numbers on a picture, with the ticks that people expect: 1, 2 or 5 times a power of ten apart.

#include <string>
#include <vector>

namespace tandem::report {

struct Range {
  double low = 0, high = 1;
};

// The range of `values`, those that are not finite left out: [0, 1] of nothing, a range of one value made wider. A
// range that nearly reaches 0 begins there.
Range RangeOf(const std::vector<double>& values);

class Axis {
 public:
  // Draws `range`, made wider to whole ticks unless `exact`, from `begin` to `end` (pixels; end < begin goes upwards).
  // `ticks` is about how many there are. REQUIRES: range.low < range.high.
  Axis(Range range, double begin, double end, int ticks, bool exact = false);

  double At(double value) const;
  const std::vector<double>& ticks() const { return ticks_; }
  std::string Label(double tick) const;  // With as many decimals as tell the ticks apart: "0.25", "20,000", "2e-05".

 private:
  double begin_, end_, step_;
  Range range_;
  std::vector<double> ticks_;
};

}  // namespace tandem::report
