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
  EXPECT_EQ(bad_request.field_violations(0).description(), "is empty");
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
  EXPECT_EQ(status.error_message().size(), 1024u);
  for (const size_t before : {1020, 1021, 1022, 1023, 1024}) {
    const std::string cut = CutStatusText(std::string(before, 'x') + "\xE2\x82\xAC\xE2\x82\xAC");
    EXPECT_LE(cut.size(), 1024u);
    EXPECT_TRUE(IsUtf8(cut));
    EXPECT_EQ(cut.find("\xEF\xBF\xBD"), cut.npos) << "no character is cut in two";
  }
}

TEST(StatusTest, TheTrailersOfTheLongestErrorFitIntoTheLimitOfClients) {
  const std::string text(100'000, '\x01');  // Percent-encoded in the message.
  const grpc::Status status = ToGrpcStatus(InvalidField(text, text));
  google::rpc::BadRequest bad_request;
  ASSERT_TRUE(Details(status).details(0).UnpackTo(&bad_request));
  EXPECT_EQ(bad_request.field_violations(0).field().size(), 1024u);
  EXPECT_LT(status.error_message().size() * 3 + status.error_details().size() * 4 / 3, 7900u);
}

}  // namespace
}  // namespace tandem
