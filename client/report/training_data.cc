#include "client/report/training_data.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/format.h"
#include "client/report/bars.h"
#include "client/report/chart.h"
#include "client/report/markup.h"

namespace tandem::report {
namespace {

std::string DrawFindings(const std::vector<DataFinding>& findings) {
  if (findings.empty()) return "<p>Nothing was found that would have to change.</p>\n";
  std::string html = "<ul class=\"findings\">\n";
  for (const DataFinding& finding : findings) {
    absl::StrAppend(&html, "<li class=\"grave-", Escape(finding.severity), "\"><b>", Escape(finding.severity), "</b> ",
                    UserText(finding.advice, 600));
    if (!finding.where.empty()) absl::StrAppend(&html, " <span>", Escape(finding.where), "</span>");
    html += "</li>\n";
  }
  return html + "</ul>\n";
}

std::string Legend(const Bars& bars) {
  std::vector<Histogram::Group> groups;
  for (const Bars::Group& group : bars.groups) groups.push_back({.name = group.name, .color = group.color});
  return Legend(groups);
}

std::string DrawLengths(const TrainingData& data) {
  size_t first = SIZE_MAX, last = 0;  // Bins with texts.
  for (const TextLengthFigures& lengths : data.lengths) {
    for (size_t bin = 0; bin < lengths.texts.size(); ++bin) {
      if (lengths.texts[bin] == 0) continue;
      first = std::min(first, bin);
      last = std::max(last, bin);
    }
  }
  if (first == SIZE_MAX) return "";
  Bars bars{.title = "Lengths of texts in tokens", .x_name = "tokens"};
  DataTable numbers{.columns = {"tokens"}};
  for (size_t bin = first; bin <= last + 1; ++bin) {
    bars.edges.push_back(bin == 0 ? "0" : cli::FormatCount(int64_t{1} << (bin - 1)));
  }
  for (size_t bin = first; bin <= last; ++bin) {
    numbers.rows.push_back({absl::StrCat("up to ", cli::FormatCount(int64_t{1} << bin))});
  }
  for (const TextLengthFigures& lengths : data.lengths) {
    Bars::Group group{.name = lengths.name, .color = static_cast<int>(bars.groups.size())};
    numbers.columns.push_back(Escape(lengths.name));
    for (size_t bin = first; bin <= last; ++bin) {
      const int64_t texts = bin < lengths.texts.size() ? lengths.texts[bin] : 0;
      group.counts.push_back(static_cast<double>(texts));
      numbers.rows[bin - first].push_back(cli::FormatCount(texts));
    }
    bars.groups.push_back(std::move(group));
  }
  if (data.max_length > 0) {
    const double place = std::log2(static_cast<double>(data.max_length)) + 1 - static_cast<double>(first);
    bars.mark = Bars::Mark{place, absl::StrCat("cut at ", cli::FormatCount(data.max_length))};
  }
  return Render(Figure{.title = "Lengths",
                       .explanation =
                           "Share of texts by their tokens, prompts and special tokens included. Each bin is "
                           "twice as wide as the one before it; what is right of the dashed line is cut.",
                       .legend = Legend(bars),
                       .svg = Draw(bars),
                       .numbers = numbers});
}

std::string DrawScores(const TrainingData& data) {
  if (data.scores.empty()) return "";
  Bars bars{.title = "Scores of the pairs", .x_name = "score"};
  DataTable numbers{.columns = {"score", "pairs"}};
  Bars::Group group{.name = "pairs", .color = 2};
  const double width = (data.highest_score - data.lowest_score) / static_cast<double>(data.scores.size());
  for (size_t bin = 0; bin <= data.scores.size(); ++bin) {
    bars.edges.push_back(absl::StrFormat("%.2f", data.lowest_score + width * static_cast<double>(bin)));
    if (bin == data.scores.size()) break;
    group.counts.push_back(static_cast<double>(data.scores[bin]));
    numbers.rows.push_back({bars.edges.back() + " on", cli::FormatCount(data.scores[bin])});
  }
  bars.groups.push_back(std::move(group));
  return Render(Figure{.title = "Scores",
                       .explanation = "Share of the scored pairs in each tenth of the range.",
                       .svg = Draw(bars),
                       .numbers = numbers});
}

}  // namespace

std::string DrawTrainingData(const TrainingData& data) {
  std::string html = absl::StrCat("<p class=\"note\">", UserText(data.source, 300), ".</p>\n");
  html += DrawFindings(data.findings) + Facts(data.counts);
  html += DrawLengths(data);
  if (!data.balance.empty()) html += "<h3>Balance</h3>\n" + Facts(data.balance);
  return html + DrawScores(data);
}

}  // namespace tandem::report
