#include "server/rpc/status.h"

#include <gtest/gtest.h>

#include "google/rpc/error_details.pb.h"
#include "server/base/status.h"
#include "server/rpc/wire.h"

namespace tandem {
namespace {

google::rpc::Status Details(const grpc::Status& status) {
  google::rpc::Status details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  return details;
}

TEST(StatusTest, EveryCodeKeepsItsNumber) {
  for (int code = 1; code <= 16; ++code) {
    const absl::Status status(static_cast<absl::StatusCode>(code), "why");
    EXPECT_EQ(ToGrpcStatus(status).error_code(), code);
    EXPECT_EQ(ToGrpcStatus(status).error_message(), "why");
    EXPECT_EQ(Details(ToGrpcStatus(status)).code(), code);
  }
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
}

TEST(StatusTest, AFieldAtFaultBecomesABadRequest) {
  const grpc::Status status = ToGrpcStatus(InvalidField("documents[3].id", "is empty"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  google::rpc::BadRequest bad_request;
  ASSERT_EQ(Details(status).details_size(), 1);
  ASSERT_TRUE(Details(status).details(0).UnpackTo(&bad_request));
  EXPECT_EQ(bad_request.field_violations(0).field(), "documents[3].id");
  EXPECT_EQ(bad_request.field_violations(0).description(), "documents[3].id: is empty");
}

TEST(StatusTest, AFullQueueSaysWhenToRetry) {
  const grpc::Status status = ToGrpcStatus(Overloaded("full", absl::Milliseconds(1500)));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  google::rpc::RetryInfo retry;
  ASSERT_TRUE(Details(status).details(0).UnpackTo(&retry));
  EXPECT_EQ(retry.retry_delay().seconds(), 1);
  EXPECT_EQ(retry.retry_delay().nanos(), 500'000'000);
}

TEST(StatusTest, OtherErrorsNameTheirCode) {
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(Details(ToGrpcStatus(absl::NotFoundError("datasets/x"))).details(0).UnpackTo(&info));
  EXPECT_EQ(info.reason(), "NOT_FOUND");
  EXPECT_EQ(info.domain(), "tandem");
}

TEST(StatusTest, MessagesAreCutAndAlwaysUtf8) {
  const grpc::Status status = ToGrpcStatus(absl::InternalError("\xFF" + std::string(10'000, 'x')));
  EXPECT_TRUE(IsUtf8(status.error_message()));
  EXPECT_LT(status.error_message().size(), 4200u);
}

}  // namespace
}  // namespace tandem
