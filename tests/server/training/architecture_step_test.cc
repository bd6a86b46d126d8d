// One step of the trainer's optimizer on a model of each architecture: the weights after it are those that transformers
// and torch.optim.AdamW make (tests/golden/training/make_steps.py, which says what the numbers are and why those).
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "server/encoder/text_model.h"
#include "server/training/optimizer.h"
#include "tests/server/training/golden.h"

namespace tandem {
namespace {

double Norm(const torch::Tensor& tensor) { return tensor.to(torch::kFloat64).norm().item<double>(); }

class ArchitectureStepTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    golden_ = ReadGolden("steps.json");
    expected_ = golden_["models"][GetParam()];
    const auto directory =
        GetParam() == "tiny_bert" ? GoldenPath(GetParam()) : GoldenPath("../encoder/architectures") / GetParam();
    auto model = TextModel::Load(directory);
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
    const EmbeddingContract& contract = model_->contract();
    auto tokens = model_->tokenizer().Encode(golden_["texts"].get<std::vector<std::string>>(), "", contract.max_length,
                                             contract.truncation_side);
    ASSERT_TRUE(tokens.ok()) << tokens.status();
    texts_ = *std::move(tokens);
  }

  torch::Tensor Embed() {
    std::vector<const TokenizedText*> pointers;
    for (const TokenizedText& text : texts_) pointers.push_back(&text);
    return model_->Forward(Pack(pointers), nullptr);
  }

  // InfoNCE of the first half of the texts against the second half.
  torch::Tensor Loss() {
    const torch::Tensor vectors = Embed();
    const int64_t half = vectors.size(0) / 2;
    return torch::cross_entropy_loss(vectors.narrow(0, 0, half).matmul(vectors.narrow(0, half, half).t()) * 20,
                                     torch::arange(half));
  }

  void ExpectSums(const ModelParameter& parameter, const torch::Tensor& before, const torch::Tensor& gradient,
                  double norm) const {
    ASSERT_TRUE(expected_["sums"].contains(parameter.name)) << parameter.name;
    const nlohmann::json& sums = expected_["sums"][parameter.name];
    const torch::Tensor change = parameter.value.detach().to(torch::kFloat64) - before;
    const double rate = golden_["rate"], largest = std::max(Norm(gradient), 1e-3 * norm);
    const auto size = static_cast<double>(before.numel());
    EXPECT_NEAR((change * gradient).sum().item<double>(), sums[0].get<double>(),
                1e-4 * rate * std::sqrt(size) * largest)
        << parameter.name;
    EXPECT_NEAR((change * gradient.abs() * before).sum().item<double>(), sums[1].get<double>(),
                2e-5 * rate * Norm(before) * largest)
        << parameter.name;
  }

  nlohmann::json golden_, expected_;
  std::unique_ptr<TextModel> model_;
  std::vector<TokenizedText> texts_;
};

TEST_P(ArchitectureStepTest, WeightsAfterAStepAreThoseOfTransformers) {
  const std::vector<ModelParameter> parameters = model_->Parameters();
  AdamW optimizer(parameters, {.weight_decay = golden_["weight_decay"].get<double>(), .layers = model_->layers()});
  const torch::Tensor loss = Loss();
  EXPECT_NEAR(loss.item<double>(), expected_["loss"].get<double>(), 1e-5);
  loss.backward();
  std::vector<torch::Tensor> before, gradients;
  for (const ModelParameter& parameter : parameters) {
    ASSERT_TRUE(parameter.value.grad().defined()) << parameter.name;
    before.push_back(parameter.value.detach().to(torch::kFloat64));
    gradients.push_back(parameter.value.grad().to(torch::kFloat64));
  }
  const double norm = optimizer.GradientNorm();
  EXPECT_NEAR(norm, expected_["norm"].get<double>(), 1e-4 * norm);
  optimizer.Step(golden_["rate"].get<double>(), golden_["max_norm"].get<double>(), norm);

  EXPECT_EQ(expected_["sums"].size(), parameters.size());
  for (size_t i = 0; i < parameters.size(); ++i) ExpectSums(parameters[i], before[i], gradients[i], norm);
  const torch::NoGradGuard no_grad;
  const torch::Tensor after = Embed();
  for (int64_t i = 0; i < after.size(0); ++i) {
    const auto values = expected_["after"][static_cast<size_t>(i)].get<std::vector<float>>();
    EXPECT_LT((after[i] - torch::tensor(values)).abs().max().item<double>(), 5e-5) << "text " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, ArchitectureStepTest,
                         testing::Values("tiny_bert", "roberta", "xlm_roberta", "distilbert", "mpnet", "modernbert",
                                         "modernbert_biases", "qwen3", "qwen3_window"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace tandem
