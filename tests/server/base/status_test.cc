#include "server/base/status.h"

#include <gtest/gtest.h>

#include "server/base/strings.h"

namespace tandem {
namespace {

TEST(StatusTest, InvalidFieldCarriesItsPath) {
  const absl::Status status = InvalidField("options.batch_size", "1: must be in [2, 4096]");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(StdView(status.message()), "options.batch_size: 1: must be in [2, 4096]");
  EXPECT_EQ(FieldPath(status), "options.batch_size");
}

TEST(StatusTest, PrefixFieldExtendsPathAndMessage) {
  const absl::Status inner = InvalidField("ids[2]", "\"\": must not be empty");
  const absl::Status outer = PrefixField("searches[4]", PrefixField("documents", inner));
  EXPECT_EQ(FieldPath(outer), "searches[4].documents.ids[2]");
  EXPECT_EQ(StdView(outer.message()), "searches[4].documents.ids[2]: \"\": must not be empty");
  EXPECT_EQ(FieldPath(PrefixField("queries", InvalidField("[3]", "odd"))), "queries[3]");
}

TEST(StatusTest, PrefixFieldLeavesOtherStatusesAlone) {
  const absl::Status status = absl::NotFoundError("datasets/faq");
  EXPECT_EQ(PrefixField("dataset", status), status);
  EXPECT_EQ(FieldPath(status), std::nullopt);
  EXPECT_TRUE(PrefixField("dataset", absl::OkStatus()).ok());
}

TEST(StatusTest, OverloadedCarriesItsDelay) {
  const absl::Status status = Overloaded("queue: 10 of 10 texts", absl::Milliseconds(1500));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(RetryDelay(status), absl::Milliseconds(1500));
  EXPECT_EQ(RetryDelay(absl::ResourceExhaustedError("disk")), std::nullopt);
}

absl::StatusOr<int> Half(int value) {
  if (value % 2 != 0) return absl::InvalidArgumentError("odd");
  return value / 2;
}

absl::StatusOr<int> Quarter(int value) {
  ASSIGN_OR_RETURN(const int half, Half(value));
  ASSIGN_OR_RETURN(const int quarter, Half(half));
  RETURN_IF_ERROR(absl::OkStatus());
  return quarter;
}

TEST(StatusTest, MacrosReturnTheFirstError) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_EQ(StdView(Quarter(6).status().message()), "odd");
}

}  // namespace
}  // namespace tandem
