#include "client/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/client/fake_services.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(ErrorTest, NamesTheFieldAtFault) {
  google::rpc::BadRequest bad;
  auto* violation = bad.add_field_violations();
  violation->set_field("options.batch_size");
  violation->set_description("1: must be in [2, 4096]");
  const absl::Status status =
      FromGrpc(WithDetail(grpc::StatusCode::INVALID_ARGUMENT, "the request is wrong", bad), "host:1");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "the request is wrong\n  options.batch_size: 1: must be in [2, 4096]");
}

TEST(ErrorTest, DoesNotSayTwiceWhatTheMessageSays) {
  google::rpc::BadRequest bad;
  auto* violation = bad.add_field_violations();
  violation->set_field("top_k");
  violation->set_description("0: must be in [1, 1000]");
  const absl::Status status =
      FromGrpc(WithDetail(grpc::StatusCode::INVALID_ARGUMENT, "top_k: 0: must be in [1, 1000]", bad), "host:1");
  EXPECT_EQ(status.message(), "top_k: 0: must be in [1, 1000]");
}

TEST(ErrorTest, RetryInfoIsSaidAndCanBeReadBack) {
  const absl::Status status = FromGrpc(TryAgainIn(absl::Milliseconds(250)), "host:1");
  EXPECT_THAT(std::string(status.message()), HasSubstr("try again in 250ms"));
  EXPECT_EQ(RetryAfter(status), absl::Milliseconds(250));
  EXPECT_TRUE(IsTransient(status));
  EXPECT_EQ(RetryAfter(Annotate(status, "after 3 stored")), absl::Milliseconds(250));
}

TEST(ErrorTest, ErrorInfoShowsReasonAndMetadataInOrder) {
  google::rpc::ErrorInfo info;
  info.set_reason("GATE");
  (*info.mutable_metadata())["margin"] = "0.01";
  (*info.mutable_metadata())["lower"] = "-0.2";
  const absl::Status status = FromGrpc(WithDetail(grpc::StatusCode::FAILED_PRECONDITION, "refused", info), "host:1");
  EXPECT_EQ(status.message(), "refused\n  reason GATE (lower=-0.2, margin=0.01)");
}

TEST(ErrorTest, AReasonThatRepeatsTheCodeIsNotSaid) {
  google::rpc::ErrorInfo info;
  info.set_reason("NOT_FOUND");
  EXPECT_EQ(FromGrpc(WithDetail(grpc::StatusCode::NOT_FOUND, "datasets/x: not found", info), "host:1").message(),
            "datasets/x: not found");
}

TEST(ErrorTest, ExhaustedWithoutRetryInfoIsFinal) {
  EXPECT_FALSE(IsTransient(FromGrpc(grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "too large"), "host:1")));
}

TEST(ErrorTest, EveryCodeKeepsItsMessageAndDamagedDetailsDoNoHarm) {
  for (int code = 1; code <= 16; ++code) {
    const absl::Status status =
        FromGrpc(grpc::Status(static_cast<grpc::StatusCode>(code), "why", "\xff\xfe not a Status"), "host:1");
    EXPECT_EQ(static_cast<int>(status.code()), code);
    EXPECT_THAT(std::string(status.message()), HasSubstr("why"));
  }
  EXPECT_TRUE(FromGrpc(grpc::Status::OK, "host:1").ok());
  EXPECT_THAT(std::string(FromGrpc(grpc::Status(grpc::StatusCode::INTERNAL, ""), "host:1").message()), Not(""));
}

}  // namespace
}  // namespace tandem
