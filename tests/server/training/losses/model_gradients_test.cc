// Losses through a model: the gradient of every parameter.

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "server/base/files.h"
#include "server/encoder/text_model.h"
#include "server/training/losses/loss.h"
#include "tests/server/training/losses/golden.h"

namespace tandem {
namespace {

// The value of a case of model.json, without dropout; gradients are in the parameters afterwards.
double Backward(TextModel& model, const nlohmann::json& one, const nlohmann::json& texts_of_batch) {
  const absl::StatusOr<LossOptions> loss = LossOptionsFromJson(one["loss"]);
  EXPECT_TRUE(loss.ok()) << loss.status();
  std::vector<std::string> texts = texts_of_batch["anchors"];
  const int64_t anchors = static_cast<int64_t>(texts.size());
  for (const std::string text : texts_of_batch["documents"]) texts.push_back(text);
  const EmbeddingContract& contract = model.contract();
  const auto tokens = model.tokenizer().Encode(texts, "", contract.max_length, contract.truncation_side);
  EXPECT_TRUE(tokens.ok()) << tokens.status();
  std::vector<const TokenizedText*> pointers;
  for (const TokenizedText& text : *tokens) pointers.push_back(&text);
  for (ModelParameter& parameter : model.Parameters()) {
    parameter.value.set_requires_grad(true);
    parameter.value.mutable_grad().reset();
  }
  const torch::Tensor rows = model.Forward(Pack(pointers), nullptr);
  LossBatch batch = JudgedBatch(texts_of_batch);
  batch.anchors = rows.narrow(0, 0, anchors);
  batch.documents = rows.narrow(0, anchors, rows.size(0) - anchors);
  const torch::Tensor value = ComputeLoss(*loss, batch);
  value.backward();
  return value.item<double>();
}

std::map<std::string, torch::Tensor> Gradients(const TextModel& model) {
  std::map<std::string, torch::Tensor> gradients;
  for (const ModelParameter& parameter : model.Parameters()) {
    if (parameter.value.grad().defined()) gradients[parameter.name] = parameter.value.grad();
  }
  return gradients;
}

// The golden gradients of a case by name.
std::map<std::string, torch::Tensor> GoldenGradients(const nlohmann::json& golden, const std::string& name) {
  std::string bytes = ReadFile(LossGoldenPath(name + ".gradient")).value_or("");
  std::map<std::string, torch::Tensor> gradients;
  size_t offset = 0;
  for (const nlohmann::json& parameter : golden["parameters"]) {
    const auto shape = parameter["shape"].get<std::vector<int64_t>>();
    int64_t count = 1;
    for (const int64_t n : shape) count *= n;
    if (offset + count * 4 > bytes.size()) return {};
    gradients[parameter["name"]] = torch::from_blob(bytes.data() + offset, shape, torch::kFloat32).clone();
    offset += count * 4;
  }
  EXPECT_EQ(offset, bytes.size());
  return gradients;
}

TEST(ModelGradientsTest, ValueAndEveryGradientAreThoseOfTheReference) {
  auto model = TextModel::Load(std::filesystem::absolute("tests/golden/training/tiny_bert"));
  ASSERT_TRUE(model.ok()) << model.status();
  const nlohmann::json golden = ReadLossGolden("model.json");
  ASSERT_GE(golden["cases"].size(), 16u);
  for (const nlohmann::json& one : golden["cases"]) {
    const std::string name = one["name"];
    const nlohmann::json& batch = golden["batches"][one["batch"].get<std::string>()];
    EXPECT_NEAR(Backward(**model, one, batch), one["value"].get<double>(), 2e-5) << name;
    const auto expected = GoldenGradients(golden, name);
    ASSERT_FALSE(expected.empty()) << name;
    double squares = 0;
    for (const auto& [parameter, gradient] : expected) squares += std::pow(Norm(gradient), 2);
    auto found = Gradients(**model);
    for (const auto& [parameter, gradient] : expected) {
      ExpectClose(found[parameter], gradient, std::sqrt(squares), name + " " + parameter);
    }
  }
}

// For tests/golden/losses/compare_gradients.py, which compares a full-size model: with TANDEM_GRADIENT_MODEL naming a
// model's directory and TANDEM_GRADIENT_OUT a folder, writes each case's gradients there.
TEST(ModelGradientsTest, GradientsOfAnotherModelAreFinite) {
  const char* const directory = std::getenv("TANDEM_GRADIENT_MODEL");
  const char* const out = std::getenv("TANDEM_GRADIENT_OUT");
  auto model = TextModel::Load(directory != nullptr ? directory : TANDEM_TEST_MODEL_DIR);
  ASSERT_TRUE(model.ok()) << model.status();
  const nlohmann::json golden = ReadLossGolden("model.json");
  nlohmann::json values;
  for (const nlohmann::json& one : golden["cases"]) {
    const std::string name = one["name"];
    if (out == nullptr && name != "info_nce_all") continue;
    values[name] = Backward(**model, one, golden["batches"][one["batch"].get<std::string>()]);
    EXPECT_TRUE(std::isfinite(values[name].get<double>()));
    for (const auto& [parameter, gradient] : Gradients(**model)) {
      EXPECT_TRUE(torch::isfinite(gradient).all().item<bool>()) << parameter;
      if (out == nullptr) continue;
      const torch::Tensor numbers = gradient.contiguous();
      std::ofstream file(std::filesystem::path(out) / (name + "." + parameter), std::ios::binary);
      file.write(static_cast<const char*>(numbers.data_ptr()), static_cast<std::streamsize>(numbers.nbytes()));
    }
  }
  if (out != nullptr) std::ofstream(std::filesystem::path(out) / "values.json") << values.dump();
}

}  // namespace
}  // namespace tandem
