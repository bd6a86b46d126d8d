#pragma once
// Releases of a collection. See proto/tandem/v1/release.proto.

#include <iosfwd>
#include <string>

#include "server/rpc/rooms.h"
#include "server/rpc/rpc_service.h"
#include "tandem/v1/release.pb.h"

namespace tandem {

class ReleaseService : public RpcService {
 public:
  explicit ReleaseService(const Rooms& rooms);

 private:
  absl::Status CreateRelease(const Call& call, const v1::CreateReleaseRequest& request, v1::Release* response);
  absl::Status GetRelease(const Call& call, const v1::GetReleaseRequest& request, v1::Release* response);
  absl::Status ListReleases(const Call& call, const v1::ListReleasesRequest& request,
                            v1::ListReleasesResponse* response);
  absl::Status CancelRelease(const Call& call, const v1::CancelReleaseRequest& request, v1::Release* response);
  absl::Status DeleteRelease(const Call& call, const v1::DeleteReleaseRequest& request,
                             google::protobuf::Empty* response);
  absl::Status WatchRelease(const Call& call, const v1::WatchReleaseRequest& request, MessageStream* stream);
  absl::Status PromoteRelease(const Call& call, const v1::PromoteReleaseRequest& request,
                              v1::PromoteReleaseResponse* response);
  absl::Status CompareReleases(const Call& call, const v1::CompareReleasesRequest& request, v1::Job* response);
  absl::Status ExportIndex(const Call& call, const v1::ExportIndexRequest& request, MessageStream* stream);

  void Fill(const ReleaseRecord& record, v1::Release* out);
  absl::StatusOr<ReleaseRecord> Find(const Call& call, const std::string& name);
  absl::Status FillRepeated(const Call& call, const std::string& name, v1::PromoteReleaseResponse* response);
  static absl::Status SendIndex(std::ifstream& file, MessageStream* stream);
  static absl::Status SendIds(std::ifstream& labels, DocumentStore& documents, MessageStream* stream);

  const Rooms& rooms_;
};

}  // namespace tandem
