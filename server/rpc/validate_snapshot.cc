// Requests of SnapshotService.

#include "server/base/status.h"
#include "server/rpc/checks.h"
#include "server/rpc/names.h"
#include "server/rpc/validate.h"
#include "tandem/v1/snapshot.pb.h"

namespace tandem {

absl::Status Validate(const v1::CreateSnapshotRequest& request) {
  RETURN_IF_ERROR(ParseCollection("collection", request.collection()).status());
  RETURN_IF_ERROR(CheckId("snapshot_id", request.snapshot_id(), /*optional=*/true));
  return CheckRequestId(request.request_id());
}

absl::Status Validate(const v1::RestoreSnapshotRequest& request) {
  RETURN_IF_ERROR(CheckId("snapshot_id", request.snapshot_id()));
  RETURN_IF_ERROR(CheckId("collection_id", request.collection_id(), /*optional=*/true));
  return CheckRequestId(request.request_id());
}

absl::Status Validate(const v1::ListSnapshotsRequest& request) {
  return ParsePage("snapshots", request.page_size(), request.page_token()).status();
}

absl::Status Validate(const v1::DeleteSnapshotRequest& request) {
  return ParseSnapshot("name", request.name()).status();
}

absl::Status Validate(const v1::DownloadSnapshotRequest& request) {
  return ParseSnapshot("name", request.name()).status();
}

}  // namespace tandem
