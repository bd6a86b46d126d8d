#include "client/report/chart.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/format.h"
#include "client/report/canvas.h"
#include "client/report/markup.h"

namespace tandem::report {
namespace {

constexpr size_t kMostPoints = 1000;
constexpr size_t kMostMarks = 200;

std::vector<Point> Drawable(const Curve& curve) {
  std::vector<Point> points;
  for (const Point& point : curve.points) {
    if (std::isfinite(point.x) && std::isfinite(point.y)) points.push_back(point);
  }
  return Downsample(points, kMostPoints);
}

std::string Path(const std::vector<Point>& points, const Axis& x, const Axis& y) {
  std::string path;
  for (const Point& point : points) {
    absl::StrAppend(&path, path.empty() ? "M" : "L", Coordinate(x.At(point.x)), " ", Coordinate(y.At(point.y)));
  }
  return path;
}

std::string DrawDot(double x, double y, double radius, int color, absl::string_view text) {
  return absl::StrCat("<circle class=\"dot f", color, "\" cx=\"", Coordinate(x), "\" cy=\"", Coordinate(y), "\" r=\"",
                      Coordinate(radius), "\"><title>", Escape(text), "</title></circle>\n");
}

// A curve that is alone in its picture needs no dashes.
std::string DrawCurve(const Curve& curve, bool alone, const std::vector<Point>& points, const Axis& x, const Axis& y) {
  std::string svg;
  if (points.size() > 1) {
    svg = absl::StrCat("<path class=\"curve c", curve.color, curve.faint ? " faint" : "", alone ? " solid" : "",
                       "\" d=\"", Path(points, x, y), "\"/>\n");
  }
  if (!curve.dots && points.size() > 1) return svg;
  for (const Point& point : points) {
    svg += DrawDot(x.At(point.x), y.At(point.y), 3.5, curve.color,
                   absl::StrFormat("%s %.4g at step %s", curve.name, point.y, cli::FormatCount(std::llround(point.x))));
  }
  return svg;
}

std::string DrawMark(const Mark& mark, const Axis& x, const Axis& y, const LineChart& chart, const Margins& margins) {
  const double at = x.At(mark.x), bottom = chart.height - margins.bottom;
  const bool left = at > chart.width / 2;  // The label goes where there is room.
  switch (mark.kind) {
    case Mark::kTick:
      return absl::StrCat("<path class=\"tick\" d=\"M", Coordinate(at), " ", Coordinate(bottom - 7),
                          "l4 7h-8z\"><title>", Escape(mark.text), "</title></path>\n");
    case Mark::kLine:
      return SvgLine(at, margins.top, at, bottom, "mark") +
             SvgText(left ? at - 5 : at + 5, margins.top + 11, left ? "end" : "start", mark.text);
    case Mark::kRing: {
      const double height = y.At(mark.y);
      return absl::StrCat("<circle class=\"ring\" cx=\"", Coordinate(at), "\" cy=\"", Coordinate(height),
                          "\" r=\"7\"/>\n") +
             SvgText(left ? at - 12 : at + 12, std::max(height - 10, margins.top + 8), left ? "end" : "start",
                     mark.text, "strong");
    }
  }
  return "";
}

std::string Swatch(absl::string_view shape, absl::string_view name) {
  return absl::StrCat("<span><svg viewBox=\"0 0 26 12\" aria-hidden=\"true\">", shape, "</svg>", Escape(name),
                      "</span>");
}

}  // namespace

std::string Draw(const LineChart& chart) {
  const Margins margins;
  std::vector<std::vector<Point>> drawn;
  std::vector<double> ys;
  double last_step = 1;
  for (const Curve& curve : chart.curves) {
    drawn.push_back(Drawable(curve));
    for (const Point& point : drawn.back()) {
      last_step = std::max(last_step, point.x);
      ys.push_back(point.y);
    }
  }
  const int ticks = static_cast<int>(std::min(chart.width / 75, last_step));  // No fractions of steps.
  const Axis x({0, last_step}, margins.left, chart.width - margins.right, ticks, /*exact=*/true);
  const Axis y(RangeOf(ys), chart.height - margins.bottom, margins.top, static_cast<int>(chart.height / 55));
  std::string svg =
      OpenSvg(chart.title, chart.width, chart.height) + Frame(x, y, chart.x_name, chart.width, chart.height, margins);
  for (size_t i = 0; i < drawn.size(); ++i) {
    svg += DrawCurve(chart.curves[i], drawn.size() == 1, drawn[i], x, y);
  }
  for (size_t i : EvenlySpread(chart.marks.size(), kMostMarks)) svg += DrawMark(chart.marks[i], x, y, chart, margins);
  return svg + "</svg>\n";
}

std::string Legend(const std::vector<Curve>& curves) {
  std::string html;
  for (const Curve& curve : curves) {
    html +=
        Swatch(absl::StrCat("<path class=\"curve c", curve.color, curve.faint ? " faint" : "", "\" d=\"M1 6H25\"/>"),
               curve.name);
  }
  return html;
}

std::vector<std::vector<double>> Shares(const Histogram& histogram) {
  std::vector<std::vector<double>> shares;
  const double width = (histogram.range.high - histogram.range.low) / histogram.bins;
  for (const Histogram::Group& group : histogram.groups) {
    std::vector<double>& bins = shares.emplace_back(static_cast<size_t>(histogram.bins), 0.0);
    for (double value : group.values) {
      const double bin = std::clamp(std::floor((value - histogram.range.low) / width), 0.0, histogram.bins - 1.0);
      bins[static_cast<size_t>(bin)] += 1.0 / static_cast<double>(group.values.size());
    }
  }
  return shares;
}

std::string Draw(const Histogram& histogram) {
  const Margins margins;
  const std::vector<std::vector<double>> shares = Shares(histogram);
  double highest = histogram.highest;
  for (const auto& bins : shares) {
    if (histogram.highest == 0) highest = std::max(highest, *std::max_element(bins.begin(), bins.end()));
  }
  const Axis x(histogram.range, margins.left, histogram.width - margins.right, 6, /*exact=*/true);
  const Axis y({0, highest > 0 ? highest : 1}, histogram.height - margins.bottom, margins.top, 4);
  std::string svg = OpenSvg(histogram.title, histogram.width, histogram.height) +
                    Frame(x, y, histogram.x_name, histogram.width, histogram.height, margins);
  const double width = (histogram.range.high - histogram.range.low) / histogram.bins;
  for (size_t g = 0; g < shares.size(); ++g) {
    std::string path = absl::StrCat("M", Coordinate(x.At(histogram.range.low)), " ", Coordinate(y.At(0)));
    for (size_t b = 0; b < shares[g].size(); ++b) {
      absl::StrAppend(&path, "V", Coordinate(y.At(shares[g][b])), "H",
                      Coordinate(x.At(histogram.range.low + width * static_cast<double>(b + 1))));
    }
    absl::StrAppend(&path, "V", Coordinate(y.At(0)), "Z");
    const int color = histogram.groups[g].color;
    absl::StrAppend(&svg, "<path class=\"area f", color, " c", color, "\" d=\"", path, "\"/>\n");
  }
  return svg + "</svg>\n";
}

std::string Legend(const std::vector<Histogram::Group>& groups) {
  std::string html;
  for (const Histogram::Group& group : groups) {
    html += Swatch(absl::StrCat("<path class=\"area f", group.color, " c", group.color, "\" d=\"M3 1H23V11H3Z\"/>"),
                   group.name);
  }
  return html;
}

}  // namespace tandem::report
