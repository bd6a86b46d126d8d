#pragma once
// CompareReleases as a job: what it was asked to do, checked against what is stored, and what it does. Both releases
// are looked at as they are when an attempt begins; an attempt that was broken off begins anew.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/encoder/embedding_queue.h"
#include "server/jobs/server_job.h"
#include "server/release/collections.h"
#include "server/storage/meta_store.h"

namespace tandem {

struct ComparisonRequest {
  std::string tenant, collection;    // Ids.
  std::string first, second;         // Release ids.
  std::string evaluation_set;        // Id; or, when it is empty,
  std::vector<std::string> queries;  // texts without judgements.
  int top_k = 10;
};

// Such a job, for TrainingJobs::Submit: its row and its input.
struct ComparisonPlan {
  JobRecord job;
  std::string input;
};
// NOT_FOUND for a release or an evaluation set that is not there; FAILED_PRECONDITION or UNAVAILABLE while a release is
// not in memory, or has no encoder.
absl::StatusOr<ComparisonPlan> PlanComparison(const ComparisonRequest& request, MetaStore* meta,
                                              Collections* collections);

// What the body works with; all outlive it.
struct ComparisonRooms {
  MetaStore* meta;
  Collections* collections;
  EmbeddingQueue* queue;
};
// Its result: a ReleaseComparison (release_comparison.h).
ServerJobBody ComparisonBody(const ComparisonRooms& rooms);

}  // namespace tandem
