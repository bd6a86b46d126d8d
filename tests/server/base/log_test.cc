#include "server/base/log.h"

#include <regex>
#include <string>

#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

namespace tandem {
namespace {

TEST(LogTest, LinesHaveTimeLevelAndMessage) {
  ASSERT_TRUE(SetUpLogging("warning").ok());
  testing::internal::CaptureStderr();
  spdlog::info("not shown");
  spdlog::warn("disk {} full", 90);
  const std::string line = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(std::regex_match(line, std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z warning disk 90 full\n)")))
      << line;
}

TEST(LogTest, UnknownLevelIsRefused) {
  const absl::Status status = SetUpLogging("loud");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.ToString().find("loud"), std::string::npos);
}

}  // namespace
}  // namespace tandem
