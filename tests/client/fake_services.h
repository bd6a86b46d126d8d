#pragma once
// In-process services that misbehave on purpose: streams that break off, answers that ask for patience. Each test
// starts one on a free port.

#include <grpcpp/grpcpp.h>

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "client/client.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "tandem/v1/dataset.grpc.pb.h"
#include "tandem/v1/job.grpc.pb.h"

namespace tandem {

// A gRPC server with `service`, and a client whose retries do not make a test slow.
class ServedBy {
 public:
  explicit ServedBy(grpc::Service* service) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(service);
    server_ = builder.BuildAndStart();
  }

  Client client() const {
    ConnectionOptions options;
    options.deadline = absl::Seconds(10);
    options.retry = {.first_delay = absl::Milliseconds(1),
                     .longest_delay = absl::Milliseconds(5),
                     .call_patience = absl::Milliseconds(200),
                     .stream_patience = absl::Milliseconds(200)};
    return *Client::Connect(absl::StrCat("127.0.0.1:", port_), options);
  }

 private:
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

inline grpc::Status WithDetail(grpc::StatusCode code, const std::string& message,
                               const google::protobuf::Message& detail) {
  google::rpc::Status rich;
  rich.set_code(code);
  rich.set_message(message);
  rich.add_details()->PackFrom(detail);
  return grpc::Status(code, message, rich.SerializeAsString());
}

inline grpc::Status TryAgainIn(absl::Duration delay) {
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(delay)));
  return WithDetail(grpc::StatusCode::RESOURCE_EXHAUSTED, "the queue is full", retry);
}

// Stores examples as the real service does: a sequence that is there already is answered and not stored again. Ends
// each of the first streams as `endings` says, one entry a stream.
class FakeDatasets : public v1::DatasetService::Service {
 public:
  struct Ending {
    int after_stored = 0;    // Messages that the stream stores before it ends,
    int after_answered = 0;  // of which so many are answered.
    grpc::Status status;
  };

  explicit FakeDatasets(std::deque<Ending> endings) : endings_(std::move(endings)) {}

  grpc::Status AppendExamples(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<v1::AppendExamplesResponse, v1::AppendExamplesRequest>* stream) override {
    absl::MutexLock lock(&mutex_);
    ++streams_;
    const bool breaks = !endings_.empty();
    Ending ending;
    if (breaks) {
      ending = endings_.front();
      endings_.pop_front();
    }
    int stored = 0;
    v1::AppendExamplesRequest request;
    for (bool first = true; !(breaks && stored == ending.after_stored) && stream->Read(&request); first = false) {
      if (first) heads_.push_back({request.dataset(), request.request_id()});
      if (!first && !(request.dataset().empty() && request.request_id().empty())) {
        return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "only the first message names the dataset");
      }
      const v1::AppendExamplesResponse response = Store(request);
      ++stored;
      if (!breaks || stored <= ending.after_answered) stream->Write(response);
    }
    return breaks ? ending.status : grpc::Status::OK;
  }

  struct Head {
    std::string dataset, request_id;
  };
  std::vector<Head> heads() const {
    absl::MutexLock lock(&mutex_);
    return heads_;
  }
  std::vector<std::string> anchors() const {
    absl::MutexLock lock(&mutex_);
    return anchors_;
  }
  int streams() const {
    absl::MutexLock lock(&mutex_);
    return streams_;
  }

 private:
  // An anchor "bad" is refused.
  v1::AppendExamplesResponse Store(const v1::AppendExamplesRequest& request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (const auto found = answers_.find(request.sequence()); found != answers_.end()) return found->second;
    v1::AppendExamplesResponse response;
    response.set_sequence(request.sequence());
    for (int i = 0; i < request.examples_size(); ++i) {
      const std::string& anchor = request.examples(i).pair().anchor();
      if (anchor == "bad") {
        v1::ItemError* error = response.add_errors();
        error->set_index(i);
        error->set_field("pair.anchor");
        error->set_message("is bad");
        continue;
      }
      anchors_.push_back(anchor);
      response.set_accepted(response.accepted() + 1);
    }
    response.set_commit(static_cast<int64_t>(anchors_.size()));
    answers_[request.sequence()] = response;
    return response;
  }

  mutable absl::Mutex mutex_;
  std::deque<Ending> endings_ ABSL_GUARDED_BY(mutex_);
  std::vector<Head> heads_ ABSL_GUARDED_BY(mutex_);
  std::map<int64_t, v1::AppendExamplesResponse> answers_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> anchors_ ABSL_GUARDED_BY(mutex_);
  int streams_ ABSL_GUARDED_BY(mutex_) = 0;
};

// A job with `steps` step events. Each WatchJob stream sends `events_per_stream` of them and breaks off.
class FakeJobs : public v1::JobService::Service {
 public:
  FakeJobs(int64_t steps, int64_t events_per_stream) : steps_(steps), events_per_stream_(events_per_stream) {}

  grpc::Status GetJob(grpc::ServerContext*, const v1::GetJobRequest* request, v1::Job* job) override {
    job->set_name(request->name());
    job->set_state(v1::Job::SUCCEEDED);
    job->set_last_sequence(steps_);
    return grpc::Status::OK;
  }

  grpc::Status WatchJob(grpc::ServerContext*, const v1::WatchJobRequest* request,
                        grpc::ServerWriter<v1::JobEvent>* stream) override {
    absl::MutexLock lock(&mutex_);
    asked_after_.push_back(request->after_sequence());
    v1::JobEvent heartbeat;
    heartbeat.set_sequence(request->after_sequence());
    heartbeat.mutable_heartbeat();
    stream->Write(heartbeat);
    int64_t sequence = request->after_sequence();
    for (int64_t sent = 0; sequence < steps_ && sent < events_per_stream_; ++sent) {
      v1::JobEvent event;
      event.set_sequence(++sequence);
      event.mutable_step()->set_step(sequence);
      stream->Write(event);
      stream->Write(event);  // A repeated event is to be seen once.
    }
    return sequence < steps_ ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "going down") : grpc::Status::OK;
  }

  std::vector<int64_t> asked_after() const {
    absl::MutexLock lock(&mutex_);
    return asked_after_;
  }

 private:
  const int64_t steps_, events_per_stream_;
  mutable absl::Mutex mutex_;
  std::vector<int64_t> asked_after_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tandem
