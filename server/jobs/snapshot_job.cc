#include "server/jobs/snapshot_job.h"

#include <algorithm>

#include "server/base/ids.h"
#include "server/base/object_reader.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

using nlohmann::json;

constexpr int kStepShift = 20;  // A step is a MiB.

// Beyond the row; the form reaches disk.
json PlanJson(const std::string& snapshot, const std::string& collection) {
  return {{"snapshot", snapshot}, {"collection", collection}};
}

absl::StatusOr<SnapshotTask> TaskOf(const ServerJob& job) {
  const json from = json::parse(job.record.options_json, nullptr, /*allow_exceptions=*/false);
  SnapshotTask task;
  task.tenant = job.record.tenant;
  task.job = job.record.id;
  ObjectReader reader("plan of a snapshot", from);
  reader.Read("snapshot", task.snapshot);
  reader.Read("collection", task.collection);
  RETURN_IF_ERROR(reader.Finish());
  task.progress = [&job](int64_t done, int64_t all) {
    return job.progress(done >> kStepShift, std::max(done >> kStepShift, std::max<int64_t>(1, all >> kStepShift)));
  };
  return task;
}

std::string ResultJson(const SnapshotTask& task, const SnapshotManifest& manifest) {
  return json{{"snapshot", task.snapshot},       {"collection", task.collection}, {"release", manifest.release},
              {"model", manifest.model},         {"revision", manifest.revision}, {"commit", manifest.commit},
              {"documents", manifest.documents}, {"bytes", manifest.bytes()}}
      .dump();
}

}  // namespace

absl::StatusOr<JobRecord> PlanCreateSnapshot(const SnapshotRequest& request, MetaStore* meta, Snapshots* snapshots) {
  RETURN_IF_ERROR(meta->GetCollection(request.tenant, request.collection).status());
  JobRecord job{.tenant = request.tenant, .kind = JobKind::kCreateSnapshot};
  const std::string snapshot = request.snapshot.empty() ? NewId() : request.snapshot;
  if (!absl::IsNotFound(snapshots->Get(request.tenant, snapshot).status())) {
    return absl::AlreadyExistsError(Concat("snapshots/", snapshot, " exists already"));
  }
  job.options_json = PlanJson(snapshot, request.collection).dump();
  job.collection = request.collection;
  return job;
}

absl::StatusOr<JobRecord> PlanRestoreSnapshot(const SnapshotRequest& request, MetaStore* meta, Snapshots* snapshots) {
  ASSIGN_OR_RETURN(const SnapshotManifest manifest, snapshots->Get(request.tenant, request.snapshot));
  const std::string collection = request.collection.empty() ? manifest.collection : request.collection;
  if (meta->GetCollection(request.tenant, collection).ok()) {
    return absl::AlreadyExistsError(
        Concat("collections/", collection, " exists already: give another collection_id, or delete it"));
  }
  JobRecord job{.tenant = request.tenant, .kind = JobKind::kRestoreSnapshot};
  job.options_json = PlanJson(request.snapshot, collection).dump();
  // A revision that is there already stays while the job runs.
  if (!manifest.revision.empty() && meta->GetModelRevision(request.tenant, manifest.model, manifest.revision).ok()) {
    job.base_revision = Concat("models/", manifest.model, "/revisions/", manifest.revision);
  }
  return job;
}

absl::StatusOr<SnapshotResult> SnapshotResultFromJson(const json& from) {
  SnapshotResult result;
  ObjectReader reader("result of a snapshot", from);
  reader.Read("snapshot", result.snapshot);
  reader.Read("collection", result.collection);
  reader.Read("release", result.release);
  reader.Read("model", result.model);
  reader.Read("revision", result.revision);
  reader.Read("commit", result.commit);
  reader.Read("documents", result.documents);
  reader.Read("bytes", result.bytes);
  RETURN_IF_ERROR(reader.Finish());
  return result;
}

ServerJobBody CreateSnapshotBody(Snapshots* snapshots) {
  return [snapshots](const ServerJob& job) -> absl::StatusOr<std::string> {
    ASSIGN_OR_RETURN(const SnapshotTask task, TaskOf(job));
    ASSIGN_OR_RETURN(const SnapshotManifest manifest, snapshots->Create(task));
    return ResultJson(task, manifest);
  };
}

ServerJobBody RestoreSnapshotBody(Snapshots* snapshots) {
  return [snapshots](const ServerJob& job) -> absl::StatusOr<std::string> {
    ASSIGN_OR_RETURN(const SnapshotTask task, TaskOf(job));
    ASSIGN_OR_RETURN(const SnapshotManifest manifest, snapshots->Restore(task));
    return ResultJson(task, manifest);
  };
}

}  // namespace tandem
