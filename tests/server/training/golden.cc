#include "tests/server/training/golden.h"

#include <gtest/gtest.h>

#include "server/base/files.h"

namespace tandem {

std::filesystem::path GoldenPath(const std::string& name) {
  return std::filesystem::absolute("tests/golden/training") / name;
}

nlohmann::json ReadGolden(const std::string& name) {
  const absl::StatusOr<std::string> bytes = ReadFile(GoldenPath(name));
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  return bytes.ok() ? nlohmann::json::parse(*bytes, nullptr, false) : nlohmann::json();
}

}  // namespace tandem
