// The result of a comparison of releases.

#include <google/protobuf/repeated_ptr_field.h>

#include "server/base/status.h"
#include "server/jobs/release_comparison.h"
#include "server/rpc/convert.h"
#include "server/rpc/names.h"
#include "tandem/v1/comparison.pb.h"

namespace tandem {
namespace {

using Comparison = v1::ReleaseComparison;

void ToProto(const std::string& collection, const ReleaseComparison::Side& side, Comparison::Side* out) {
  out->set_release(ReleaseNameOf(collection, side.release));
  out->set_commit(side.commit);
  if (side.metrics) tandem::ToProto(*side.metrics, out->mutable_metrics());
}

void ToProto(const PairedDifference& difference, v1::EstimatedFigure* out) {
  out->set_value(difference.mean);
  out->set_lower(difference.lower);
  out->set_upper(difference.upper);
}

void ToProto(const ReleaseComparison::Query& query, Comparison::Query* out) {
  out->set_text(query.text);
  out->set_overlap(query.overlap);
  if (query.first_ndcg) out->set_first_ndcg(*query.first_ndcg);
  if (query.second_ndcg) out->set_second_ndcg(*query.second_ndcg);
  out->mutable_only_first()->Add(query.only_first.begin(), query.only_first.end());
  out->mutable_only_second()->Add(query.only_second.begin(), query.only_second.end());
}

}  // namespace

absl::Status ToComparison(const JobRecord& record, v1::ReleaseComparison* out) {
  const nlohmann::json json = nlohmann::json::parse(record.result_json, nullptr, /*allow_exceptions=*/false);
  ASSIGN_OR_RETURN(const ReleaseComparison comparison, ReleaseComparisonFromJson(json));
  ToProto(record.collection, comparison.first, out->mutable_first());
  ToProto(record.collection, comparison.second, out->mutable_second());
  out->set_queries(comparison.queries);
  out->set_top_k(comparison.top_k);
  out->set_overlap_at_k(comparison.overlap_at_k);
  if (comparison.ndcg) ToProto(*comparison.ndcg, out->mutable_ndcg_difference());
  if (comparison.recall) ToProto(*comparison.recall, out->mutable_recall_difference());
  if (comparison.mrr) ToProto(*comparison.mrr, out->mutable_mrr_difference());
  for (const ReleaseComparison::Query& query : comparison.changed) ToProto(query, out->add_changed());
  return absl::OkStatus();
}

}  // namespace tandem
