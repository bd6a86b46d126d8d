#include "server/rpc/job_service.h"

#include "server/rpc/convert.h"
#include "server/rpc/names.h"
#include "server/rpc/paging.h"

namespace tandem {

JobService::JobService(const Rooms& rooms) : RpcService("JobService", rooms.pool), rooms_(rooms) {
  Unary("GetJob", &JobService::GetJob);
  Unary("ListJobs", &JobService::ListJobs);
  Unary("CancelJob", &JobService::CancelJob);
  Unary("DeleteJob", &JobService::DeleteJob);
  ServerStream("WatchJob", &JobService::WatchJob);
}

// A job whose events cannot be read is still shown, without progress.
void JobService::Fill(const Call& call, const JobRecord& record, v1::Job* out) {
  const auto progress = rooms_.jobs->Progress(call.tenant, record.id);
  ToProto(record, progress.ok() ? *progress : JobProgress{}, out);
}

absl::Status JobService::GetJob(const Call& call, const v1::GetJobRequest& request, v1::Job* response) {
  ASSIGN_OR_RETURN(const std::string id, ParseJob("name", request.name()));
  ASSIGN_OR_RETURN(const JobRecord record, rooms_.meta->GetJob(call.tenant, id));
  Fill(call, record, response);
  return absl::OkStatus();
}

absl::Status JobService::ListJobs(const Call& call, const v1::ListJobsRequest& request,
                                  v1::ListJobsResponse* response) {
  ASSIGN_OR_RETURN(Page page, ParsePage("jobs", request.page_size(), request.page_token()));
  const int size = page.size++;
  ASSIGN_OR_RETURN(const auto records, rooms_.meta->ListJobs(call.tenant, page));
  response->set_next_page_token(FillPage(
      "jobs", size, records, response->mutable_jobs(),
      [&](const JobRecord& record, v1::Job* out) { Fill(call, record, out); },
      [](const JobRecord& record) { return record.id; }));
  return absl::OkStatus();
}

absl::Status JobService::CancelJob(const Call& call, const v1::CancelJobRequest& request, v1::Job* response) {
  ASSIGN_OR_RETURN(const std::string id, ParseJob("name", request.name()));
  ASSIGN_OR_RETURN(const JobRecord record, rooms_.jobs->Cancel(call.tenant, id));
  Fill(call, record, response);
  return absl::OkStatus();
}

absl::Status JobService::DeleteJob(const Call& call, const v1::DeleteJobRequest& request, google::protobuf::Empty*) {
  ASSIGN_OR_RETURN(const std::string id, ParseJob("name", request.name()));
  return rooms_.jobs->Delete(call.tenant, id);
}

absl::Status JobService::WatchJob(const Call& call, const v1::WatchJobRequest& request, MessageStream* stream) {
  ASSIGN_OR_RETURN(const std::string id, ParseJob("name", request.name()));
  int64_t last_sequence = request.after_sequence();
  bool drained = false;
  const auto send = [&](const nlohmann::json& event) {
    v1::JobEvent message;
    ToProto(event, last_sequence, &message);
    last_sequence = message.sequence();
    if (!stream->Write(message)) return false;
    drained = call.gone();
    return !drained;
  };
  RETURN_IF_ERROR(rooms_.jobs->Watch(call.tenant, id, request.after_sequence(), send));
  return drained ? absl::UnavailableError("the server is shutting down: watch again from the last sequence")
                 : absl::OkStatus();
}

}  // namespace tandem
