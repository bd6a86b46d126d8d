#include "tests/e2e/search_load.h"

#include <algorithm>
#include <random>
#include <utility>

#include <grpcpp/grpcpp.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tandem/v1/search.grpc.pb.h"
#include "tests/e2e/life_cycle.h"

namespace tandem::test {
namespace {

constexpr size_t kMostFailures = 20;
constexpr uint64_t kQueries = 400;  // Texts that are asked for, again and again.

// A subchannel of its own, also after the server came back: gRPC would share one among the channels to one address.
std::shared_ptr<grpc::Channel> OwnChannel(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 20);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 100);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace

SearchLoad::SearchLoad(std::string address, SearchLoadOptions options)
    : address_(std::move(address)), options_(std::move(options)) {
  for (int i = 0; i < options_.clients; ++i) threads_.emplace_back([this, i] { Run(i); });
}

SearchLoad::~SearchLoad() { Stop(); }

void SearchLoad::Stop() {
  stopping_ = true;
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

std::vector<std::string> SearchLoad::failures() const {
  absl::MutexLock lock(&mutex_);
  return failures_;
}

std::vector<SearchAnswer> SearchLoad::answers() const {
  absl::MutexLock lock(&mutex_);
  return answers_;
}

void SearchLoad::Fail(std::string failure) {
  absl::MutexLock lock(&mutex_);
  if (failures_.size() < kMostFailures) failures_.push_back(std::move(failure));
}

void SearchLoad::Run(int number) {
  const std::unique_ptr<v1::SearchService::Stub> stub = v1::SearchService::NewStub(OwnChannel(address_));
  std::mt19937_64 random(options_.seed * 1000 + static_cast<uint64_t>(number));
  std::vector<SearchAnswer> answers;
  int64_t newest_seen = 0;
  for (int64_t i = 0; !stopping_; ++i) {
    v1::SearchRequest request;
    request.set_collection(absl::StrCat("collections/", kCollectionId));
    request.set_text(TextOf(options_.seed, 5'000'000 + random() % kQueries));
    if (random() % 4 == 0) request.set_top_k(1 + static_cast<int32_t>(random() % 50));
    if (options_.newest_commit && number % 2 == 1 && i % 2 == 1) request.set_min_commit(options_.newest_commit());
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(30)));
    v1::SearchResponse response;
    const grpc::Status status = stub->Search(&context, request, &response);
    if (options_.pause > absl::ZeroDuration()) absl::SleepFor(options_.pause);
    if (!status.ok()) {
      const bool no_release = status.error_code() == grpc::StatusCode::FAILED_PRECONDITION ||
                              status.error_code() == grpc::StatusCode::NOT_FOUND;
      if (options_.server_dies && (status.error_code() == grpc::StatusCode::UNAVAILABLE || no_release)) {
        absl::SleepFor(absl::Milliseconds(10));
        continue;
      }
      Fail(absl::StrCat("search ", i, " of client ", number, ": code ", status.error_code(), ", ",
                        status.error_message()));
      continue;
    }
    ++searches_;
    const int64_t at_least = std::max(newest_seen, request.min_commit());
    if (response.commit() < at_least) {
      Fail(absl::StrCat("search ", i, " of client ", number, " was answered at commit ", response.commit(), " after ",
                        newest_seen, ", min_commit ", request.min_commit()));
    }
    newest_seen = std::max(newest_seen, response.commit());
    answers.push_back(AnswerOf(request, response));
  }
  absl::MutexLock lock(&mutex_);
  std::move(answers.begin(), answers.end(), std::back_inserter(answers_));
}

}  // namespace tandem::test
