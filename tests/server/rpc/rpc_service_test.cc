// The services over a real (in-process) gRPC channel, where several calls have to meet.
#include "server/rpc/rpc_service.h"

#include <atomic>
#include <chrono>
#include <initializer_list>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "server/base/strings.h"
#include "server/release/release_directory.h"
#include "server/rpc/collection_service.h"
#include "server/rpc/dataset_service.h"
#include "server/rpc/model_service.h"
#include "server/rpc/names.h"
#include "server/rpc/release_service.h"
#include "tandem/v1/collection.grpc.pb.h"
#include "tandem/v1/dataset.grpc.pb.h"
#include "tandem/v1/model.grpc.pb.h"
#include "tandem/v1/release.grpc.pb.h"
#include "tandem/v1/search.grpc.pb.h"
#include "tests/support/release_world.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/tiny_model.h"

namespace tandem {
namespace {

// A method that may wait and one that never does.
class WaitingService : public RpcService {
 public:
  explicit WaitingService(CallPool* pool) : RpcService("SearchService", pool) {
    Unary("Search", &WaitingService::Search, &WaitingService::MustWait);
    Unary("BatchSearch", &WaitingService::BatchSearch);
  }
  std::atomic<int> waiting = 0;
  std::atomic<bool> released = false;

 private:
  bool MustWait(const Call&, const v1::SearchRequest& request) { return request.has_min_commit(); }
  absl::Status Search(const Call&, const v1::SearchRequest&, v1::SearchResponse*) {
    ++waiting;
    while (!released) absl::SleepFor(absl::Milliseconds(1));
    return absl::OkStatus();
  }
  absl::Status BatchSearch(const Call&, const v1::BatchSearchRequest&, v1::BatchSearchResponse*) {
    return absl::OkStatus();
  }
};

TEST(RpcServiceTest, CallsThatWaitLeaveTheWorkersToShortOnes) {
  CallPool pool(/*workers=*/1, /*max_queued=*/8, /*max_streams=*/2);
  WaitingService service(&pool);
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  const auto stub = v1::SearchService::NewStub(server->InProcessChannel({}));
  v1::SearchRequest search;
  search.set_collection("collections/faq");
  search.set_text("w1");
  search.set_min_commit(5);
  const auto wait = [&] {
    grpc::ClientContext context;
    v1::SearchResponse response;
    return stub->Search(&context, search, &response);
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) threads.emplace_back([&] { EXPECT_TRUE(wait().ok()); });
  while (service.waiting < 2) absl::SleepFor(absl::Milliseconds(1));

  v1::BatchSearchRequest batch;
  batch.set_collection("collections/faq");
  *batch.add_searches() = search;
  batch.mutable_searches(0)->clear_collection();
  batch.mutable_searches(0)->clear_min_commit();
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  v1::BatchSearchResponse response;
  const grpc::Status answered = stub->BatchSearch(&context, batch, &response);
  EXPECT_TRUE(answered.ok()) << answered.error_message();
  EXPECT_EQ(wait().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << "no third stream thread";
  service.released = true;
  for (std::thread& thread : threads) thread.join();
  server->Shutdown();
}

class ServicesTest : public testing::Test {
 protected:
  static constexpr int kCallers = 6;

  ServicesTest() {
    grpc::ServerBuilder builder;
    for (RpcService* service : std::initializer_list<RpcService*>{&collections_, &datasets_, &models_, &releases_}) {
      builder.RegisterService(service);
    }
    server_ = builder.BuildAndStart();
    channel_ = server_->InProcessChannel({});
  }
  ~ServicesTest() override { server_->Shutdown(); }

  // Makes the same call at the same time from kCallers threads; the answers, of which each has to be OK.
  template <class Response, class Method>
  std::vector<Response> CallTogether(Method method) {
    std::vector<Response> responses(kCallers);
    std::vector<std::thread> threads;
    for (Response& response : responses) {
      threads.emplace_back([&] {
        grpc::ClientContext context;
        const grpc::Status status = method(&context, &response);
        EXPECT_TRUE(status.ok()) << status.error_message();
      });
    }
    for (std::thread& thread : threads) thread.join();
    return responses;
  }

  test::TemporaryDirectory data_;
  test::ReleaseWorld world_{data_.path(), {}};
  CallPool pool_{kCallers, 64, 64};
  const Rooms rooms_{.meta = &world_.meta(),
                     .collections = &world_.collections(),
                     .embeddings = &world_.queue(),
                     .models = &world_.models(),
                     .memory = &world_.budget(),
                     .pool = &pool_,
                     .data_directory = world_.directory()};
  CollectionService collections_{rooms_};
  DatasetService datasets_{rooms_};
  ModelService models_{rooms_};
  ReleaseService releases_{rooms_};
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(ServicesTest, ARequestIdThatIsRepeatedMeanwhileGetsTheFirstAnswer) {
  const auto collections = v1::CollectionService::NewStub(channel_);
  v1::CreateCollectionRequest collection;
  collection.set_collection_id("faq");
  collection.set_request_id("one");
  for (const auto& made : CallTogether<v1::Collection>(
           [&](auto*context, auto*response) { return collections->CreateCollection(context, collection, response); })) {
    EXPECT_EQ(made.name(), "collections/faq");
  }
  collection.clear_request_id();
  grpc::ClientContext context;
  v1::Collection again;
  EXPECT_EQ(collections->CreateCollection(&context, collection, &again).error_code(), grpc::StatusCode::ALREADY_EXISTS);

  world_.PutMany(0, 10);
  const auto releases = v1::ReleaseService::NewStub(channel_);
  v1::CreateReleaseRequest release;
  release.set_collection("collections/faq");
  release.set_model_revision("models/m/revisions/a");
  release.mutable_index()->mutable_flat();
  for (const std::string id : {"r1", ""}) {  // One that the client names, and one that the server does.
    release.set_release_id(id);
    release.set_request_id(Concat("two-", id));
    const auto made = CallTogether<v1::Release>(
        [&](auto* context, auto* response) { return releases->CreateRelease(context, release, response); });
    for (const v1::Release& one : made) EXPECT_EQ(one.name(), made[0].name());
  }
}

TEST_F(ServicesTest, APromotionThatIsRepeatedMeanwhileGetsTheFirstAnswerWithoutAGate) {
  world_.CreateCollection();
  world_.PutMany(0, 20);
  ASSERT_TRUE(world_.CreateRelease("r1", "a").ok());
  world_.WaitBuilt("r1");
  const auto releases = v1::ReleaseService::NewStub(channel_);
  v1::PromoteReleaseRequest request;
  request.set_name("collections/faq/releases/r1");
  request.set_request_id("one");
  request.set_etag(Concat(world_.meta().GetCollection(test::kTenant, test::kCollection)->etag));
  int gates = 0;
  for (const auto& promoted : CallTogether<v1::PromoteReleaseResponse>(
           [&](auto*context, auto*response) { return releases->PromoteRelease(context, request, response); })) {
    EXPECT_EQ(promoted.release().name(), request.name());
    EXPECT_EQ(promoted.release().state(), v1::Release::LIVE);
    gates += promoted.has_gate();
  }
  EXPECT_EQ(gates, 1) << "only the call that promoted has seen the gate";
  request.clear_request_id();
  request.clear_etag();
  grpc::ClientContext context;
  v1::PromoteReleaseResponse response;
  EXPECT_EQ(releases->PromoteRelease(&context, request, &response).error_code(), grpc::StatusCode::FAILED_PRECONDITION);
}

TEST_F(ServicesTest, ARevisionThatIsDeletedLeavesTheModelCache) {
  const auto models = v1::ModelService::NewStub(channel_);
  for (const bool whole_model : {false, true}) {
    const std::string revision = whole_model ? "blind" : "b";
    const auto directory = ModelRevisionDirectory(world_.directory(), test::kTenant, "m", revision);
    const auto before = world_.models().Get(directory);
    ASSERT_TRUE(before.ok()) << before.status();
    grpc::ClientContext context;
    google::protobuf::Empty nothing;
    grpc::Status status;
    if (whole_model) {
      v1::DeleteModelRequest request;
      request.set_name("models/m");
      status = models->DeleteModel(&context, request, &nothing);
    } else {
      v1::DeleteModelRevisionRequest request;
      request.set_name(Concat("models/m/revisions/", revision));
      status = models->DeleteModelRevision(&context, request, &nothing);
    }
    ASSERT_TRUE(status.ok()) << status.error_message();
    test::WriteTinyModel(directory, {.seed = 9});  // As another import of the same id does.
    const auto after = world_.models().Get(directory);
    ASSERT_TRUE(after.ok()) << after.status();
    EXPECT_NE(*after, *before) << revision;
  }
}

TEST_F(ServicesTest, AForgedTokenOfListExamplesIsRefused) {
  const auto datasets = v1::DatasetService::NewStub(channel_);
  ASSERT_TRUE(world_.meta().CreateDataset(test::kTenant, "pairs", "", nullptr).ok());
  for (const std::string key : {"x", "1x", "99999999999999999999"}) {
    v1::ListExamplesRequest request;
    request.set_dataset("datasets/pairs");
    request.set_page_token(PageToken("datasets/pairs/examples", key));
    grpc::ClientContext context;
    v1::ListExamplesResponse response;
    const grpc::Status status = datasets->ListExamples(&context, request, &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << key;
    EXPECT_THAT(status.error_message(), testing::HasSubstr("page_token")) << key;
  }
}

}  // namespace
}  // namespace tandem
