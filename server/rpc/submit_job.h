#pragma once
// How a call that starts a job answers: with the job that an earlier call of the same request_id started, or with the
// one that `submit` stores.

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/status.h"
#include "server/rpc/convert.h"
#include "server/rpc/idempotency.h"
#include "server/rpc/names.h"

namespace tandem {

// `submit` takes what the row is to be stored with (Idempotency::Answer) and returns StatusOr<JobRecord>.
template <class Request, class Submit>
absl::Status SubmitJob(const Call& call, std::string_view method, const Request& request, MetaStore* meta,
                       Submit submit, v1::Job* response) {
  Idempotency idempotency(call, method, request);
  ASSIGN_OR_RETURN(const auto answer, idempotency.Find(meta));
  JobRecord job;
  if (answer) {
    ASSIGN_OR_RETURN(const std::string id, ParseJob("request_id", *answer));
    ASSIGN_OR_RETURN(job, meta->GetJob(call.tenant, id));
  } else {
    ASSIGN_OR_RETURN(job, submit(idempotency.Answer("")));
  }
  ToProto(job, JobProgress{}, response);
  return absl::OkStatus();
}

}  // namespace tandem
