#include "server/training/optimizer.h"

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/server/training/golden.h"

namespace tandem {
namespace {

torch::Tensor Values(const nlohmann::json& values) { return torch::tensor(values.get<std::vector<float>>()); }

std::vector<std::pair<std::string, torch::Tensor>> Start(const nlohmann::json& golden) {
  std::vector<std::pair<std::string, torch::Tensor>> parameters;
  for (const auto& [name, value] : golden["start"].items()) {
    const auto shape = value["shape"].get<std::vector<int64_t>>();
    parameters.emplace_back(name, Values(value["values"]).reshape(shape).requires_grad_(true));
  }
  return parameters;
}

// Takes step `i` of the golden run; returns the norm before clipping.
double TakeStep(const nlohmann::json& golden, size_t i, AdamW& optimizer,
                std::vector<std::pair<std::string, torch::Tensor>>& parameters) {
  const nlohmann::json& step = golden["steps"][i];
  for (auto& [name, parameter] : parameters) {
    parameter.mutable_grad() = Values(step["gradients"][name]).reshape(parameter.sizes());
  }
  const double norm = optimizer.GradientNorm();
  optimizer.Step(step["learning_rate"].get<double>(), golden["max_norm"].get<double>(), norm);
  return norm;
}

void ExpectAfter(const nlohmann::json& step, const std::vector<std::pair<std::string, torch::Tensor>>& parameters) {
  for (const auto& [name, parameter] : parameters) {
    EXPECT_TRUE(torch::allclose(parameter.detach().flatten(), Values(step["after"][name]), 1e-5, 1e-6)) << name;
  }
}

TEST(AdamWTest, StepsWithClippingAreThoseOfTorch) {
  const nlohmann::json golden = ReadGolden("adamw.json");
  auto parameters = Start(golden);
  AdamW optimizer(parameters, golden["weight_decay"].get<double>());
  ASSERT_EQ(golden["steps"].size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(TakeStep(golden, i, optimizer, parameters), golden["steps"][i]["norm"].get<double>(), 1e-4);
    ExpectAfter(golden["steps"][i], parameters);
    for (const auto& [name, parameter] : parameters) EXPECT_FALSE(parameter.grad().defined());
  }
}

TEST(AdamWTest, LoadedStateGoesOnAsIfNeverSaved) {
  const nlohmann::json golden = ReadGolden("adamw.json");
  auto parameters = Start(golden);
  const auto file = std::filesystem::path(testing::TempDir()) / "optimizer.bin";
  {
    AdamW optimizer(parameters, golden["weight_decay"].get<double>());
    TakeStep(golden, 0, optimizer, parameters);
    TakeStep(golden, 1, optimizer, parameters);
    ASSERT_TRUE(optimizer.Save(file).ok());
  }
  AdamW optimizer(parameters, golden["weight_decay"].get<double>());
  ASSERT_TRUE(optimizer.Load(file).ok());
  TakeStep(golden, 2, optimizer, parameters);
  ExpectAfter(golden["steps"][2], parameters);
}

TEST(AdamWTest, StateOfAnotherSizeIsDataLoss) {
  const auto file = std::filesystem::path(testing::TempDir()) / "other.bin";
  const auto parameter = [](int64_t size) {
    return std::vector<std::pair<std::string, torch::Tensor>>{{"weight", torch::zeros({size}).requires_grad_(true)}};
  };
  ASSERT_TRUE(AdamW(parameter(5), 0).Save(file).ok());
  EXPECT_TRUE(AdamW(parameter(5), 0).Load(file).ok());
  EXPECT_EQ(AdamW(parameter(4), 0).Load(file).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(AdamW(parameter(6), 0).Load(file).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(AdamW(parameter(5), 0).Load(file.parent_path() / "missing.bin").code(), absl::StatusCode::kDataLoss);
}

TEST(HasWeightDecayTest, BiasesAndNormsHaveNone) {
  EXPECT_TRUE(HasWeightDecay("encoder.layer.0.attention.self.query.weight"));
  EXPECT_TRUE(HasWeightDecay("embeddings.word_embeddings.weight"));
  EXPECT_FALSE(HasWeightDecay("encoder.layer.0.attention.self.query.bias"));
  EXPECT_FALSE(HasWeightDecay("encoder.layer.0.output.LayerNorm.weight"));
  EXPECT_FALSE(HasWeightDecay("layers.1.mlp_norm.weight"));
  EXPECT_FALSE(HasWeightDecay("final.norm.weight"));
}

}  // namespace
}  // namespace tandem
