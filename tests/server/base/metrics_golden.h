#pragma once
// What tests/golden/metrics/make_golden.py made. ctest runs the tests from the root of the repository.

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "server/base/files.h"

namespace tandem::test {

// Fails the test and returns null when it cannot be read.
inline nlohmann::json MetricsGolden(const char* part) {
  const absl::StatusOr<std::string> bytes = ReadFile("tests/golden/metrics/metrics.json");
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  return bytes.ok() ? nlohmann::json::parse(*bytes).at(part) : nlohmann::json();
}

}  // namespace tandem::test
