#include "server/training/loss.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "server/base/files.h"
#include "server/encoder/text_model.h"
#include "tests/server/training/golden.h"

namespace tandem {
namespace {

// Loss on a batch of loss.json, without dropout; gradients are in the parameters afterwards.
double Backward(TextModel& model, const nlohmann::json& batch) {
  std::vector<std::string> texts = batch["anchors"];
  const int64_t anchors = static_cast<int64_t>(texts.size());
  for (const std::string text : batch["positives"]) texts.push_back(text);
  for (const nlohmann::json& negatives : batch["negatives"]) {
    for (const std::string text : negatives) texts.push_back(text);
  }
  const EmbeddingContract& contract = model.contract();
  const auto tokens = model.tokenizer().Encode(texts, "", contract.max_length, contract.truncation_side);
  EXPECT_TRUE(tokens.ok()) << tokens.status();
  std::vector<const TokenizedText*> pointers;
  for (const TokenizedText& text : *tokens) pointers.push_back(&text);
  for (auto& [name, parameter] : model.NamedParameters()) {
    parameter.set_requires_grad(true);
    parameter.mutable_grad().reset();
  }
  const torch::Tensor rows = model.Forward(Pack(pointers), nullptr);
  const torch::Tensor loss = InfoNce(rows.narrow(0, 0, anchors), rows.narrow(0, anchors, rows.size(0) - anchors),
                                     batch["scale"].get<double>(), batch["symmetric"].get<bool>());
  loss.backward();
  return loss.item<double>();
}

std::map<std::string, torch::Tensor> Gradients(const TextModel& model) {
  std::map<std::string, torch::Tensor> gradients;
  for (const auto& [name, parameter] : model.NamedParameters()) {
    if (parameter.grad().defined()) gradients[name] = parameter.grad();
  }
  return gradients;
}

// The golden gradients of a batch by name; loss.json names them in the order of the file.
std::map<std::string, torch::Tensor> GoldenGradients(const nlohmann::json& golden, const std::string& batch) {
  std::string bytes = ReadFile(GoldenPath(batch + ".gradient")).value_or("");
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

double Norm(const torch::Tensor& tensor) { return tensor.to(torch::kFloat64).norm().item<double>(); }

TEST(InfoNceTest, LossAndEveryGradientAreThoseOfSentenceTransformers) {
  auto model = TextModel::Load(GoldenPath("tiny_bert"));
  ASSERT_TRUE(model.ok()) << model.status();
  const nlohmann::json golden = ReadGolden("loss.json");
  ASSERT_EQ(golden["batches"].size(), 5u);
  for (const nlohmann::json& batch : golden["batches"]) {
    const std::string name = batch["name"];
    EXPECT_NEAR(Backward(**model, batch), batch["loss"].get<double>(), 1e-5) << name;
    const auto expected = GoldenGradients(golden, name);
    ASSERT_FALSE(expected.empty());
    double square = 0;
    for (const auto& [parameter, gradient] : expected) square += std::pow(Norm(gradient), 2);
    auto found = Gradients(**model);
    for (const auto& [parameter, gradient] : expected) {
      ASSERT_TRUE(found.contains(parameter)) << parameter;
      const double limit = 1e-4 * std::max(Norm(gradient), 1e-3 * std::sqrt(square));
      EXPECT_LE(Norm(found[parameter] - gradient), limit) << name << " " << parameter;
    }
  }
}

// For tests/golden/training/compare_gradients.py, which compares a full-size model: with TANDEM_GRADIENT_MODEL naming a
// model's directory and TANDEM_GRADIENT_OUT a folder, writes each batch's gradients there.
TEST(InfoNceTest, GradientsOfAnotherModelAreFinite) {
  const char* const directory = std::getenv("TANDEM_GRADIENT_MODEL");
  const char* const out = std::getenv("TANDEM_GRADIENT_OUT");
  auto model = TextModel::Load(directory != nullptr ? directory : TANDEM_TEST_MODEL_DIR);
  ASSERT_TRUE(model.ok()) << model.status();
  const nlohmann::json golden = ReadGolden("loss.json");
  nlohmann::json losses;
  for (const nlohmann::json& batch : golden["batches"]) {
    if (out == nullptr && batch["name"] != "one_way") continue;
    const std::string name = batch["name"];
    losses[name] = Backward(**model, batch);
    EXPECT_TRUE(std::isfinite(losses[name].get<double>()));
    for (const auto& [parameter, gradient] : Gradients(**model)) {
      EXPECT_TRUE(torch::isfinite(gradient).all().item<bool>()) << parameter;
      if (out == nullptr) continue;
      const torch::Tensor values = gradient.contiguous();
      std::ofstream file(std::filesystem::path(out) / (name + "." + parameter), std::ios::binary);
      file.write(static_cast<const char*>(values.data_ptr()), static_cast<std::streamsize>(values.nbytes()));
    }
  }
  if (out != nullptr) std::ofstream(std::filesystem::path(out) / "losses.json") << losses.dump();
}

TEST(InfoNceTest, LengthOfEmbeddingsDoesNotMatter) {
  torch::manual_seed(1);
  const torch::Tensor anchors = torch::randn({4, 8}), documents = torch::randn({6, 8});
  for (const bool symmetric : {false, true}) {
    const double loss = InfoNce(anchors, documents, 20, symmetric).item<double>();
    EXPECT_NEAR(InfoNce(anchors * 7, documents * 0.5, 20, symmetric).item<double>(), loss, 1e-5);
  }
}

TEST(InfoNceTest, ExplicitNegativesTakeNoPartInTheBackwardDirection) {
  // One pair and a negative: positive to anchors is a softmax over one anchor, whose loss is 0.
  const torch::Tensor anchor = torch::tensor({{1.0f, 0.0f}});
  const torch::Tensor documents = torch::tensor({{1.0f, 0.0f}, {0.0f, 1.0f}});
  const double one_way = std::log(1 + std::exp(-3.0));
  EXPECT_NEAR(InfoNce(anchor, documents, 3, false).item<double>(), one_way, 1e-6);
  EXPECT_NEAR(InfoNce(anchor, documents, 3, true).item<double>(), one_way / 2, 1e-6);
}

}  // namespace
}  // namespace tandem
