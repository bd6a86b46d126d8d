#pragma once
// Points of a curve, and what makes long curves drawable.

#include <cstddef>
#include <vector>

namespace tandem::report {

struct Point {
  double x = 0, y = 0;
};

// The mean of each point and the `window` - 1 before it, of as many as there are at the beginning. REQUIRES: window
// >= 1.
std::vector<Point> Smooth(const std::vector<Point>& points, size_t window);

// At most `limit` of the points, in their order: first, last, and the lowest and highest of each of equal stretches
// between them, so that no spike is lost. REQUIRES: limit >= 4; no y is NaN.
std::vector<Point> Downsample(const std::vector<Point>& points, size_t limit);

// `count` or fewer of the numbers 0 to `size` - 1, evenly spread, first and last included.
std::vector<size_t> EvenlySpread(size_t size, size_t count);

}  // namespace tandem::report
