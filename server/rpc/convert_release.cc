// Models and releases.

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include "server/rpc/convert.h"
#include "server/rpc/names.h"
#include "server/rpc/status.h"
#include "tandem/v1/model.pb.h"
#include "tandem/v1/release.pb.h"

namespace tandem {
namespace {

// What is left to the index stays unset.
template <class Index>
void ListsToProto(const IndexSpec& spec, Index* out) {
  if (spec.ivf_lists > 0) out->set_lists(spec.ivf_lists);
  if (spec.ivf_nprobe > 0) out->set_nprobe(spec.ivf_nprobe);
}

template <class Index>
void RerankFactorToProto(const IndexSpec& spec, Index* out) {
  if (spec.rerank_factor > 0) out->set_rerank_factor(spec.rerank_factor);
}

void ToProto(const IndexSpec& spec, v1::IndexSpec* out) {
  switch (spec.kind) {
    case IndexKind::kBySize:
      return;
    case IndexKind::kFlat:
      out->mutable_flat();
      return;
    case IndexKind::kHnsw:
      out->mutable_hnsw()->set_m(spec.hnsw_m);
      out->mutable_hnsw()->set_ef_construction(spec.hnsw_ef_construction);
      out->mutable_hnsw()->set_ef_search(spec.hnsw_ef_search);
      return;
    case IndexKind::kIvfFlat:
      ListsToProto(spec, out->mutable_ivf_flat());
      return;
    case IndexKind::kIvfPq:
      ListsToProto(spec, out->mutable_ivf_pq());
      if (spec.pq_subquantizers > 0) out->mutable_ivf_pq()->set_subquantizers(spec.pq_subquantizers);
      RerankFactorToProto(spec, out->mutable_ivf_pq());
      return;
    case IndexKind::kScalarQuantized:
      out->mutable_scalar_quantized()->set_storage(static_cast<v1::VectorStorage>(spec.code_storage));
      RerankFactorToProto(spec, out->mutable_scalar_quantized());
      return;
    case IndexKind::kBinary:
      RerankFactorToProto(spec, out->mutable_binary());
      return;
  }
}

template <class Index>
void ListsFromProto(const Index& index, IndexSpec* record) {
  record->ivf_lists = index.lists();
  record->ivf_nprobe = index.nprobe();
}

void ToProto(const Calibration& calibration, v1::Calibration* out) {
  out->set_slope(calibration.scaling.slope);
  out->set_intercept(calibration.scaling.intercept);
  out->set_hits(calibration.scores);
  out->set_expected_error(calibration.expected_error);
}

void ToProto(std::string_view collection, const Evaluation& evaluation, v1::Evaluation* out) {
  if (!evaluation.evaluation_set.empty()) {
    out->set_evaluation_set(EvaluationSetNameOf(collection, evaluation.evaluation_set));
  }
  out->set_commit(evaluation.commit);
  out->set_index_recall_at_10(evaluation.index_recall_at_10);
  tandem::ToProto(evaluation.metrics, out->mutable_metrics());
}

}  // namespace

void ToProto(const ModelRecord& record, v1::Model* out) {
  out->set_name(ModelName(record.id));
  ToProto(record.create_time, out->mutable_create_time());
  if (!record.newest_revision.empty()) out->set_newest_revision(RevisionNameOf(record.id, record.newest_revision));
  out->set_revision_count(record.revision_count);
}

void ToProto(const ModelRevisionRecord& record, v1::ModelRevision* out) {
  out->set_name(RevisionNameOf(record.model, record.id));
  ToProto(record.create_time, out->mutable_create_time());
  out->set_architecture(record.architecture);
  out->set_parameters(record.parameters);
  ToProto(record.contract, out->mutable_contract());
  out->set_parent(record.parent);
  if (!record.dataset.empty()) out->set_dataset(DatasetName(record.dataset));
  out->set_dataset_commit(record.dataset_commit);
  if (!record.job.empty()) out->set_job(JobName(record.job));
  out->set_options_json(record.options_json);
  if (record.validation) ToProto(*record.validation, out->mutable_validation());
  if (record.comparison) ToProto(*record.comparison, out->mutable_comparison());
  out->set_sha256(record.sha256);
  for (const DatasetCommit& source : record.sources) {
    out->add_sources()->set_dataset(DatasetName(source.dataset));
    out->mutable_sources()->rbegin()->set_commit(source.commit);
  }
}

// A field that is not set reads as 0: left to the index.
IndexSpec FromProto(const v1::IndexSpec& spec) {
  IndexSpec record;
  switch (spec.kind_case()) {
    case v1::IndexSpec::KIND_NOT_SET:
      record.kind = IndexKind::kBySize;
      break;
    case v1::IndexSpec::kFlat:
      record.kind = IndexKind::kFlat;
      break;
    case v1::IndexSpec::kHnsw:
      record.kind = IndexKind::kHnsw;
      if (spec.hnsw().has_m()) record.hnsw_m = spec.hnsw().m();
      if (spec.hnsw().has_ef_construction()) record.hnsw_ef_construction = spec.hnsw().ef_construction();
      if (spec.hnsw().has_ef_search()) record.hnsw_ef_search = spec.hnsw().ef_search();
      break;
    case v1::IndexSpec::kIvfFlat:
      record.kind = IndexKind::kIvfFlat;
      ListsFromProto(spec.ivf_flat(), &record);
      break;
    case v1::IndexSpec::kIvfPq:
      record.kind = IndexKind::kIvfPq;
      ListsFromProto(spec.ivf_pq(), &record);
      record.pq_subquantizers = spec.ivf_pq().subquantizers();
      record.rerank_factor = spec.ivf_pq().rerank_factor();
      break;
    case v1::IndexSpec::kScalarQuantized:
      record.kind = IndexKind::kScalarQuantized;
      if (spec.scalar_quantized().storage() == v1::STORE_FLOAT16) record.code_storage = CodeStorage::kFloat16;
      record.rerank_factor = spec.scalar_quantized().rerank_factor();
      break;
    case v1::IndexSpec::kBinary:
      record.kind = IndexKind::kBinary;
      record.rerank_factor = spec.binary().rerank_factor();
      break;
  }
  return record;
}

void ToProto(const ReleaseRecord& record, const BuildProgress& progress, v1::Release* out) {
  out->set_name(ReleaseNameOf(record.collection, record.id));
  out->set_state(static_cast<v1::Release::State>(record.state));  // Numbers of the API.
  ToProto(record.create_time, out->mutable_create_time());
  ToProto(record.index, out->mutable_index());
  if (record.external()) {  // Nothing is said of texts.
    out->mutable_contract()->set_dimensions(record.contract.dimensions);
    out->mutable_contract()->set_metric(static_cast<v1::Metric>(record.contract.metric));
  } else {
    out->set_model_revision(RevisionNameOf(record.model, record.revision));
    ToProto(record.contract, out->mutable_contract());
  }
  out->set_cursor(progress.cursor);
  out->set_target_commit(progress.target_commit);
  out->set_documents_done(progress.documents_done);
  out->set_documents_total(progress.documents_total);
  if (record.state == ReleaseState::kBuilding) ToProto(progress.time_left, out->mutable_time_left());
  if (record.evaluation) ToProto(record.collection, *record.evaluation, out->mutable_evaluation());
  if (record.evaluation && record.evaluation->calibration) {
    ToProto(*record.evaluation->calibration, out->mutable_calibration());
  }
  if (record.state == ReleaseState::kFailed) {
    *out->mutable_error() = ToStatusProto(record.error_code, record.error_message);
  }
  if (record.promote_time) ToProto(*record.promote_time, out->mutable_promote_time());
  if (record.gate) ToProto(record.collection, *record.gate, out->mutable_gate());
  out->set_index_bytes(progress.index_bytes);
  out->set_rebuilding(progress.rebuilding);
}

void ToProto(std::string_view collection, const GateReport& report, v1::GateReport* out) {
  out->set_passed(report.passed);
  out->set_overridden(report.overridden);
  out->set_reason(report.reason);
  if (report.candidate) ToProto(collection, *report.candidate, out->mutable_candidate());
  if (report.live) ToProto(collection, *report.live, out->mutable_live());
  out->set_ndcg_difference(report.ndcg.mean);
  out->set_ndcg_difference_lower(report.ndcg.lower);
  out->set_ndcg_difference_upper(report.ndcg.upper);
  for (const QueryChange& change : report.changes.fell) ToProto(change, out->add_fell());
  for (const QueryChange& change : report.changes.rose) ToProto(change, out->add_rose());
  out->set_override_reason(report.override_reason);
  out->set_overridden_by(report.overridden_by);
  ToProto(report.time, out->mutable_time());
}

}  // namespace tandem
