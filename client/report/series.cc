#include "client/report/series.h"

#include <algorithm>

namespace tandem::report {

std::vector<Point> Smooth(const std::vector<Point>& points, size_t window) {
  std::vector<Point> result;
  result.reserve(points.size());
  double sum = 0;
  for (size_t i = 0; i < points.size(); ++i) {
    sum += points[i].y;
    if (i >= window) sum -= points[i - window].y;
    result.push_back({points[i].x, sum / static_cast<double>(std::min(i + 1, window))});
  }
  return result;
}

std::vector<Point> Downsample(const std::vector<Point>& points, size_t limit) {
  if (points.size() <= limit) return points;
  const size_t stretches = (limit - 2) / 2, inner = points.size() - 2;
  std::vector<Point> result = {points.front()};
  for (size_t i = 0; i < stretches; ++i) {
    const auto begin = points.begin() + 1 + static_cast<ptrdiff_t>(i * inner / stretches);
    const auto end = points.begin() + 1 + static_cast<ptrdiff_t>((i + 1) * inner / stretches);
    const auto [low, high] = std::minmax_element(begin, end, [](const Point& a, const Point& b) { return a.y < b.y; });
    result.push_back(*std::min(low, high));
    if (low != high) result.push_back(*std::max(low, high));
  }
  result.push_back(points.back());
  return result;
}

std::vector<size_t> EvenlySpread(size_t size, size_t count) {
  std::vector<size_t> result;
  if (count == 0) return result;
  if (count >= size || count == 1) {
    for (size_t i = 0; i < std::min(size, count); ++i) result.push_back(i);
    return result;
  }
  for (size_t i = 0; i < count; ++i) result.push_back(i * (size - 1) / (count - 1));
  return result;
}

}  // namespace tandem::report
