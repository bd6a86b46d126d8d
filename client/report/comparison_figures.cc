#include "client/report/comparison_figures.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/format.h"
#include "client/report/axis.h"
#include "client/report/canvas.h"
#include "client/report/markup.h"

namespace tandem::report {
namespace {

constexpr double kWidth = 1072;
constexpr double kNames = 190;  // The space of the metrics' names.
constexpr double kRowHeight = 46;
constexpr double kTop = 14, kBottom = 30;

std::string Bracketed(const Estimate& estimate) {
  return absl::StrFormat("%.4f <span class=\"soft\">[%.4f, %.4f]</span>", estimate.value, estimate.lower,
                         estimate.upper);
}

std::string Signed(const Estimate& estimate) {
  const char* const style = estimate.lower > 0 ? "better" : estimate.upper < 0 ? "worse" : "soft";
  return absl::StrFormat("%+.4f <span class=\"%s\">[%+.4f, %+.4f]</span>", estimate.value, style, estimate.lower,
                         estimate.upper);
}

// A dot with its interval; 0 is before, 1 after, as in the legend.
std::string DrawEstimate(const Axis& x, double y, const Estimate& estimate, int color, absl::string_view name) {
  const std::string style = absl::StrCat("curve c", color);
  std::string svg = SvgLine(x.At(estimate.lower), y, x.At(estimate.upper), y, style);
  for (const double end : {estimate.lower, estimate.upper}) svg += SvgLine(x.At(end), y - 5, x.At(end), y + 5, style);
  return absl::StrCat(svg, "<circle class=\"dot f", color, "\" cx=\"", Coordinate(x.At(estimate.value)), "\" cy=\"",
                      Coordinate(y), "\" r=\"5\"><title>", Escape(name), " ",
                      absl::StrFormat("%.4f [%.4f, %.4f]", estimate.value, estimate.lower, estimate.upper),
                      "</title></circle>\n");
}

std::string DrawIntervals(const std::vector<ComparedMetric>& metrics) {
  std::vector<double> shown;
  for (const ComparedMetric& metric : metrics) {
    shown.insert(shown.end(), {metric.before.lower, metric.before.upper, metric.after.lower, metric.after.upper});
  }
  const double height = kTop + kRowHeight * static_cast<double>(metrics.size()) + kBottom, bottom = height - kBottom;
  const Axis x(RangeOf(shown), kNames, kWidth - 30, 8);
  std::string svg = OpenSvg("Metrics before and after training", kWidth, height);
  for (const double tick : x.ticks()) {
    svg += SvgLine(x.At(tick), kTop, x.At(tick), bottom, "grid") +
           SvgText(x.At(tick), bottom + 18, "middle", x.Label(tick));
  }
  svg += SvgLine(kNames, bottom, kWidth - 30, bottom, "axis");
  double y = kTop + kRowHeight / 2;
  for (const ComparedMetric& metric : metrics) {
    svg += SvgText(kNames - 12, y + 4, "end", metric.name);
    svg += DrawEstimate(x, y - 8, metric.before, 1, metric.name + " before");
    svg += DrawEstimate(x, y + 8, metric.after, 0, metric.name + " after");
    y += kRowHeight;
  }
  return svg + "</svg>\n";
}

std::string Legend() {
  std::string html;
  for (const auto& [name, color] : {std::pair("before", 1), std::pair("after", 0)}) {
    absl::StrAppend(&html, "<span><svg viewBox=\"0 0 26 12\" aria-hidden=\"true\"><path class=\"curve c", color,
                    "\" d=\"M1 6H25\"/><circle class=\"dot f", color, "\" cx=\"13\" cy=\"6\" r=\"5\"/></svg>", name,
                    "</span>");
  }
  return html;
}

}  // namespace

Tile TileOf(const Comparison& comparison) {
  const ComparedMetric& metric = comparison.metrics[0];
  return {
      absl::StrCat("validation: ", metric.name),
      absl::StrCat(cli::FormatMetric(metric.before.value), " → ", cli::FormatMetric(metric.after.value)),
      absl::StrFormat("base model → step %s: %+.4f, 95%% interval [%+.4f, %+.4f]", cli::FormatCount(comparison.step),
                      metric.difference.value, metric.difference.lower, metric.difference.upper)};
}

std::string DrawComparison(const Comparison& comparison) {
  DataTable table{.columns = {"metric", "before", "after", "change"}};
  for (const ComparedMetric& metric : comparison.metrics) {
    table.rows.push_back(
        {Escape(metric.name), Bracketed(metric.before), Bracketed(metric.after), Signed(metric.difference)});
  }
  std::string body = absl::StrCat(
      "<p class=\"note\">", Escape(comparison.verdict), ".</p>\n",
      Render(Figure{
          .title = "Before and after",
          .explanation = absl::StrCat("The base model and the result, of step ", cli::FormatCount(comparison.step),
                                      ", on the same validation examples, with 95% intervals of the "
                                      "bootstrap. The change is judged by its own interval, of the paired "
                                      "bootstrap: it may be sure where the two overlap."),
          .legend = Legend(),
          .svg = DrawIntervals(comparison.metrics),
          .numbers = {}}),
      "<div class=\"scroll\">", Render(table), "</div>\n");
  if (const std::string changes = DrawQueryChanges(comparison.rose, comparison.fell, cli::FormatMetric);
      !changes.empty()) {
    absl::StrAppend(&body, "<h3>What gained and lost most</h3>\n<p class=\"note\">", Escape(comparison.changes),
                    ", before and after training. Higher is better.</p>\n", changes);
  }
  return body;
}

}  // namespace tandem::report
