// Snapshots, and what their jobs came to.

#include <google/protobuf/timestamp.pb.h>

#include "server/base/status.h"
#include "server/jobs/snapshot_job.h"
#include "server/rpc/convert.h"
#include "server/rpc/names.h"
#include "tandem/v1/job.pb.h"
#include "tandem/v1/snapshot.pb.h"

namespace tandem {

void ToProto(const SnapshotManifest& manifest, v1::Snapshot* out) {
  out->set_name(SnapshotName(manifest.id));
  ToProto(manifest.create_time, out->mutable_create_time());
  out->set_collection(CollectionName(manifest.collection));
  if (!manifest.release.empty()) out->set_release(ReleaseNameOf(manifest.collection, manifest.release));
  if (!manifest.revision.empty()) out->set_model_revision(RevisionNameOf(manifest.model, manifest.revision));
  out->set_commit(manifest.commit);
  out->set_documents(manifest.documents);
  out->set_bytes(manifest.bytes());
}

absl::Status ToSnapshot(const JobRecord& record, v1::SnapshotResult* out) {
  const nlohmann::json json = nlohmann::json::parse(record.result_json, nullptr, /*allow_exceptions=*/false);
  ASSIGN_OR_RETURN(const SnapshotResult result, SnapshotResultFromJson(json));
  out->set_snapshot(SnapshotName(result.snapshot));
  out->set_collection(CollectionName(result.collection));
  if (!result.release.empty()) out->set_release(ReleaseNameOf(result.collection, result.release));
  if (!result.revision.empty()) out->set_model_revision(RevisionNameOf(result.model, result.revision));
  out->set_commit(result.commit);
  out->set_documents(result.documents);
  out->set_bytes(result.bytes);
  return absl::OkStatus();
}

}  // namespace tandem
