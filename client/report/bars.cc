#include "client/report/bars.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "client/report/axis.h"
#include "client/report/canvas.h"
#include "client/report/markup.h"

namespace tandem::report {
namespace {

constexpr size_t kMostLabels = 16;

std::vector<double> SharesOf(const std::vector<double>& counts) {
  const double sum = std::accumulate(counts.begin(), counts.end(), 0.0);
  std::vector<double> shares;
  for (double count : counts) shares.push_back(sum > 0 ? count / sum : 0);
  return shares;
}

std::string DrawGroup(const std::vector<double>& shares, int color, const Axis& x, const Axis& y) {
  std::string path = absl::StrCat("M", Coordinate(x.At(0)), " ", Coordinate(y.At(0)));
  for (size_t bin = 0; bin < shares.size(); ++bin) {
    absl::StrAppend(&path, "V", Coordinate(y.At(shares[bin])), "H", Coordinate(x.At(static_cast<double>(bin + 1))));
  }
  return absl::StrCat("<path class=\"area f", color, " c", color, "\" d=\"", path, "V", Coordinate(y.At(0)), "Z\"/>\n");
}

std::string DrawFrame(const Bars& bars, const Axis& x, const Axis& y, const Margins& margins) {
  const double right = bars.width - margins.right, bottom = bars.height - margins.bottom;
  std::string svg;
  for (double tick : y.ticks()) {
    svg += SvgLine(margins.left, y.At(tick), right, y.At(tick), "grid") +
           SvgText(margins.left - 8, y.At(tick) + 4, "end", y.Label(tick));
  }
  svg += SvgLine(margins.left, bottom, right, bottom, "axis");
  const size_t every = (bars.edges.size() + kMostLabels - 1) / kMostLabels;
  for (size_t i = 0; i < bars.edges.size(); i += every) {
    const double at = x.At(static_cast<double>(i));
    svg += SvgLine(at, bottom, at, bottom + 4, "axis") + SvgText(at, bottom + 17, "middle", bars.edges[i]);
  }
  return svg + SvgText((margins.left + right) / 2, bars.height - 5, "middle", bars.x_name);
}

}  // namespace

std::string Draw(const Bars& bars) {
  const Margins margins;
  const auto bins = static_cast<double>(bars.edges.size() - 1);
  std::vector<std::vector<double>> shares;
  double highest = 0;
  for (const Bars::Group& group : bars.groups) {
    shares.push_back(SharesOf(group.counts));
    highest = std::max(highest, *std::max_element(shares.back().begin(), shares.back().end()));
  }
  const Axis x({0, bins}, margins.left, bars.width - margins.right, 6, /*exact=*/true);
  const Axis y({0, highest > 0 ? highest : 1}, bars.height - margins.bottom, margins.top, 4);
  std::string svg = OpenSvg(bars.title, bars.width, bars.height) + DrawFrame(bars, x, y, margins);
  for (size_t g = 0; g < shares.size(); ++g) svg += DrawGroup(shares[g], bars.groups[g].color, x, y);
  if (bars.mark) {
    const double at = x.At(std::clamp(bars.mark->place, 0.0, bins));
    const bool left = bars.mark->place > bins / 2;  // The label goes where there is room.
    svg += SvgLine(at, margins.top, at, bars.height - margins.bottom, "mark") +
           SvgText(left ? at - 5 : at + 5, margins.top + 11, left ? "end" : "start", bars.mark->text);
  }
  return svg + "</svg>\n";
}

}  // namespace tandem::report
