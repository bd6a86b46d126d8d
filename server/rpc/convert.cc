#include "server/rpc/convert.h"

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include "server/base/status.h"
#include "server/rpc/status.h"
#include "tandem/v1/types.pb.h"

namespace tandem {
namespace {

void ToFigure(const Interval& interval, v1::EstimatedFigure* out) {
  out->set_value(interval.value);
  out->set_lower(interval.lower);
  out->set_upper(interval.upper);
}

}  // namespace

void ToProto(absl::Time time, google::protobuf::Timestamp* out) {
  const int64_t seconds = absl::ToUnixSeconds(time);  // Rounds down.
  out->set_seconds(seconds);
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

void ToProto(absl::Duration duration, google::protobuf::Duration* out) {
  const int64_t seconds = absl::ToInt64Seconds(duration);
  out->set_seconds(seconds);
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(duration - absl::Seconds(seconds))));
}

absl::Duration FromProto(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

void ToProto(const RetrievalMetrics& metrics, v1::RetrievalMetrics* out) {
  out->set_ndcg_at_10(metrics.ndcg_at_10);
  out->set_recall_at_10(metrics.recall_at_10);
  out->set_mrr_at_10(metrics.mrr_at_10);
  out->set_recall_at_1(metrics.recall_at_1);
  out->set_queries(metrics.queries);
  if (metrics.map) out->set_map(*metrics.map);
}

void ToProto(const ValidationResult& result, v1::ValidationMetrics* out) {
  const ValidationMetrics& metrics = result.metrics;
  if (result.loss) out->set_loss(*result.loss);
  if (metrics.retrieval) ToProto(*metrics.retrieval, out->mutable_retrieval());
  if (metrics.similarity) {
    out->mutable_similarity()->set_spearman(metrics.similarity->spearman);
    out->mutable_similarity()->set_pearson(metrics.similarity->pearson);
  }
  if (metrics.pairs) {
    v1::LabelledPairMetrics* const pairs = out->mutable_labelled_pairs();
    pairs->set_average_precision(metrics.pairs->average_precision);
    pairs->set_best_accuracy(metrics.pairs->best_accuracy);
    pairs->set_best_accuracy_threshold(metrics.pairs->best_accuracy_threshold);
    pairs->set_best_f1(metrics.pairs->best_f1);
    pairs->set_best_f1_threshold(metrics.pairs->best_f1_threshold);
  }
  if (metrics.classes) {
    out->mutable_classes()->set_knn_accuracy(metrics.classes->knn_accuracy);
    out->mutable_classes()->set_texts(metrics.classes->texts);
  }
  if (metrics.alignment) out->set_alignment(*metrics.alignment);
  if (metrics.uniformity) out->set_uniformity(*metrics.uniformity);
}

void ToProto(const QueryChange& change, v1::QueryChange* out) {
  out->set_text(change.text);
  out->set_before(change.before);
  out->set_after(change.after);
}

void ToProto(const TrainingComparison& comparison, v1::TrainingComparison* out) {
  out->set_step(comparison.step);
  ToProto(comparison.before, out->mutable_before());
  ToProto(comparison.after, out->mutable_after());
  for (const ComparedMetric& metric : comparison.metrics) {
    v1::TrainingComparison::Metric* const to = out->add_metrics();
    to->set_name(metric.name);
    ToFigure(metric.figure.before, to->mutable_before());
    ToFigure(metric.figure.after, to->mutable_after());
    ToFigure(metric.figure.difference, to->mutable_difference());
  }
  for (const QueryChange& change : comparison.changes.fell) ToProto(change, out->add_fell());
  for (const QueryChange& change : comparison.changes.rose) ToProto(change, out->add_rose());
}

void ToProto(const EmbeddingContract& contract, v1::EmbeddingContract* out) {
  out->set_query_prompt(contract.query_prompt);
  out->set_document_prompt(contract.document_prompt);
  out->set_max_length(contract.max_length);
  out->set_normalize(contract.normalize);
  out->set_dimensions(contract.dimensions);
  // The records' enums have the numbers of the API's.
  out->set_truncation_side(static_cast<v1::TruncationSide>(contract.truncation_side));
  out->set_pooling(static_cast<v1::Pooling>(contract.pooling));
  out->set_metric(static_cast<v1::Metric>(contract.metric));
}

nlohmann::json ItemErrorJson(int index, const absl::Status& status) {
  const google::rpc::Status proto = ToStatusProto(status);
  return {{"index", index},
          {"code", proto.code()},
          {"message", proto.message()},
          {"field", CutStatusText(FieldPath(status).value_or(""))}};
}

void FromItemErrorJson(const nlohmann::json& json, v1::ItemError* out) {
  out->set_index(json.value("index", 0));
  out->set_code(json.value("code", 0));
  out->set_message(json.value("message", ""));
  out->set_field(json.value("field", ""));
}

}  // namespace tandem
