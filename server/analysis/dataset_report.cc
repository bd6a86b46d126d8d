#include "server/analysis/dataset_report.h"

#include <algorithm>
#include <array>
#include <utility>

#include "server/base/object_reader.h"
#include "server/base/status.h"

namespace tandem {
namespace {

using nlohmann::json;

// The figures of a report that are Counted, each with its key; `Report` may be const.
template <typename Report>
auto CountedFields(Report& report) {
  return std::to_array({std::pair{"exact_duplicates", &report.exact_duplicates},
                        {"folded_duplicates", &report.folded_duplicates},
                        {"repeated_pairs", &report.repeated_pairs},
                        {"several_positives", &report.several_positives},
                        {"shared_positives", &report.shared_positives},
                        {"anchors_as_positives", &report.anchors_as_positives},
                        {"equal_to_anchor", &report.equal_to_anchor},
                        {"contradictions", &report.contradictions},
                        {"conflicting_scores", &report.conflicting_scores},
                        {"conflicting_labels", &report.conflicting_labels},
                        {"shared_anchors", &report.shared_anchors},
                        {"shared_texts", &report.shared_texts}});
}

json ToJson(const Counted& counted) { return {{"count", counted.count}, {"commits", counted.commits}}; }

json ToJson(const TextLengths& lengths) {
  return {{"texts", lengths.texts},
          {"mean", lengths.mean},
          {"median", lengths.median},
          {"percentile_90", lengths.percentile_90},
          {"percentile_99", lengths.percentile_99},
          {"longest", lengths.longest},
          {"truncated", ToJson(lengths.truncated)},
          {"histogram", lengths.histogram}};
}

json ToJson(const LabelBalance& labels) {
  return {{"classes", labels.classes}, {"smallest", labels.smallest},         {"smallest_size", labels.smallest_size},
          {"largest", labels.largest}, {"largest_size", labels.largest_size}, {"single_texts", labels.single_texts},
          {"entropy", labels.entropy}};
}

json ToJson(const ScoreDistribution& scores) {
  return {
      {"lowest", scores.lowest}, {"highest", scores.highest}, {"mean", scores.mean}, {"histogram", scores.histogram}};
}

json ToJson(const Finding& finding) {
  return {{"severity", static_cast<int>(finding.severity)},
          {"kind", finding.kind},
          {"count", finding.count},
          {"commits", finding.commits},
          {"advice", finding.advice}};
}

absl::Status FromJson(const json& from, Counted& out) {
  ObjectReader reader("counted", from);
  reader.Read("count", out.count);
  reader.Read("commits", out.commits);
  return reader.Finish();
}

absl::Status FromJson(const json& from, TextLengths& out) {
  ObjectReader reader("lengths", from);
  reader.Read("texts", out.texts);
  reader.Read("mean", out.mean);
  reader.Read("median", out.median);
  reader.Read("percentile_90", out.percentile_90);
  reader.Read("percentile_99", out.percentile_99);
  reader.Read("longest", out.longest);
  reader.Read("histogram", out.histogram);
  if (const json* const truncated = reader.Find("truncated")) RETURN_IF_ERROR(FromJson(*truncated, out.truncated));
  return reader.Finish();
}

absl::Status FromJson(const json& from, LabelBalance& out) {
  ObjectReader reader("labels", from);
  reader.Read("classes", out.classes);
  reader.Read("smallest", out.smallest);
  reader.Read("smallest_size", out.smallest_size);
  reader.Read("largest", out.largest);
  reader.Read("largest_size", out.largest_size);
  reader.Read("single_texts", out.single_texts);
  reader.Read("entropy", out.entropy);
  return reader.Finish();
}

absl::Status FromJson(const json& from, ScoreDistribution& out) {
  ObjectReader reader("scores", from);
  reader.Read("lowest", out.lowest);
  reader.Read("highest", out.highest);
  reader.Read("mean", out.mean);
  reader.Read("histogram", out.histogram);
  return reader.Finish();
}

absl::Status FromJson(const json& from, Finding& out) {
  ObjectReader reader("finding", from);
  reader.ReadEnum("severity", out.severity, Severity::kError);
  reader.Read("kind", out.kind);
  reader.Read("count", out.count);
  reader.Read("commits", out.commits);
  reader.Read("advice", out.advice);
  return reader.Finish();
}

// Nothing when the key is missing.
template <typename Part>
absl::Status ReadPart(ObjectReader& reader, const char* key, std::optional<Part>& out) {
  const json* const found = reader.Find(key);
  return found == nullptr ? absl::OkStatus() : FromJson(*found, out.emplace());
}

absl::Status ReadFindings(ObjectReader& reader, std::vector<Finding>& out) {
  const json* const findings = reader.Find("findings");
  if (findings == nullptr) return absl::OkStatus();
  if (!findings->is_array()) return absl::InvalidArgumentError("dataset report: findings: not an array");
  for (const json& finding : *findings) RETURN_IF_ERROR(FromJson(finding, out.emplace_back()));
  return absl::OkStatus();
}

}  // namespace

void Counted::Add(int64_t commit) {
  ++count;
  const auto place = std::lower_bound(commits.begin(), commits.end(), commit);
  if (place != commits.end() && *place == commit) return;
  if (place == commits.end() && commits.size() == kMostCommits) return;
  commits.insert(place, commit);
  if (commits.size() > kMostCommits) commits.pop_back();
}

json ToJson(const DatasetReport& report) {
  json out = {{"examples", report.examples},
              {"rows", report.rows},
              {"texts", report.texts},
              {"distinct_texts", report.distinct_texts},
              {"forms", report.forms},
              {"false_negatives", report.false_negatives},
              {"validation_examples", report.validation_examples},
              {"similar", report.similar},
              {"dissimilar", report.dissimilar},
              {"findings", json::array()}};
  for (const auto& [key, counted] : CountedFields(report)) {
    out[key] = ToJson(*counted);
  }
  if (report.first_lengths) out["first_lengths"] = ToJson(*report.first_lengths);
  if (report.second_lengths) out["second_lengths"] = ToJson(*report.second_lengths);
  if (report.labels) out["labels"] = ToJson(*report.labels);
  if (report.scores) out["scores"] = ToJson(*report.scores);
  for (const Finding& finding : report.findings) out["findings"].push_back(ToJson(finding));
  return out;
}

absl::StatusOr<DatasetReport> DatasetReportFromJson(const json& from) {
  DatasetReport report;
  ObjectReader reader("dataset report", from);
  reader.Read("examples", report.examples);
  reader.Read("rows", report.rows);
  reader.Read("texts", report.texts);
  reader.Read("distinct_texts", report.distinct_texts);
  reader.Read("forms", report.forms);
  reader.Read("false_negatives", report.false_negatives);
  reader.Read("validation_examples", report.validation_examples);
  reader.Read("similar", report.similar);
  reader.Read("dissimilar", report.dissimilar);
  for (const auto& [key, counted] : CountedFields(report)) {
    if (const json* const found = reader.Find(key)) RETURN_IF_ERROR(FromJson(*found, *counted));
  }
  RETURN_IF_ERROR(ReadPart(reader, "first_lengths", report.first_lengths));
  RETURN_IF_ERROR(ReadPart(reader, "second_lengths", report.second_lengths));
  RETURN_IF_ERROR(ReadPart(reader, "labels", report.labels));
  RETURN_IF_ERROR(ReadPart(reader, "scores", report.scores));
  RETURN_IF_ERROR(ReadFindings(reader, report.findings));
  RETURN_IF_ERROR(reader.Finish());
  return report;
}

}  // namespace tandem
