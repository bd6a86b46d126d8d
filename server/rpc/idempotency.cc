#include "server/rpc/idempotency.h"

#include <utility>

namespace tandem {

Idempotency::Idempotency(std::string_view tenant, std::string_view method, std::string_view request_id,
                         const google::protobuf::Message& request)
    : request_{.tenant = tenant, .method = method, .request_id = request_id, .fingerprint = "", .answer = ""} {
  if (!request_id.empty()) request_.fingerprint = Fingerprint(request);
}

absl::StatusOr<std::optional<std::string>> Idempotency::Find(MetaStore* meta) {
  if (request_.request_id.empty()) return std::nullopt;
  return meta->FindAnswer(request_);
}

absl::StatusOr<std::string> Idempotency::FindAfter(const absl::Status& status, MetaStore* meta) {
  if (!absl::IsAlreadyExists(status) && !absl::IsFailedPrecondition(status) && !absl::IsAborted(status)) return status;
  ASSIGN_OR_RETURN(std::optional<std::string> answer, Find(meta));
  if (!answer) return status;
  return *std::move(answer);
}

const MetaStore::Request* Idempotency::Answer(std::string answer) {
  if (request_.request_id.empty()) return nullptr;
  request_.answer = std::move(answer);
  return &request_;
}

}  // namespace tandem
