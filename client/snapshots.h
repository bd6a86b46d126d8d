#pragma once
// Snapshots: copies of collections on the server. Names may be short ("s1") or full ("snapshots/s1"). Thread-safe.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/connection.h"
#include "client/progress.h"
#include "tandem/v1/snapshot.grpc.pb.h"

namespace tandem {

class Snapshots {
 public:
  explicit Snapshots(std::shared_ptr<const Connection> connection);

  // Start jobs; their result is in Job.snapshot. Names in the requests may be short.
  absl::StatusOr<v1::Job> Create(v1::CreateSnapshotRequest request) const;
  absl::StatusOr<v1::Job> Restore(v1::RestoreSnapshotRequest request) const;

  absl::StatusOr<std::vector<v1::Snapshot>> List() const;  // By id.
  absl::Status Delete(absl::string_view snapshot) const;

  // Writes the snapshot as one tar file, which appears under its name when it is complete. ALREADY_EXISTS when the file
  // is there. A broken stream begins again.
  absl::Status Download(absl::string_view snapshot, const std::string& file, const OnTransfer& on_transfer = {}) const;

 private:
  std::shared_ptr<const Connection> connection_;
  std::shared_ptr<v1::SnapshotService::Stub> stub_;
};

}  // namespace tandem
