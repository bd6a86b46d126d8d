// Collections, documents, evaluation sets.

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/util/json_util.h>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/rpc/convert.h"
#include "server/rpc/limits.h"
#include "server/rpc/names.h"
#include "tandem/v1/collection.pb.h"

namespace tandem {

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

absl::StatusOr<DocumentInput> FromProto(const v1::Document& document) {
  DocumentInput input{.id = document.id(), .text = document.text(), .payload_json = "{}"};
  if (document.payload().fields().empty()) return input;
  input.payload_json.clear();
  const auto status = google::protobuf::util::MessageToJsonString(document.payload(), &input.payload_json);
  if (!status.ok()) return InvalidField("payload", Concat("cannot be JSON: ", status.ToString()));
  if (input.payload_json.size() <= kMaxPayloadBytes) return input;
  return InvalidField("payload",
                      Concat(input.payload_json.size(), " bytes as JSON: must have at most ", kMaxPayloadBytes));
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
