// Collections, documents, evaluation sets.

#include <algorithm>

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/util/json_util.h>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/rpc/checks.h"
#include "server/rpc/convert.h"
#include "server/rpc/encodings.h"
#include "server/rpc/limits.h"
#include "server/rpc/names.h"
#include "tandem/v1/collection.pb.h"

namespace tandem {
namespace {

absl::StatusOr<std::vector<float>> ClientVector(const v1::Vector& vector, const ExternalVectors& external) {
  ASSIGN_OR_RETURN(std::vector<float> values, DecodeVector("vector", vector));
  if (values.size() != static_cast<size_t>(external.dimensions)) {
    return InvalidField("vector",
                        Concat(values.size(), " values: the collection's vectors have ", external.dimensions));
  }
  const bool zero = std::all_of(values.begin(), values.end(), [](float value) { return value == 0; });
  if (zero && external.metric == MetricKind::kCosine) {
    return InvalidField("vector", "is zero, which has no direction: the collection's metric is COSINE");
  }
  return values;
}

absl::StatusOr<std::string> PayloadJson(const google::protobuf::Struct& payload) {
  if (payload.fields().empty()) return "{}";
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(payload, &json);
  if (!status.ok()) return InvalidField("payload", Concat("cannot be JSON: ", status.ToString()));
  if (json.size() <= kMaxPayloadBytes) return json;
  return InvalidField("payload", Concat(json.size(), " bytes as JSON: must have at most ", kMaxPayloadBytes));
}

}  // namespace

void ToProto(const CollectionRecord& record, int64_t commit, int64_t document_count, v1::Collection* out) {
  out->set_name(CollectionName(record.id));
  out->set_display_name(record.display_name);
  ToProto(record.create_time, out->mutable_create_time());
  out->set_commit(commit);
  out->set_document_count(document_count);
  if (!record.live_release.empty()) out->set_live_release(ReleaseNameOf(record.id, record.live_release));
  if (!record.previous_release.empty()) out->set_previous_release(ReleaseNameOf(record.id, record.previous_release));
  v1::GatePolicy* gate = out->mutable_gate();
  if (!record.gate.evaluation_set.empty()) {
    gate->set_evaluation_set(EvaluationSetNameOf(record.id, record.gate.evaluation_set));
  }
  gate->set_margin(record.gate.margin);
  gate->set_min_index_recall(record.gate.min_index_recall);
  gate->set_min_ndcg(record.gate.min_ndcg);
  ToProto(record.rollback_window, out->mutable_rollback_window());
  out->set_etag(Concat(record.etag));
  for (const FilterableField& field : record.fields) ToProto(field, out->add_fields());
  out->set_keyword_index(record.keyword_index);
  if (record.external) {
    out->mutable_external()->set_dimensions(record.external->dimensions);
    out->mutable_external()->set_metric(static_cast<v1::Metric>(record.external->metric));  // Numbers of the API.
  }
}

ExternalVectors FromProto(const v1::ExternalVectors& external) {
  const bool said = external.metric() != v1::METRIC_UNSPECIFIED;
  return {.dimensions = external.dimensions(),
          .metric = said ? static_cast<MetricKind>(external.metric()) : MetricKind::kCosine};
}

GatePolicy FromProto(const v1::GatePolicy& gate) {
  GatePolicy record;
  if (gate.has_margin()) record.margin = gate.margin();
  if (gate.has_min_index_recall()) record.min_index_recall = gate.min_index_recall();
  if (gate.has_min_ndcg()) record.min_ndcg = gate.min_ndcg();
  const auto set = ParseEvaluationSet("gate.evaluation_set", gate.evaluation_set());
  if (set.ok()) record.evaluation_set = set->evaluation_set;  // Validated: otherwise it is empty.
  return record;
}

void ToProto(const DocumentVersion& version, v1::Document* out) {
  out->set_id(version.id);
  out->set_text(version.text);
  out->set_commit(version.commit);
  if (version.payload_json.empty() || version.payload_json == "{}") return;
  // What was stored came out of MessageToJsonString, so it goes in again.
  if (!google::protobuf::util::JsonStringToMessage(version.payload_json, out->mutable_payload()).ok()) {
    out->clear_payload();
  }
}

absl::StatusOr<DocumentInput> FromProto(const v1::Document& document, const std::optional<ExternalVectors>& external) {
  DocumentInput input{.id = document.id(), .text = document.text()};
  if (external) {
    ASSIGN_OR_RETURN(input.vector, ClientVector(document.vector(), *external));
  } else {
    RETURN_IF_ERROR(CheckText("text", document.text()));
    if (document.has_vector()) {
      return InvalidField("vector", "is for EXTERNAL collections: here the text is embedded");
    }
  }
  ASSIGN_OR_RETURN(input.payload_json, PayloadJson(document.payload()));
  return input;
}

absl::StatusOr<PayloadUpdate> FromProto(const v1::UpdatePayloadsRequest::Update& update) {
  ASSIGN_OR_RETURN(std::string payload, PayloadJson(update.payload()));
  return PayloadUpdate{.id = update.id(), .payload_json = std::move(payload)};
}

void ToProto(const EvaluationSetRecord& record, v1::EvaluationSet* out) {
  out->set_name(EvaluationSetNameOf(record.collection, record.id));
  ToProto(record.create_time, out->mutable_create_time());
  out->set_query_count(record.query_count);
}

EvaluationQuery FromProto(const v1::EvaluationQuery& query) {
  EvaluationQuery record{.text = query.text(), .judgements = {}};
  for (const v1::Judgement& judgement : query.judgements()) {
    record.judgements.push_back({.document = judgement.document(), .grade = judgement.grade()});
  }
  return record;
}

}  // namespace tandem
