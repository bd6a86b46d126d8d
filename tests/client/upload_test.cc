#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/client/fake_services.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const grpc::Status kGone(grpc::StatusCode::UNAVAILABLE, "connection lost");

ItemSource<v1::Example> Anchors(std::vector<std::string> anchors) {
  auto next = std::make_shared<size_t>(0);
  return [anchors = std::move(anchors), next]() -> absl::StatusOr<std::optional<Numbered<v1::Example>>> {
    if (*next == anchors.size()) return std::nullopt;
    Numbered<v1::Example> example;
    example.item.mutable_pair()->set_anchor(anchors[*next]);
    example.position = static_cast<int64_t>(++*next) * 100;
    return example;
  };
}

std::vector<std::string> Numbers(int count) {
  std::vector<std::string> result;
  for (int i = 1; i <= count; ++i) result.push_back(absl::StrCat("a", i));
  return result;
}

UploadOptions TwoAMessage() {
  UploadOptions options;
  options.max_items_per_message = 2;
  options.messages_in_flight = 3;
  return options;
}

TEST(UploadTest, StoresEverythingInOrderOverOneStream) {
  FakeDatasets service({});
  ServedBy server(&service);
  absl::StatusOr<UploadProgress> done = server.client().datasets.Append("pairs", Anchors(Numbers(21)), TwoAMessage());
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_EQ(done->accepted, 21);
  EXPECT_EQ(done->commit, 21);
  EXPECT_EQ(service.anchors(), Numbers(21));
  EXPECT_EQ(service.streams(), 1);
}

TEST(UploadTest, GoesOnWhereTheStreamBrokeAndStoresNothingTwice) {
  // The first stream stores three messages and answers one, the second breaks at once, the third asks for patience.
  FakeDatasets service({{3, 1, kGone}, {0, 0, kGone}, {2, 2, TryAgainIn(absl::Milliseconds(3))}});
  ServedBy server(&service);
  int resumed = 0;
  UploadCallbacks callbacks;
  callbacks.on_resume = [&](const absl::Status&) { ++resumed; };
  absl::StatusOr<UploadProgress> done =
      server.client().datasets.Append("pairs", Anchors(Numbers(21)), TwoAMessage(), callbacks);
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_EQ(done->accepted, 21);
  EXPECT_EQ(service.anchors(), Numbers(21));
  EXPECT_EQ(service.streams(), 4);
  EXPECT_EQ(resumed, 3);
}

TEST(UploadTest, NamesDatasetAndOneRequestIdInTheFirstMessageOfEachStream) {
  FakeDatasets service({{2, 1, kGone}});
  ServedBy server(&service);
  ASSERT_TRUE(server.client().datasets.Append("pairs", Anchors(Numbers(9)), TwoAMessage()).ok());
  const std::vector<FakeDatasets::Head> heads = service.heads();
  ASSERT_EQ(heads.size(), 2);
  EXPECT_EQ(heads[0].dataset, "datasets/pairs");
  EXPECT_EQ(heads[1].dataset, "datasets/pairs");
  EXPECT_FALSE(heads[0].request_id.empty());
  EXPECT_EQ(heads[0].request_id, heads[1].request_id);
}

TEST(UploadTest, ReportsRefusedItemsByTheCallersPosition) {
  FakeDatasets service({});
  ServedBy server(&service);
  std::vector<int64_t> refused;
  UploadCallbacks callbacks;
  callbacks.on_refused = [&](int64_t position, const v1::ItemError&) { refused.push_back(position); };
  absl::StatusOr<UploadProgress> done =
      server.client().datasets.Append("pairs", Anchors({"a", "b", "bad", "c", "bad"}), TwoAMessage(), callbacks);
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_EQ(done->accepted, 3);
  EXPECT_EQ(done->refused, 2);
  EXPECT_THAT(refused, ElementsAre(300, 500));
}

TEST(UploadTest, GivesUpWhenTheServerStaysAway) {
  std::deque<FakeDatasets::Ending> endings(1000, {0, 0, kGone});
  FakeDatasets service(endings);
  ServedBy server(&service);
  absl::StatusOr<UploadProgress> done = server.client().datasets.Append("pairs", Anchors(Numbers(3)), TwoAMessage());
  EXPECT_EQ(done.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(done.status().message()), HasSubstr("after 0 stored"));
}

TEST(UploadTest, DoesNotRepeatWhatTheServerRefuses) {
  FakeDatasets service({{1, 1, grpc::Status(grpc::StatusCode::NOT_FOUND, "datasets/pairs: not found")}});
  ServedBy server(&service);
  absl::StatusOr<UploadProgress> done = server.client().datasets.Append("pairs", Anchors(Numbers(9)), TwoAMessage());
  EXPECT_EQ(done.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(service.streams(), 1);
}

TEST(UploadTest, SplitsMessagesByTheirBytes) {
  FakeDatasets service({});
  ServedBy server(&service);
  UploadOptions options;
  options.max_message_bytes = 1000;
  int answers = 0;
  UploadCallbacks callbacks;
  callbacks.on_progress = [&](const UploadProgress&) { ++answers; };
  const std::vector<std::string> long_texts = {std::string(600, 'a'), std::string(600, 'b'), std::string(5000, 'c'),
                                               "d"};
  ASSERT_TRUE(server.client().datasets.Append("pairs", Anchors(long_texts), options, callbacks).ok());
  EXPECT_EQ(service.anchors(), long_texts);
  EXPECT_EQ(answers, 4);
}

TEST(UploadTest, AnErrorOfTheSourceComesAfterWhatWasRead) {
  FakeDatasets service({});
  ServedBy server(&service);
  auto calls = std::make_shared<int>(0);
  const ItemSource<v1::Example> source = [calls]() -> absl::StatusOr<std::optional<Numbered<v1::Example>>> {
    if (++*calls > 3) return absl::DataLossError("disk");
    Numbered<v1::Example> example;
    example.item.mutable_pair()->set_anchor("a");
    return example;
  };
  absl::StatusOr<UploadProgress> done = server.client().datasets.Append("pairs", source, TwoAMessage());
  EXPECT_EQ(done.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(service.anchors().size(), 3);
}

}  // namespace
}  // namespace tandem
