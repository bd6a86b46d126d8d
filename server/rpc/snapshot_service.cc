#include "server/rpc/snapshot_service.h"

#include <string>

#include "server/jobs/snapshot_job.h"
#include "server/rpc/convert.h"
#include "server/rpc/limits.h"
#include "server/rpc/names.h"
#include "server/rpc/paging.h"
#include "server/rpc/submit_job.h"

namespace tandem {

SnapshotService::SnapshotService(const Rooms& rooms) : RpcService("SnapshotService", rooms.pool), rooms_(rooms) {
  Unary("CreateSnapshot", &SnapshotService::CreateSnapshot);
  Unary("RestoreSnapshot", &SnapshotService::RestoreSnapshot);
  Unary("ListSnapshots", &SnapshotService::ListSnapshots);
  Unary("DeleteSnapshot", &SnapshotService::DeleteSnapshot);
  ServerStream("DownloadSnapshot", &SnapshotService::DownloadSnapshot);
}

absl::Status SnapshotService::CreateSnapshot(const Call& call, const v1::CreateSnapshotRequest& request,
                                             v1::Job* response) {
  const auto submit = [&](const MetaStore::Request* answer) -> absl::StatusOr<JobRecord> {
    SnapshotRequest wanted{.tenant = call.tenant, .snapshot = request.snapshot_id()};
    ASSIGN_OR_RETURN(wanted.collection, ParseCollection("collection", request.collection()));
    ASSIGN_OR_RETURN(const JobRecord job, PlanCreateSnapshot(wanted, rooms_.meta, rooms_.snapshots));
    return rooms_.jobs->Submit(job, answer);
  };
  return SubmitJob(call, "CreateSnapshot", request, rooms_.meta, submit, response);
}

absl::Status SnapshotService::RestoreSnapshot(const Call& call, const v1::RestoreSnapshotRequest& request,
                                              v1::Job* response) {
  const auto submit = [&](const MetaStore::Request* answer) -> absl::StatusOr<JobRecord> {
    const SnapshotRequest wanted{
        .tenant = call.tenant, .snapshot = request.snapshot_id(), .collection = request.collection_id()};
    ASSIGN_OR_RETURN(const JobRecord job, PlanRestoreSnapshot(wanted, rooms_.meta, rooms_.snapshots));
    return rooms_.jobs->Submit(job, answer);
  };
  return SubmitJob(call, "RestoreSnapshot", request, rooms_.meta, submit, response);
}

absl::Status SnapshotService::ListSnapshots(const Call& call, const v1::ListSnapshotsRequest& request,
                                            v1::ListSnapshotsResponse* response) {
  ASSIGN_OR_RETURN(Page page, ParsePage("snapshots", request.page_size(), request.page_token()));
  const int size = page.size++;
  ASSIGN_OR_RETURN(const auto manifests, rooms_.snapshots->List(call.tenant, page));
  response->set_next_page_token(FillPage(
      "snapshots", size, manifests, response->mutable_snapshots(),
      [](const SnapshotManifest& manifest, v1::Snapshot* out) { ToProto(manifest, out); },
      [](const SnapshotManifest& manifest) { return manifest.id; }));
  return absl::OkStatus();
}

absl::Status SnapshotService::DeleteSnapshot(const Call& call, const v1::DeleteSnapshotRequest& request,
                                             google::protobuf::Empty*) {
  ASSIGN_OR_RETURN(const std::string id, ParseSnapshot("name", request.name()));
  return rooms_.snapshots->Delete(call.tenant, id);
}

absl::Status SnapshotService::DownloadSnapshot(const Call& call, const v1::DownloadSnapshotRequest& request,
                                               MessageStream* stream) {
  ASSIGN_OR_RETURN(const std::string id, ParseSnapshot("name", request.name()));
  v1::DownloadSnapshotResponse message;
  return rooms_.snapshots->Download(call.tenant, id, kMaxChunkBytes, [&](std::string_view piece) {
    message.set_data(piece.data(), piece.size());
    return stream->Write(message) ? absl::OkStatus() : absl::CancelledError("the client has gone");
  });
}

}  // namespace tandem
