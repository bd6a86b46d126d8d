#pragma once
// MineNegatives as a job: what it was asked to do, checked against what is stored, and what it does. Two steps: the
// pairs with what was found for them are written to a file in the job's directory, which a restart begins anew; once
// the file is whole they are appended to the target dataset, page by page, and a restart goes on after the last page
// that was stored. A job that has begun to append cannot be cancelled any more.

#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/negative_mining.h"
#include "server/encoder/embedding_queue.h"
#include "server/jobs/server_job.h"
#include "server/jobs/training_jobs.h"
#include "server/release/collections.h"
#include "server/storage/meta_store.h"

namespace tandem {

struct MiningRequest {
  std::string tenant;
  TrainingSource dataset;
  std::string collection;      // Id.
  std::string target_dataset;  // Id, another one than the dataset's; empty: a new one.
  NegativeMiningOptions options;
  bool only_with_negatives = false;  // Leaves out pairs without negatives, own or found.
};

// The row of such a job, for TrainingJobs::Submit. NOT_FOUND for a dataset or collection that is not there;
// FAILED_PRECONDITION or UNAVAILABLE while no release of it answers; else InvalidField: a commit that the dataset does
// not have, no examples, an example that is no pair, a target that holds something else than pairs.
absl::StatusOr<JobRecord> PlanMining(const MiningRequest& request, MetaStore* meta, Collections* collections);

// What the job came to. The form reaches disk.
struct MiningResult {
  int64_t pairs = 0;                          // That were appended.
  int64_t first_commit = 0, last_commit = 0;  // Of the target, of what was appended; 0: nothing.
  int64_t pairs_without_negatives = 0;        // For which nothing was found, appended or not.
  int64_t negatives = 0;                      // That were found.
  std::string release;                        // Id.
  int64_t release_commit = 0;                 // Of the collection: the documents that were searched.
  double mean_positive_score = 0;             // Over pairs, of the lowest-scored positive.
  double mean_negative_score = 0;             // Over what was found.
};
nlohmann::json ToJson(const MiningResult& result);
absl::StatusOr<MiningResult> MiningResultFromJson(const nlohmann::json& json);  // INVALID_ARGUMENT names the key.

// What the body works with; all outlive it.
struct MiningRooms {
  MetaStore* meta;
  Collections* collections;
  EmbeddingQueue* queue;
};
ServerJobBody MiningBody(const MiningRooms& rooms);

}  // namespace tandem
