#include "server/training/optimizer.h"

#include <cmath>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "tests/server/training/golden.h"

namespace tandem {
namespace {

torch::Tensor Values(const nlohmann::json& values) { return torch::tensor(values.get<std::vector<float>>()); }

std::vector<ModelParameter> Start(const nlohmann::json& golden) {
  std::vector<ModelParameter> parameters;
  for (const auto& [name, value] : golden["start"].items()) {
    const auto shape = value["shape"].get<std::vector<int64_t>>();
    parameters.push_back({name, Values(value["values"]).reshape(shape).requires_grad_(true)});
  }
  return parameters;
}

AdamWOptions Options(const nlohmann::json& golden) { return {.weight_decay = golden["weight_decay"].get<double>()}; }

// Takes step `i` of the golden run; returns the norm before clipping.
double TakeStep(const nlohmann::json& golden, size_t i, AdamW& optimizer, std::vector<ModelParameter>& parameters) {
  const nlohmann::json& step = golden["steps"][i];
  for (auto& [name, parameter, layer] : parameters) {
    parameter.mutable_grad() = Values(step["gradients"][name]).reshape(parameter.sizes());
  }
  const double norm = optimizer.GradientNorm();
  optimizer.Step(step["learning_rate"].get<double>(), golden["max_norm"].get<double>(), norm);
  return norm;
}

void ExpectAfter(const nlohmann::json& step, const std::vector<ModelParameter>& parameters) {
  for (const auto& [name, parameter, layer] : parameters) {
    EXPECT_TRUE(torch::allclose(parameter.detach().flatten(), Values(step["after"][name]), 1e-5, 1e-6)) << name;
  }
}

TEST(AdamWTest, StepsWithClippingAreThoseOfTorch) {
  const nlohmann::json golden = ReadGolden("adamw.json");
  auto parameters = Start(golden);
  AdamW optimizer(parameters, Options(golden));
  ASSERT_EQ(golden["steps"].size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(TakeStep(golden, i, optimizer, parameters), golden["steps"][i]["norm"].get<double>(), 1e-4);
    ExpectAfter(golden["steps"][i], parameters);
    for (const auto& [name, parameter, layer] : parameters) EXPECT_FALSE(parameter.grad().defined());
  }
}

TEST(AdamWTest, LoadedStateGoesOnAsIfNeverSaved) {
  const nlohmann::json golden = ReadGolden("adamw.json");
  auto parameters = Start(golden);
  const auto file = std::filesystem::path(testing::TempDir()) / "optimizer.bin";
  {
    AdamW optimizer(parameters, Options(golden));
    TakeStep(golden, 0, optimizer, parameters);
    TakeStep(golden, 1, optimizer, parameters);
    ASSERT_TRUE(optimizer.Save(file).ok());
  }
  AdamW optimizer(parameters, Options(golden));
  ASSERT_TRUE(optimizer.Load(file).ok());
  TakeStep(golden, 2, optimizer, parameters);
  ExpectAfter(golden["steps"][2], parameters);
}

TEST(AdamWTest, StateOfAnotherSizeIsDataLoss) {
  const auto file = std::filesystem::path(testing::TempDir()) / "other.bin";
  const auto parameter = [](int64_t size) {
    return std::vector<ModelParameter>{{"weight", torch::zeros({size}).requires_grad_(true)}};
  };
  ASSERT_TRUE(AdamW(parameter(5), {}).Save(file).ok());
  EXPECT_TRUE(AdamW(parameter(5), {}).Load(file).ok());
  EXPECT_EQ(AdamW(parameter(4), {}).Load(file).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(AdamW(parameter(6), {}).Load(file).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(AdamW(parameter(5), {}).Load(file.parent_path() / "missing.bin").code(), absl::StatusCode::kDataLoss);
}

// One weight in each of the layers 0 to 3, all with the same value and gradient.
std::vector<ModelParameter> LayeredWeights() {
  std::vector<ModelParameter> parameters;
  for (int64_t layer = 0; layer <= 3; ++layer) {
    parameters.push_back({Concat("layer.", layer, ".weight"), torch::full({4}, 2.0f).requires_grad_(true), layer});
  }
  return parameters;
}

void GiveGradients(const std::vector<ModelParameter>& parameters) {
  for (const ModelParameter& parameter : parameters) parameter.value.mutable_grad() = torch::full({4}, 0.5f);
}

TEST(AdamWTest, LayerDecayIsASmallerLearningRateForEachLayerFurtherDown) {
  const std::vector<ModelParameter> decayed = LayeredWeights();
  AdamW optimizer(decayed, {.weight_decay = 0.1, .layer_decay = 0.5, .layers = 3});
  for (int step = 0; step < 3; ++step) {
    GiveGradients(decayed);
    optimizer.Step(1e-2, 100, 1);
  }
  for (size_t layer = 0; layer <= 3; ++layer) {
    const std::vector<ModelParameter> plain = {LayeredWeights()[layer]};
    AdamW reference(plain, {.weight_decay = 0.1});
    for (int step = 0; step < 3; ++step) {
      GiveGradients(plain);
      reference.Step(1e-2 * std::pow(0.5, 3 - static_cast<double>(layer)), 100, 1);
    }
    EXPECT_TRUE(torch::equal(decayed[layer].value, plain[0].value)) << layer;
  }
  EXPECT_LT(decayed[3].value[0].item<float>(), decayed[0].value[0].item<float>());
}

TEST(AdamWTest, FrozenParametersStayAndHaveNoState) {
  const std::vector<ModelParameter> parameters = LayeredWeights();
  AdamW all(parameters, {.weight_decay = 0.1});
  parameters[0].value.set_requires_grad(false);
  AdamW optimizer(parameters, {.weight_decay = 0.1});
  for (size_t i = 1; i < parameters.size(); ++i) parameters[i].value.mutable_grad() = torch::ones({4});
  EXPECT_NEAR(optimizer.GradientNorm(), std::sqrt(12.0), 1e-6);
  optimizer.Step(0.1, 100, 1);
  EXPECT_TRUE(torch::equal(parameters[0].value, torch::full({4}, 2.0f)));
  EXPECT_LT(parameters[1].value[0].item<float>(), 2.0f);
  const auto file = std::filesystem::path(testing::TempDir()) / "frozen.bin";
  ASSERT_TRUE(optimizer.Save(file).ok());
  EXPECT_EQ(all.Load(file).code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(optimizer.Load(file).ok());
}

TEST(HasWeightDecayTest, BiasesAndNormsHaveNone) {
  EXPECT_TRUE(HasWeightDecay("encoder.layer.0.attention.self.query.weight"));
  EXPECT_TRUE(HasWeightDecay("embeddings.word_embeddings.weight"));
  EXPECT_FALSE(HasWeightDecay("encoder.layer.0.attention.self.query.bias"));
  EXPECT_FALSE(HasWeightDecay("encoder.layer.0.output.LayerNorm.weight"));
  EXPECT_FALSE(HasWeightDecay("layers.1.mlp_norm.weight"));
  EXPECT_FALSE(HasWeightDecay("final.norm.weight"));
}

// transformers' get_decay_parameter_names on the models themselves.
TEST(HasWeightDecayTest, EveryArchitecturesNormsAreKnown) {
  for (const char* decayed :
       {"transformer.layer.0.attention.q_lin.weight", "transformer.layer.0.ffn.lin1.weight",
        "encoder.layer.0.attention.attn.q.weight", "layers.0.attn.Wqkv.weight", "layers.0.mlp.Wi.weight",
        "layers.0.self_attn.q_proj.weight", "layers.0.mlp.gate_proj.weight", "embed_tokens.weight",
        "layers.0.self_attn.q_proj.lora_A", "layers.0.self_attn.q_proj.lora_B"}) {
    EXPECT_TRUE(HasWeightDecay(decayed)) << decayed;
  }
  for (const char* plain :
       {"distilbert.transformer.layer.0.sa_layer_norm.weight", "transformer.layer.0.output_layer_norm.weight",
        "encoder.layer.0.attention.LayerNorm.weight", "encoder.relative_attention_bias.weight",
        "embeddings.norm.weight", "layers.1.attn_norm.weight", "final_norm.weight", "model.final_norm.weight",
        "layers.0.input_layernorm.weight", "layers.0.post_attention_layernorm.weight",
        "layers.0.self_attn.q_norm.weight", "layers.0.self_attn.k_norm.weight", "norm.weight", "model.norm.weight",
        "layers.0.self_attn.q_proj.bias"}) {
    EXPECT_FALSE(HasWeightDecay(plain)) << plain;
  }
}

}  // namespace
}  // namespace tandem
