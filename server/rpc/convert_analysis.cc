// The result of an analysis.

#include "server/base/status.h"
#include "server/jobs/analysis_job.h"
#include "server/rpc/convert.h"
#include "server/rpc/names.h"
#include "tandem/v1/analysis.pb.h"

namespace tandem {
namespace {

using Analysis = v1::DatasetAnalysis;

void ToProto(const Counted& counted, Analysis::Counted* out) {
  out->set_count(counted.count);
  out->mutable_commits()->Add(counted.commits.begin(), counted.commits.end());
}

void ToProto(const TextLengths& lengths, Analysis::TextLengths* out) {
  out->set_texts(lengths.texts);
  out->set_mean(lengths.mean);
  out->set_median(lengths.median);
  out->set_percentile_90(lengths.percentile_90);
  out->set_percentile_99(lengths.percentile_99);
  out->set_longest(lengths.longest);
  ToProto(lengths.truncated, out->mutable_truncated());
  out->mutable_histogram()->Add(lengths.histogram.begin(), lengths.histogram.end());
}

void ToProto(const LabelBalance& labels, Analysis::LabelBalance* out) {
  out->set_classes(labels.classes);
  out->set_smallest(labels.smallest);
  out->set_smallest_size(labels.smallest_size);
  out->set_largest(labels.largest);
  out->set_largest_size(labels.largest_size);
  out->set_single_texts(labels.single_texts);
  out->set_entropy(labels.entropy);
}

void ToProto(const ScoreDistribution& scores, Analysis::ScoreDistribution* out) {
  out->set_lowest(scores.lowest);
  out->set_highest(scores.highest);
  out->set_mean(scores.mean);
  out->mutable_histogram()->Add(scores.histogram.begin(), scores.histogram.end());
}

void ToProto(const Finding& finding, Analysis::Finding* out) {
  out->set_severity(static_cast<Analysis::Finding::Severity>(finding.severity));  // Numbers of the API.
  out->set_kind(finding.kind);
  out->set_count(finding.count);
  out->mutable_commits()->Add(finding.commits.begin(), finding.commits.end());
  out->set_advice(finding.advice);
}

void ToProto(const AnalysisPlan& plan, Analysis* out) {
  out->set_dataset(DatasetName(plan.dataset.dataset));
  out->set_dataset_commit(plan.dataset.commit);
  if (plan.validation) {
    out->set_validation_dataset(DatasetName(plan.validation->dataset));
    out->set_validation_commit(plan.validation->commit);
  }
  if (!plan.base_revision.empty()) out->set_base_revision(RevisionNameOf(plan.base_model, plan.base_revision));
  out->set_max_length(plan.max_length);
  out->set_batch_size(plan.batch_size);
}

void AddForms(const DatasetReport& report, Analysis::FormCounts* out) {
  const auto count = [&](ExampleKind kind) { return report.forms[static_cast<size_t>(kind)]; };
  out->set_pairs(count(ExampleKind::kPair));
  out->set_scored_pairs(count(ExampleKind::kScoredPair));
  out->set_labelled_pairs(count(ExampleKind::kLabelledPair));
  out->set_labelled_texts(count(ExampleKind::kLabelledText));
  out->set_texts(count(ExampleKind::kText));
}

void AddCounted(const DatasetReport& report, Analysis* out) {
  ToProto(report.exact_duplicates, out->mutable_exact_duplicates());
  ToProto(report.folded_duplicates, out->mutable_folded_duplicates());
  ToProto(report.repeated_pairs, out->mutable_repeated_pairs());
  ToProto(report.several_positives, out->mutable_several_positives());
  ToProto(report.shared_positives, out->mutable_shared_positives());
  ToProto(report.anchors_as_positives, out->mutable_anchors_as_positives());
  ToProto(report.equal_to_anchor, out->mutable_equal_to_anchor());
  ToProto(report.contradictions, out->mutable_contradictions());
  ToProto(report.conflicting_scores, out->mutable_conflicting_scores());
  ToProto(report.conflicting_labels, out->mutable_conflicting_labels());
  ToProto(report.shared_anchors, out->mutable_shared_anchors());
  ToProto(report.shared_texts, out->mutable_shared_texts());
}

void AddReport(const DatasetReport& report, Analysis* out) {
  for (const Finding& finding : report.findings) ToProto(finding, out->add_findings());
  out->set_examples(report.examples);
  out->set_rows(report.rows);
  out->set_texts(report.texts);
  out->set_distinct_texts(report.distinct_texts);
  AddForms(report, out->mutable_forms());
  AddCounted(report, out);
  out->set_false_negatives(report.false_negatives);
  out->set_validation_examples(report.validation_examples);
  if (report.first_lengths) ToProto(*report.first_lengths, out->mutable_first_lengths());
  if (report.second_lengths) ToProto(*report.second_lengths, out->mutable_second_lengths());
  if (report.labels) ToProto(*report.labels, out->mutable_labels());
  if (report.scores) ToProto(*report.scores, out->mutable_scores());
  out->set_similar(report.similar);
  out->set_dissimilar(report.dissimilar);
}

}  // namespace

absl::Status ToAnalysis(const std::string& result_json, v1::DatasetAnalysis* out) {
  const nlohmann::json json = nlohmann::json::parse(result_json, nullptr, /*allow_exceptions=*/false);
  ASSIGN_OR_RETURN(const AnalysisResult result, AnalysisResultFromJson(json));
  ToProto(result.plan, out);
  AddReport(result.report, out);
  return absl::OkStatus();
}

}  // namespace tandem
