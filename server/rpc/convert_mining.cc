// Negative mining: what is asked for, and what a job came to.

#include "server/base/status.h"
#include "server/jobs/mining_job.h"
#include "server/rpc/convert.h"
#include "server/rpc/names.h"
#include "tandem/v1/job.pb.h"
#include "tandem/v1/training.pb.h"

namespace tandem {

NegativeMiningOptions FromProto(const v1::NegativeMining& from) {
  NegativeMiningOptions options;
  if (from.has_negatives()) options.negatives = from.negatives();
  if (from.has_min_rank()) options.min_rank = from.min_rank();
  if (from.has_max_rank()) options.max_rank = from.max_rank();
  if (from.has_margin()) options.margin = from.margin();
  if (from.has_relative_margin()) options.relative_margin = from.relative_margin();
  if (from.has_min_score()) options.min_score = from.min_score();
  if (from.has_max_score()) options.max_score = from.max_score();
  if (from.sampling() != v1::NegativeMining::SAMPLING_UNSPECIFIED) {
    options.sampling = static_cast<NegativeMiningOptions::Sampling>(from.sampling());  // The same numbers.
  }
  if (from.has_seed()) options.seed = from.seed();
  return options;
}

absl::Status ToMining(const JobRecord& record, v1::MiningResult* out) {
  const nlohmann::json json = nlohmann::json::parse(record.result_json, nullptr, /*allow_exceptions=*/false);
  ASSIGN_OR_RETURN(const MiningResult result, MiningResultFromJson(json));
  out->set_dataset(DatasetName(record.target_dataset));
  out->set_first_commit(result.first_commit);
  out->set_last_commit(result.last_commit);
  out->set_pairs(result.pairs);
  out->set_pairs_without_negatives(result.pairs_without_negatives);
  out->set_negatives(result.negatives);
  out->set_release(ReleaseNameOf(record.collection, result.release));
  out->set_release_commit(result.release_commit);
  out->set_mean_positive_score(result.mean_positive_score);
  out->set_mean_negative_score(result.mean_negative_score);
  return absl::OkStatus();
}

}  // namespace tandem
