#include "server/analysis/dataset_report.h"

#include <algorithm>
#include <utility>

namespace tandem {
namespace {

using nlohmann::json;

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
  for (const auto& [key, counted] : {std::pair{"exact_duplicates", &report.exact_duplicates},
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
                                     {"shared_texts", &report.shared_texts}}) {
    out[key] = ToJson(*counted);
  }
  if (report.first_lengths) out["first_lengths"] = ToJson(*report.first_lengths);
  if (report.second_lengths) out["second_lengths"] = ToJson(*report.second_lengths);
  if (report.labels) out["labels"] = ToJson(*report.labels);
  if (report.scores) out["scores"] = ToJson(*report.scores);
  for (const Finding& finding : report.findings) out["findings"].push_back(ToJson(finding));
  return out;
}

}  // namespace tandem
