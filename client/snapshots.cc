#include "client/snapshots.h"

#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/names.h"
#include "client/pages.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;
using Stub = v1::SnapshotService::Stub;

absl::Status CannotWrite(const std::string& path) {
  return absl::UnknownError(absl::StrCat(path, ": cannot be written; is the disk full?"));
}

}  // namespace

Snapshots::Snapshots(std::shared_ptr<const Connection> connection)
    : connection_(std::move(connection)), stub_(v1::SnapshotService::NewStub(connection_->channel())) {}

absl::StatusOr<v1::Job> Snapshots::Create(v1::CreateSnapshotRequest request) const {
  request.set_collection(CollectionName(request.collection()));
  return connection_->Call(*stub_, &Stub::CreateSnapshot, std::move(request));
}

absl::StatusOr<v1::Job> Snapshots::Restore(v1::RestoreSnapshotRequest request) const {
  request.set_snapshot_id(std::string(ShortId(request.snapshot_id())));
  request.set_collection_id(std::string(ShortId(request.collection_id())));
  return connection_->Call(*stub_, &Stub::RestoreSnapshot, std::move(request));
}

absl::StatusOr<std::vector<v1::Snapshot>> Snapshots::List() const {
  return CollectPages<v1::Snapshot>(
      v1::ListSnapshotsRequest(), 0,
      [this](const v1::ListSnapshotsRequest& page) { return connection_->Call(*stub_, &Stub::ListSnapshots, page); },
      [](v1::ListSnapshotsResponse* response) { return response->mutable_snapshots(); });
}

absl::Status Snapshots::Delete(absl::string_view snapshot) const {
  v1::DeleteSnapshotRequest request;
  request.set_name(SnapshotName(snapshot));
  return connection_->CallOnce(*stub_, &Stub::DeleteSnapshot, request).status();
}

absl::Status Snapshots::Download(absl::string_view snapshot, const std::string& file,
                                 const OnTransfer& on_transfer) const {
  std::error_code error;
  if (fs::exists(file, error)) return absl::AlreadyExistsError(absl::StrCat(file, " is there already"));
  v1::DownloadSnapshotRequest request;
  request.set_name(SnapshotName(snapshot));
  const std::string staging = absl::StrCat(file, ".partial");
  Backoff backoff(connection_->options().retry, connection_->options().retry.stream_patience);
  while (true) {
    std::ofstream out(staging, std::ios::binary | std::ios::trunc);
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<v1::DownloadSnapshotResponse>> stream =
        stub_->DownloadSnapshot(&context, request);
    TransferProgress progress;
    for (v1::DownloadSnapshotResponse part; out && stream->Read(&part);) {
      out.write(part.data().data(), static_cast<std::streamsize>(part.data().size()));
      progress.bytes += static_cast<int64_t>(part.data().size());
      if (on_transfer) on_transfer(progress);
    }
    if (!out) context.TryCancel();
    const absl::Status status = FromGrpc(stream->Finish(), connection_->address());
    out.close();
    if (!out) return CannotWrite(staging);
    if (status.ok()) break;
    if (!backoff.WaitAfter(status)) {
      fs::remove(staging, error);
      return status;
    }
  }
  fs::rename(staging, file, error);
  return error ? absl::UnknownError(absl::StrCat(file, ": ", error.message())) : absl::OkStatus();
}

}  // namespace tandem
