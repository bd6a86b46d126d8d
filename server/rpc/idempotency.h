#pragma once
// A request_id: the same id with the same content gets the same answer for a day. The answer is stored in the
// transaction of the change, so it is there exactly when the change is.
//
//   Idempotency idempotency(call, "CreateDataset", request);
//   ASSIGN_OR_RETURN(const auto answer, idempotency.Find(meta));
//   if (answer) return ...;  // The name that the first call made.
//   meta->CreateDataset(..., idempotency.Answer(DatasetName(id)));

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/rpc/rpc_service.h"
#include "server/rpc/wire.h"
#include "server/storage/meta_store.h"

namespace tandem {

class Idempotency {
 public:
  // `method` is a literal; `call` and `request` outlive this.
  template <class Request>
  Idempotency(const Call& call, std::string_view method, const Request& request)
      : Idempotency(call.tenant, method, request.request_id(), request) {}

  // The stored answer; nothing without a request_id. InvalidField "request_id" when the content was another.
  absl::StatusOr<std::optional<std::string>> Find(MetaStore* meta);
  // The answer of a first call that was still under way at Find, when the change has failed with `status` because of
  // it; else `status`.
  absl::StatusOr<std::string> FindAfter(const absl::Status& status, MetaStore* meta);
  // What a changing call stores; null without a request_id.
  const MetaStore::Request* Answer(std::string answer);

 private:
  Idempotency(std::string_view tenant, std::string_view method, std::string_view request_id,
              const google::protobuf::Message& request);
  MetaStore::Request request_;
};

}  // namespace tandem
