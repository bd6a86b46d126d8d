#include "tests/server/training/losses/golden.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "server/base/files.h"

namespace tandem {

std::filesystem::path LossGoldenPath(const std::string& name) {
  return std::filesystem::absolute("tests/golden/losses") / name;
}

nlohmann::json ReadLossGolden(const std::string& name) {
  const absl::StatusOr<std::string> bytes = ReadFile(LossGoldenPath(name));
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  return bytes.ok() ? nlohmann::json::parse(*bytes, nullptr, false) : nlohmann::json();
}

LossBatch JudgedBatch(const nlohmann::json& batch) {
  LossBatch out;
  out.positive_offsets = batch["positive_offsets"].get<std::vector<int64_t>>();
  out.negative_offsets = batch["negative_offsets"].get<std::vector<int64_t>>();
  if (batch.contains("scores")) out.scores = batch["scores"].get<std::vector<float>>();
  if (batch.contains("labels")) out.labels = batch["labels"].get<std::vector<int64_t>>();
  if (batch.contains("similar")) {
    for (const int similar : batch["similar"]) out.similar.push_back(static_cast<char>(similar));
  }
  return out;
}

double Norm(const torch::Tensor& tensor) { return tensor.to(torch::kFloat64).norm().item<double>(); }

void ExpectClose(const torch::Tensor& found, const torch::Tensor& expected, double whole, const std::string& what) {
  ASSERT_TRUE(found.defined()) << what;
  ASSERT_EQ(found.sizes(), expected.sizes()) << what;
  EXPECT_LE(Norm(found - expected), 1e-4 * std::max(Norm(expected), 1e-3 * whole)) << what;
}

}  // namespace tandem
