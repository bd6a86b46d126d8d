#pragma once
// CreateSnapshot and RestoreSnapshot as jobs. What they do is server/snapshot's.

#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "server/jobs/server_job.h"
#include "server/snapshot/snapshots.h"
#include "server/storage/meta_store.h"

namespace tandem {

struct SnapshotRequest {
  std::string tenant;
  std::string snapshot;    // Id; of a new one it may be empty.
  std::string collection;  // Id; to restore into, that of the snapshot when empty.
};

// The rows of such jobs, for TrainingJobs::Submit. Create: NOT_FOUND for the collection, ALREADY_EXISTS for the
// snapshot. Restore: NOT_FOUND for the snapshot, ALREADY_EXISTS for the collection.
absl::StatusOr<JobRecord> PlanCreateSnapshot(const SnapshotRequest& request, MetaStore* meta, Snapshots* snapshots);
absl::StatusOr<JobRecord> PlanRestoreSnapshot(const SnapshotRequest& request, MetaStore* meta, Snapshots* snapshots);

// What such a job came to. The form reaches disk.
struct SnapshotResult {
  std::string snapshot, collection;      // Ids; the collection that was copied, or made.
  std::string release, model, revision;  // Ids of its live release; empty where there is none.
  int64_t commit = 0, documents = 0, bytes = 0;
};
absl::StatusOr<SnapshotResult> SnapshotResultFromJson(const nlohmann::json& json);  // INVALID_ARGUMENT names the key.

// The bodies; `snapshots` outlives them.
ServerJobBody CreateSnapshotBody(Snapshots* snapshots);
ServerJobBody RestoreSnapshotBody(Snapshots* snapshots);

}  // namespace tandem
