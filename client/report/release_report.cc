#include "client/report/release_report.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/format.h"
#include "client/report/axis.h"
#include "client/report/canvas.h"
#include "client/report/markup.h"

namespace tandem::report {
namespace {

constexpr double kWidth = 1072;
constexpr double kHeight = 150;

// The difference as a point with its interval, beside no difference and what the gate tolerates.
std::string DrawInterval(const Verdict& verdict) {
  std::vector<double> shown = {0, verdict.lower, verdict.upper};
  if (verdict.margin) shown.push_back(-*verdict.margin);
  Range range{*std::min_element(shown.begin(), shown.end()), *std::max_element(shown.begin(), shown.end())};
  const double around = std::max(0.1 * (range.high - range.low), 1e-3);
  range = {range.low - around, range.high + around};
  const Axis x(range, 40, kWidth - 40, 8, /*exact=*/true);
  const double bottom = kHeight - 44, middle = 64;
  std::string svg = OpenSvg("Difference of nDCG@10 with its 95% interval", kWidth, kHeight);
  for (double tick : x.ticks()) {
    svg +=
        SvgLine(x.At(tick), 26, x.At(tick), bottom, "grid") + SvgText(x.At(tick), bottom + 18, "middle", x.Label(tick));
  }
  svg += SvgLine(40, bottom, kWidth - 40, bottom, "axis") +
         SvgText(kWidth / 2, kHeight - 5, "middle", "nDCG@10 of this release minus that of the live one");
  svg += SvgLine(x.At(0), 20, x.At(0), bottom, "axis") + SvgText(x.At(0), 14, "start", "no difference");
  if (verdict.margin && *verdict.margin > 0) {
    svg += SvgLine(x.At(-*verdict.margin), 20, x.At(-*verdict.margin), bottom, "mark") +
           SvgText(x.At(-*verdict.margin) - 4, 14, "end", "tolerated");
  }
  svg += SvgLine(x.At(verdict.lower), middle, x.At(verdict.upper), middle, "curve c0");
  for (double end : {verdict.lower, verdict.upper}) {
    svg += SvgLine(x.At(end), middle - 8, x.At(end), middle + 8, "curve c0");
  }
  absl::StrAppend(&svg, "<circle class=\"dot f0\" cx=\"", Coordinate(x.At(verdict.difference)), "\" cy=\"", middle,
                  "\" r=\"7\"/>\n");
  svg +=
      SvgText(x.At(verdict.difference), middle - 14, "middle", absl::StrFormat("%+.4f", verdict.difference), "strong");
  return svg + "</svg>\n";
}

DataTable EvaluationTable(const std::vector<EvaluationRow>& rows) {
  DataTable table{.columns = {"release", "nDCG@10", "recall@10", "MRR@10", "index recall@10", "queries"}};
  for (const EvaluationRow& row : rows) {
    table.rows.push_back({UserText(row.name, 100), cli::FormatMetric(row.ndcg), cli::FormatMetric(row.recall),
                          cli::FormatMetric(row.mrr), cli::FormatMetric(row.index_recall),
                          cli::FormatCount(row.queries)});
  }
  return table;
}

std::string DrawVerdict(const Verdict& verdict) {
  std::string body = Facts({{"verdict", verdict.result},
                            {"asked", verdict.time},
                            {"why not", verdict.reason},
                            {"overridden by", verdict.overridden_by},
                            {"words of the override", verdict.override_reason}});
  if (!verdict.compared.empty()) body += Render(EvaluationTable(verdict.compared));
  if (!verdict.has_difference) {
    return Section("Gate", body + "<p class=\"note\">There was no live release to compare with.</p>\n");
  }
  DataTable numbers{.columns = {"difference of nDCG@10", "lower end", "upper end"}};
  numbers.rows.push_back({absl::StrFormat("%+.4f", verdict.difference), absl::StrFormat("%+.4f", verdict.lower),
                          absl::StrFormat("%+.4f", verdict.upper)});
  body +=
      Render(Figure{.title = "Difference to the live release",
                    .explanation = "Mean over the queries of the evaluation set, with the 95% interval of the paired "
                                   "bootstrap. The gate wants the interval's lower end above the dashed line.",
                    .svg = DrawInterval(verdict),
                    .numbers = numbers});
  if (const std::string changes = DrawQueryChanges(verdict.rose, verdict.fell, cli::FormatMetric); !changes.empty()) {
    body +=
        "<h3>Queries that gained and lost most</h3>\n<p class=\"note\">nDCG@10 of the query with the live release, "
        "and with this one.</p>\n" +
        changes;
  }
  return Section("Gate", body);
}

std::vector<Tile> HeadTiles(const ReleaseReport& report) {
  std::vector<Tile> tiles;
  if (report.evaluation) {
    tiles.push_back(
        {"nDCG@10", cli::FormatMetric(report.evaluation->ndcg),
         absl::StrCat(cli::FormatCount(report.evaluation->queries), " queries of ", report.evaluation_set)});
    tiles.push_back({"index recall@10", cli::FormatMetric(report.evaluation->index_recall),
                     report.min_index_recall ? absl::StrCat("against exact search; the gate wants ",
                                                            cli::FormatMetric(*report.min_index_recall))
                                             : "against exact search"});
  }
  const int64_t behind = std::max<int64_t>(0, report.target_commit - report.cursor);
  tiles.push_back(
      {"behind its collection", behind == 0 ? "0 commits" : absl::StrCat(cli::FormatCount(behind), " commits"),
       absl::StrCat("has commit ", cli::FormatCount(report.cursor), " of ", cli::FormatCount(report.target_commit))});
  tiles.push_back({"documents built", cli::FormatCount(report.documents_done),
                   absl::StrCat("of ", cli::FormatCount(report.documents_total))});
  return tiles;
}

}  // namespace

std::string Draw(const ReleaseReport& report) {
  std::string body;
  if (!report.error.empty()) body += absl::StrCat("<p class=\"error\">", UserText(report.error, 2000), "</p>\n");
  body += Tiles(HeadTiles(report));
  body += Section("States and times", Facts(report.facts));
  if (report.evaluation) {
    body += Section("Evaluation", absl::StrCat("<p class=\"note\">On ", UserText(report.evaluation_set), ".</p>\n",
                                               Render(EvaluationTable({*report.evaluation}))));
  }
  if (report.verdict) body += DrawVerdict(*report.verdict);
  body += Section("Index", Facts(report.index));
  body += Section("Embedding contract", Facts(report.contract));
  return Page("Release", report.name, report.state,
              absl::StrCat("Documents and queries are embedded by ", UserText(report.model), "."), body);
}

}  // namespace tandem::report
