#include "client/report/embedding_figures.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/format.h"
#include "client/report/canvas.h"
#include "client/report/chart.h"
#include "client/report/markup.h"
#include "client/report/page.h"

namespace tandem::report {
namespace {

constexpr double kMapSize = 520;
constexpr double kMapEdge = 14;
constexpr double kCosineBin = 0.025;
constexpr double kCosineRound = 0.25;

Range MapRange(const Projection& projection, double Point::*coordinate) {
  double furthest = 0;
  for (const auto& set : projection.sets) {
    for (const Point& point : set) furthest = std::max(furthest, std::abs(point.*coordinate));
  }
  return furthest > 0 ? Range{-furthest, furthest} : Range{-1, 1};
}

// Each kind has a shape of its own besides its colour.
std::string Shape(int kind, double x, double y) {
  const std::string at = absl::StrCat(Coordinate(x), " ", Coordinate(y));
  switch (kind) {
    case 1:
      return absl::StrCat("M", at, "m-4 -4h8v8h-8z");
    case 2:
      return absl::StrCat("M", at, "m0 -5.2l5.2 5.2l-5.2 5.2l-5.2 -5.2z");
    case 3:
      return absl::StrCat("M", at, "m0 -5l5 9h-10z");
    default:
      return absl::StrCat("M", at, "m-4.2 0a4.2 4.2 0 1 0 8.4 0a4.2 4.2 0 1 0 -8.4 0z");
  }
}

std::string DrawMap(const EmbeddingSample& sample, const std::vector<Point>& places, const Range& range,
                    absl::string_view title) {
  const Axis x(range, kMapEdge, kMapSize - kMapEdge, 4, /*exact=*/true);
  const Axis y(range, kMapSize - kMapEdge, kMapEdge, 4, /*exact=*/true);
  std::string svg = OpenSvg(title, kMapSize, kMapSize);
  svg += SvgLine(x.At(0), 0, x.At(0), kMapSize, "grid") + SvgLine(0, y.At(0), kMapSize, y.At(0), "grid");
  absl::StrAppend(&svg, "<path class=\"grid\" d=\"M.5 .5H", kMapSize - .5, "V", kMapSize - .5, "H.5Z\"/>\n");
  for (const auto& [first, second] : sample.pairs) {
    svg +=
        SvgLine(x.At(places[first].x), y.At(places[first].y), x.At(places[second].x), y.At(places[second].y), "link");
  }
  for (size_t i = 0; i < places.size(); ++i) {
    absl::StrAppend(&svg, "<path class=\"dot f", sample.kind[i], "\" d=\"",
                    Shape(sample.kind[i], x.At(places[i].x), y.At(places[i].y)), "\"><title>",
                    Escape(Shorten(sample.texts[i], 160)), "</title></path>\n");
  }
  return svg + "</svg>\n";
}

std::string MapLegend(const EmbeddingSample& sample) {
  std::string html;
  for (size_t i = 0; i < sample.kinds.size(); ++i) {
    absl::StrAppend(&html, "<span><svg viewBox=\"0 0 26 12\" aria-hidden=\"true\"><path class=\"dot f", i, "\" d=\"",
                    Shape(static_cast<int>(i), 13, 6), "\"/></svg>", UserText(sample.kinds[i], 40), "</span>");
  }
  if (!sample.pairs.empty()) {
    html +=
        "<span><svg viewBox=\"0 0 26 12\" aria-hidden=\"true\"><path class=\"link\" d=\"M1 6H25\"/></svg>"
        "belong together</span>";
  }
  return html;
}

DataTable MapNumbers(const EmbeddingSample& sample, const Projection& projection) {
  DataTable table{.columns = {"text", "before", "", "after", ""}};
  for (size_t i = 0; i < sample.texts.size(); ++i) {
    std::vector<std::string> row = {UserText(sample.texts[i], 80)};
    for (const auto& set : projection.sets) {
      row.push_back(absl::StrFormat("%.3f", set[i].x));
      row.push_back(absl::StrFormat("%.3f", set[i].y));
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

double MeanOf(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(std::max<size_t>(values.size(), 1));
}

Histogram CosineHistogram(const SampleFigures& figures, const Range& range, absl::string_view when) {
  Histogram histogram{.title = absl::StrCat("Histogram of cosines ", when, " training"),
                      .x_name = "cosine",
                      .range = range,
                      .bins = static_cast<int>(std::lround((range.high - range.low) / kCosineBin))};
  histogram.groups.push_back({.name = "texts of different pairs", .values = figures.other_cosines, .color = 1});
  histogram.groups.push_back({.name = "texts of one pair", .values = figures.pair_cosines, .color = 0});
  return histogram;
}

DataTable CosineNumbers(const Histogram& histogram) {
  DataTable table{.columns = {"cosine", histogram.groups[0].name, histogram.groups[1].name}};
  const std::vector<std::vector<double>> shares = Shares(histogram);
  const double width = (histogram.range.high - histogram.range.low) / histogram.bins;
  for (size_t b = 0; b < shares[0].size(); ++b) {
    if (shares[0][b] == 0 && shares[1][b] == 0) continue;
    const double low = histogram.range.low + width * static_cast<double>(b);
    table.rows.push_back({absl::StrFormat("%.3f to %.3f", low, low + width), cli::FormatMetric(shares[0][b]),
                          cli::FormatMetric(shares[1][b])});
  }
  return table;
}

}  // namespace

std::string DrawChanges(const std::vector<Change>& changes) {
  DataTable table{.columns = {"mean over the pairs", "before", "after", "change", "95% interval"}};
  for (const Change& change : changes) {
    table.rows.push_back({Escape(change.name), cli::FormatMetric(change.before), cli::FormatMetric(change.after),
                          absl::StrFormat("%+.4f", change.after - change.before),
                          absl::StrFormat("[%+.4f, %+.4f]", change.lower, change.upper)});
  }
  return Render(table);
}

std::string DrawCosines(const SampleFigures& before, const SampleFigures& after) {
  std::vector<double> all;
  for (const SampleFigures* figures : {&before, &after}) {
    all.insert(all.end(), figures->pair_cosines.begin(), figures->pair_cosines.end());
    all.insert(all.end(), figures->other_cosines.begin(), figures->other_cosines.end());
  }
  // Whole bins from a round number below the smallest cosine.
  const double low =
      std::floor(std::max(-1.0, *std::min_element(all.begin(), all.end())) / kCosineRound) * kCosineRound;
  const Range range{std::min(low, 0.0), 1};
  std::vector<Histogram> histograms = {CosineHistogram(before, range, "before"),
                                       CosineHistogram(after, range, "after")};
  double highest = 0;
  for (const Histogram& histogram : histograms) {
    for (const auto& bins : Shares(histogram)) highest = std::max(highest, *std::max_element(bins.begin(), bins.end()));
  }
  std::vector<std::string> figures;
  for (Histogram& histogram : histograms) {
    histogram.highest = highest;
    const SampleFigures& measured = figures.empty() ? before : after;
    figures.push_back(Render(
        Figure{.title = figures.empty() ? "Before" : "After",
               .explanation = absl::StrFormat("Share of cosines in each bin. Mean of pairs %.3f, of others %.3f.",
                                              MeanOf(measured.pair_cosines), MeanOf(measured.other_cosines)),
               .legend = Legend(histogram.groups),
               .svg = Draw(histogram),
               .numbers = CosineNumbers(histogram)}));
  }
  return Row(figures);
}

std::string DrawMaps(const EmbeddingSample& sample) {
  const Projection projection = Project({sample.before, sample.after});
  const Range horizontal = MapRange(projection, &Point::x), vertical = MapRange(projection, &Point::y);
  const Range range = horizontal.high > vertical.high ? horizontal : vertical;
  std::vector<std::string> figures;
  for (size_t i = 0; i < 2; ++i) {
    figures.push_back(Render(Figure{
        .title = i == 0 ? "Before" : "After",
        .explanation =
            absl::StrFormat("These two directions hold %.0f%% of the variance.", 100 * projection.explained[i]),
        .legend = MapLegend(sample),
        .svg = DrawMap(sample, projection.sets[i], range, i == 0 ? "Map before training" : "Map after training")}));
  }
  return Row(figures) +
         Details("Numbers", absl::StrCat("<div class=\"scroll\">", Render(MapNumbers(sample, projection)), "</div>\n"));
}

}  // namespace tandem::report
