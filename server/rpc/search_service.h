#pragma once
// Queries. See proto/tandem/v1/search.proto.

#include "server/rpc/rooms.h"
#include "server/rpc/rpc_service.h"
#include "tandem/v1/search.pb.h"

namespace tandem {

class SearchService : public RpcService {
 public:
  explicit SearchService(const Rooms& rooms);

 private:
  absl::Status Search(const Call& call, const v1::SearchRequest& request, v1::SearchResponse* response);
  absl::Status BatchSearch(const Call& call, const v1::BatchSearchRequest& request, v1::BatchSearchResponse* response);
  absl::Status SendFeedback(const Call& call, const v1::SendFeedbackRequest& request,
                            google::protobuf::Empty* response);
  // The live release does not have the request's min_commit yet.
  template <class Request>
  bool MustWait(const Call& call, const Request& request);

  const Rooms& rooms_;
};

}  // namespace tandem
