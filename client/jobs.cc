#include "client/jobs.h"

#include <limits>
#include <utility>

#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "client/names.h"
#include "client/pages.h"

namespace tandem {
namespace {

using Stub = v1::JobService::Stub;

// A stream is opened anew this often, so that a connection that died without a word is noticed. Nothing is lost by it.
constexpr absl::Duration kStreamLife = absl::Minutes(2);

void CompleteNames(v1::TrainRequest* request) {
  if (!request->base_revision().empty()) request->set_base_revision(ModelOrRevisionName(request->base_revision()));
  if (!request->target_model().empty()) request->set_target_model(ModelName(request->target_model()));
  if (!request->dataset().empty()) request->set_dataset(DatasetName(request->dataset()));
  for (v1::Objective& objective : *request->mutable_objectives()) {
    if (!objective.dataset().empty()) objective.set_dataset(DatasetName(objective.dataset()));
  }
  if (!request->validation_dataset().empty()) {
    request->set_validation_dataset(DatasetName(request->validation_dataset()));
  }
}

}  // namespace

bool IsFinished(v1::Job::State state) {
  return state == v1::Job::SUCCEEDED || state == v1::Job::FAILED || state == v1::Job::CANCELLED;
}

Jobs::Jobs(std::shared_ptr<const Connection> connection)
    : connection_(std::move(connection)),
      stub_(v1::JobService::NewStub(connection_->channel())),
      training_stub_(v1::TrainingService::NewStub(connection_->channel())) {}

absl::StatusOr<v1::Job> Jobs::Train(v1::TrainRequest request) const {
  CompleteNames(&request);
  return connection_->Call(*training_stub_, &v1::TrainingService::Stub::Train, std::move(request));
}

absl::StatusOr<v1::TrainingEstimate> Jobs::EstimateTraining(v1::TrainRequest request) const {
  CompleteNames(&request);
  return connection_->Call(*training_stub_, &v1::TrainingService::Stub::EstimateTraining, request);
}

absl::StatusOr<v1::Job> Jobs::MineNegatives(v1::MineNegativesRequest request) const {
  request.set_dataset(DatasetName(request.dataset()));
  request.set_collection(CollectionName(request.collection()));
  if (!request.target_dataset().empty()) request.set_target_dataset(DatasetName(request.target_dataset()));
  return connection_->Call(*training_stub_, &v1::TrainingService::Stub::MineNegatives, std::move(request));
}

absl::StatusOr<v1::Job> Jobs::Get(absl::string_view job) const {
  v1::GetJobRequest request;
  request.set_name(JobName(job));
  return connection_->Call(*stub_, &Stub::GetJob, request);
}

absl::StatusOr<std::vector<v1::Job>> Jobs::List(size_t limit) const {
  return CollectPages<v1::Job>(
      v1::ListJobsRequest(), limit,
      [this](const v1::ListJobsRequest& page) { return connection_->Call(*stub_, &Stub::ListJobs, page); },
      [](v1::ListJobsResponse* response) { return response->mutable_jobs(); });
}

absl::StatusOr<v1::Job> Jobs::Cancel(absl::string_view job) const {
  v1::CancelJobRequest request;
  request.set_name(JobName(job));
  return connection_->Call(*stub_, &Stub::CancelJob, request);
}

absl::Status Jobs::Delete(absl::string_view job) const {
  v1::DeleteJobRequest request;
  request.set_name(JobName(job));
  return connection_->CallOnce(*stub_, &Stub::DeleteJob, request).status();
}

absl::Status Jobs::WatchStream(const std::string& name, int64_t until, int64_t* last,
                               const std::function<void(const v1::JobEvent&)>& on_event) const {
  v1::WatchJobRequest request;
  request.set_name(name);
  request.set_after_sequence(*last);
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + kStreamLife));
  std::unique_ptr<grpc::ClientReader<v1::JobEvent>> stream = stub_->WatchJob(&context, request);
  v1::JobEvent event;
  while (stream->Read(&event)) {
    const bool heartbeat = event.has_heartbeat();
    if (!heartbeat && event.sequence() <= *last) continue;
    if (!heartbeat) *last = event.sequence();
    if (on_event) on_event(event);
    if (*last >= until) {
      context.TryCancel();
      return absl::OkStatus();
    }
  }
  return FromGrpc(stream->Finish(), connection_->address());
}

absl::StatusOr<v1::Job> Jobs::Watch(absl::string_view job, int64_t after_sequence,
                                    const std::function<void(const v1::JobEvent&)>& on_event,
                                    const OnResume& on_resume) const {
  const std::string name = JobName(job);
  int64_t last = after_sequence;
  Backoff backoff(connection_->options().retry, connection_->options().retry.stream_patience);
  while (true) {
    const int64_t last_before = last;
    absl::Status status = WatchStream(name, std::numeric_limits<int64_t>::max(), &last, on_event);
    if (last > last_before) backoff.Reset();
    if (status.ok()) {
      absl::StatusOr<v1::Job> result = Get(name);
      if (result.ok() && IsFinished(result->state())) return result;
      // A server that shuts down may end the stream in good order.
      status = result.ok() ? absl::UnavailableError("the server ended the stream before the job was finished")
                           : result.status();
    }
    if (absl::IsDeadlineExceeded(status)) continue;
    if (IsTransient(status) && on_resume) on_resume(status);
    if (!backoff.WaitAfter(status)) return status;
  }
}

absl::StatusOr<std::vector<v1::JobEvent>> Jobs::Events(absl::string_view job) const {
  absl::StatusOr<v1::Job> found = Get(job);
  if (!found.ok()) return found.status();
  std::vector<v1::JobEvent> events;
  int64_t last = 0;
  Backoff backoff(connection_->options().retry, connection_->options().retry.stream_patience);
  while (last < found->last_sequence()) {
    const int64_t last_before = last;
    absl::Status status = WatchStream(found->name(), found->last_sequence(), &last, [&](const v1::JobEvent& event) {
      if (!event.has_heartbeat()) events.push_back(event);
    });
    if (last > last_before) backoff.Reset();
    if (status.ok() && last < found->last_sequence()) {
      status = absl::UnavailableError("the server ended the stream before the last event");
    }
    if (!status.ok() && !absl::IsDeadlineExceeded(status) && !backoff.WaitAfter(status)) return status;
  }
  return events;
}

}  // namespace tandem
