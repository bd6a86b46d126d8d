#include "client/cli/comparison_text.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/format.h"
#include "client/cli/table.h"
#include "client/names.h"

namespace tandem::cli {
namespace {

std::string WithInterval(const v1::EstimatedFigure& figure) {
  return absl::StrFormat("%.4f [%.4f, %.4f]", figure.value(), figure.lower(), figure.upper());
}

std::string SignedWithInterval(const v1::EstimatedFigure& figure) {
  return absl::StrFormat("%+.4f [%+.4f, %+.4f]", figure.value(), figure.lower(), figure.upper());
}

void AddPlainRow(Table* table, const char* name, bool there, double before, double after) {
  if (!there) return;
  table->AddRow({name, FormatMetric(before), FormatMetric(after), absl::StrFormat("%+.4f", after - before)});
}

// What the queries that changed are called, by the form of the examples.
std::string WhatFell(const v1::ValidationMetrics& metrics) {
  switch (metrics.metrics_case()) {
    case v1::ValidationMetrics::kRetrieval:
      return "QUERIES WHOSE nDCG@10 FELL MOST";
    case v1::ValidationMetrics::kClasses:
      return "TEXTS WHOSE NEIGHBOUR IS OF ANOTHER CLASS NOW";
    case v1::ValidationMetrics::kSimilarity:
      return "PAIRS THAT MOVED AWAY FROM THEIR SCORES MOST";
    case v1::ValidationMetrics::kLabelledPairs:
      return "PAIRS THAT PASSED MOST PAIRS OF THE OTHER KIND";
    case v1::ValidationMetrics::METRICS_NOT_SET:
      break;
  }
  return "";
}

constexpr int kShownQueries = 10;

void AddReleaseRow(Table* table, const char* name, double first, double second, const v1::EstimatedFigure& difference) {
  table->AddRow({name, FormatMetric(first), FormatMetric(second), SignedWithInterval(difference)});
}

std::string DescribeMetrics(const v1::ReleaseComparison& comparison) {
  const v1::RetrievalMetrics& first = comparison.first().metrics();
  const v1::RetrievalMetrics& second = comparison.second().metrics();
  Table table({{"METRIC"},
               {absl::StrCat("1: ", ShortName(comparison.first().release())), Table::kRight},
               {absl::StrCat("2: ", ShortName(comparison.second().release())), Table::kRight},
               {"2 - 1", Table::kRight}});
  AddReleaseRow(&table, "nDCG@10", first.ndcg_at_10(), second.ndcg_at_10(), comparison.ndcg_difference());
  AddReleaseRow(&table, "recall@10", first.recall_at_10(), second.recall_at_10(), comparison.recall_difference());
  AddReleaseRow(&table, "MRR@10", first.mrr_at_10(), second.mrr_at_10(), comparison.mrr_difference());
  return table.Render();
}

std::string FirstId(const google::protobuf::RepeatedPtrField<std::string>& ids) { return ids.empty() ? "" : ids[0]; }

std::string DescribeQueries(const v1::ReleaseComparison& comparison) {
  const bool judged = comparison.first().has_metrics();
  std::vector<Table::Column> columns = {{"OVERLAP", Table::kRight}, {"ONLY IN 1"}, {"ONLY IN 2"}, {"QUERY"}};
  if (judged) columns.insert(columns.begin(), {{"nDCG@10 1", Table::kRight}, {"2", Table::kRight}});
  Table table(columns);
  for (int i = 0; i < std::min(comparison.changed_size(), kShownQueries); ++i) {
    const v1::ReleaseComparison::Query& query = comparison.changed(i);
    std::vector<std::string> cells = {absl::StrFormat("%.2f", query.overlap()), FirstId(query.only_first()),
                                      FirstId(query.only_second()), query.text()};
    if (judged) {
      cells.insert(cells.begin(), {FormatMetric(query.first_ndcg()), FormatMetric(query.second_ndcg())});
    }
    table.AddRow(std::move(cells));
  }
  return table.Render();
}

}  // namespace

std::string MetricTitle(absl::string_view name) {
  static constexpr std::pair<absl::string_view, absl::string_view> kTitles[] = {
      {"ndcg_at_10", "nDCG@10"},
      {"recall_at_10", "recall@10"},
      {"mrr_at_10", "MRR@10"},
      {"recall_at_1", "recall@1"},
      {"map", "MAP"},
      {"spearman", "Spearman"},
      {"pearson", "Pearson"},
      {"average_precision", "average precision"},
      {"knn_accuracy", "nearest-neighbour accuracy"}};
  for (const auto& [key, title] : kTitles) {
    if (key == name) return std::string(title);
  }
  return std::string(name);
}

std::string ComparisonVerdict(const v1::TrainingComparison& comparison) {
  if (comparison.metrics().empty()) return "";
  const v1::TrainingComparison::Metric& metric = comparison.metrics(0);
  const v1::EstimatedFigure& change = metric.difference();
  const std::string title = MetricTitle(metric.name());
  const std::string interval = absl::StrFormat(", 95%% interval [%+.4f, %+.4f]", change.lower(), change.upper());
  if (change.lower() > 0) return absl::StrCat(title, " rose by ", FormatMetric(change.value()), interval);
  if (change.upper() < 0) {
    return absl::StrCat(title, " FELL by ", FormatMetric(-change.value()), interval, ": the base is better");
  }
  return absl::StrCat(title, " did not change for sure: ", absl::StrFormat("%+.4f", change.value()), interval);
}

std::string DescribeComparison(const v1::TrainingComparison& comparison) {
  std::string text =
      absl::StrCat("before and after training (step ", FormatCount(comparison.step()), "), on the validation examples");
  if (const std::string verdict = ComparisonVerdict(comparison); !verdict.empty())
    absl::StrAppend(&text, ": ", verdict);
  text += "\n";
  Table table({{"METRIC"}, {"BEFORE", Table::kRight}, {"AFTER", Table::kRight}, {"CHANGE", Table::kRight}});
  for (const v1::TrainingComparison::Metric& metric : comparison.metrics()) {
    table.AddRow({MetricTitle(metric.name()), WithInterval(metric.before()), WithInterval(metric.after()),
                  SignedWithInterval(metric.difference())});
  }
  const v1::ValidationMetrics& before = comparison.before();
  const v1::ValidationMetrics& after = comparison.after();
  AddPlainRow(&table, "loss", before.has_loss() && after.has_loss(), before.loss(), after.loss());
  AddPlainRow(&table, "alignment", before.has_alignment() && after.has_alignment(), before.alignment(),
              after.alignment());
  AddPlainRow(&table, "uniformity", before.has_uniformity() && after.has_uniformity(), before.uniformity(),
              after.uniformity());
  text += table.Render();
  if (comparison.fell().empty()) return text;
  Table fell({{"BEFORE", Table::kRight}, {"AFTER", Table::kRight}, {WhatFell(after)}});
  for (const v1::QueryChange& change : comparison.fell()) {
    fell.AddRow({FormatMetric(change.before()), FormatMetric(change.after()), change.text()});
  }
  return absl::StrCat(text, "\n", fell.Render());
}

std::string DescribeReleases(const v1::ReleaseComparison& comparison) {
  std::string text = absl::StrFormat("%s at commit %d (1) and %s at commit %d (2) on %s queries: overlap@%d %.4f\n",
                                     ShortName(comparison.first().release()), comparison.first().commit(),
                                     ShortName(comparison.second().release()), comparison.second().commit(),
                                     FormatCount(comparison.queries()), comparison.top_k(), comparison.overlap_at_k());
  if (comparison.first().has_metrics()) text += DescribeMetrics(comparison);
  if (comparison.changed().empty()) return text;
  return absl::StrCat(text, "\n", DescribeQueries(comparison));
}

}  // namespace tandem::cli
