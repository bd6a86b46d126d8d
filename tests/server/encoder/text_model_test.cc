// Training's view of the model: gradients, dropout, saving.
#include "server/encoder/text_model.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "server/encoder/encoder.h"
#include "tests/server/encoder/golden.h"

namespace tandem {
namespace {

std::unique_ptr<TextModel> LoadOrDie(const std::filesystem::path& directory) {
  absl::StatusOr<std::unique_ptr<TextModel>> model = TextModel::Load(directory);
  EXPECT_TRUE(model.ok()) << model.status();
  return model.ok() ? *std::move(model) : nullptr;
}

std::vector<TokenizedText> TokenizeOrDie(const TextModel& model, const std::vector<std::string>& texts) {
  return *model.tokenizer().Encode(texts, "", model.contract().max_length, TruncationSide::kEnd);
}

PackedTokens PackAll(const std::vector<TokenizedText>& texts) {
  std::vector<const TokenizedText*> pointers;
  for (const TokenizedText& text : texts) pointers.push_back(&text);
  return Pack(pointers);
}

const std::vector<std::string>& Texts() {
  static const std::vector<std::string> texts = {"the cat sat on the mat", "a", "", "cats and dogs are not the same",
                                                 "中 文"};
  return texts;
}

const DropoutSource& Dropout() {
  static const DropoutSource source{.seed = 7, .step = 3, .examples = {11, 12, 13, 14, 15}};
  return source;
}

torch::Tensor Loss(TextModel& model, const PackedTokens& tokens, const DropoutSource* dropout) {
  const torch::Tensor vectors = model.Forward(tokens, dropout);
  return (vectors * torch::arange(vectors.numel(), torch::kFloat32).reshape(vectors.sizes()).sin()).sum();
}

class TextModelTest : public testing::TestWithParam<std::string> {};

// Central differences along random directions against backward, with the same dropout masks on both sides.
TEST_P(TextModelTest, BackwardMatchesDifferencesOfForward) {
  const auto model = LoadOrDie(GoldenPath("tiny/" + GetParam()));
  ASSERT_NE(model, nullptr);
  const PackedTokens tokens = PackAll(TokenizeOrDie(*model, Texts()));
  for (const DropoutSource* dropout : {static_cast<const DropoutSource*>(nullptr), &Dropout()}) {
    for (auto& [name, parameter, layer] : model->Parameters()) parameter.mutable_grad() = torch::Tensor();
    Loss(*model, tokens, dropout).backward();
    torch::manual_seed(1);
    for (auto& [name, parameter, layer] : model->Parameters()) {
      ASSERT_TRUE(parameter.grad().defined()) << name;
      const torch::NoGradGuard no_grad;
      const torch::Tensor direction = torch::randn_like(parameter);
      const double expected = (parameter.grad() * direction).sum().item<double>();
      const double step = 1e-3;
      parameter.add_(direction, step);
      const double above = Loss(*model, tokens, dropout).item<double>();
      parameter.add_(direction, -2 * step);
      const double below = Loss(*model, tokens, dropout).item<double>();
      parameter.add_(direction, step);
      EXPECT_NEAR((above - below) / (2 * step), expected, 0.03 * std::abs(expected) + 0.02) << name;
    }
  }
}

// Forward without autograd multiplies by fused matrices; it must see changes of the parameters all the same.
TEST_P(TextModelTest, ForwardIsTheSameWithAndWithoutAutograd) {
  const auto model = LoadOrDie(GoldenPath("tiny/" + GetParam()));
  ASSERT_NE(model, nullptr);
  const PackedTokens tokens = PackAll(TokenizeOrDie(*model, Texts()));
  const torch::Tensor before = model->Forward(tokens, nullptr).detach();
  {
    const torch::NoGradGuard no_grad;
    for (auto& [name, parameter, layer] : model->Parameters()) parameter.mul_(1.1);
  }
  const torch::Tensor with = model->Forward(tokens, nullptr).detach();
  const torch::NoGradGuard no_grad;
  const torch::Tensor without = model->Forward(tokens, nullptr);
  EXPECT_TRUE(torch::allclose(with, without, 1e-5, 1e-6));
  EXPECT_FALSE(torch::allclose(before, with, 1e-3, 1e-3));
}

INSTANTIATE_TEST_SUITE_P(Golden, TextModelTest, testing::Values("mean", "cls_sharded_prefixed", "max_half"),
                         [](const auto& info) { return info.param; });

TEST(TextModelDropoutTest, MasksOfATextDoNotDependOnTheBatch) {
  const auto model = LoadOrDie(GoldenPath("tiny/mean"));
  ASSERT_NE(model, nullptr);
  const torch::NoGradGuard no_grad;
  const std::vector<TokenizedText> texts = TokenizeOrDie(*model, Texts());
  const torch::Tensor together = model->Forward(PackAll(texts), &Dropout());
  for (size_t i = 0; i < texts.size(); ++i) {
    DropoutSource alone = Dropout();
    alone.examples = {Dropout().examples[i]};
    const torch::Tensor vector = model->Forward(PackAll({texts[i]}), &alone);
    EXPECT_TRUE(torch::allclose(vector[0], together[static_cast<int64_t>(i)], 1e-5, 1e-6)) << i;
  }
}

TEST(TextModelDropoutTest, AnotherSeedStepOrExampleGivesAnotherMask) {
  const auto model = LoadOrDie(GoldenPath("tiny/mean"));
  ASSERT_NE(model, nullptr);
  const torch::NoGradGuard no_grad;
  const PackedTokens tokens = PackAll(TokenizeOrDie(*model, {Texts()[0]}));
  const torch::Tensor plain = model->Forward(tokens, nullptr);
  const DropoutSource sources[] = {{1, 1, {1}}, {2, 1, {1}}, {1, 2, {1}}, {1, 1, {2}}};
  std::vector<torch::Tensor> vectors = {plain};
  for (const DropoutSource& source : sources) vectors.push_back(model->Forward(tokens, &source));
  for (size_t i = 0; i < vectors.size(); ++i) {
    for (size_t j = 0; j < i; ++j) EXPECT_FALSE(torch::allclose(vectors[i], vectors[j], 1e-4, 1e-4)) << i << " " << j;
  }
}

TEST(TextModelDropoutTest, RateZeroGivesTheGradientsOfNoDropout) {
  const ScratchModel scratch("mean");
  scratch.Set("config.json", "hidden_dropout_prob", 0.0);
  scratch.Set("config.json", "attention_probs_dropout_prob", 0.0);
  const auto model = LoadOrDie(scratch.path());
  ASSERT_NE(model, nullptr);
  const PackedTokens tokens = PackAll(TokenizeOrDie(*model, Texts()));
  Loss(*model, tokens, nullptr).backward();
  std::vector<torch::Tensor> expected;
  for (auto& [name, parameter, layer] : model->Parameters()) {
    expected.push_back(parameter.grad().clone());
    parameter.mutable_grad() = torch::Tensor();
  }
  Loss(*model, tokens, &Dropout()).backward();
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_TRUE(torch::equal(model->Parameters()[i].value.grad(), expected[i])) << i;
  }
}

TEST(TextModelDropoutTest, AKeyForEachTextIsRequired) {
  const auto model = LoadOrDie(GoldenPath("tiny/mean"));
  ASSERT_NE(model, nullptr);
  const PackedTokens tokens = PackAll(TokenizeOrDie(*model, Texts()));
  const DropoutSource short_source{.seed = 1, .step = 1, .examples = {1}};
  EXPECT_THROW(model->Forward(tokens, &short_source), c10::Error);
}

TEST(TextModelSaveTest, ASavedModelLoadsAndGivesTheSameVectors) {
  for (const char* variant : {"mean", "cls_sharded_prefixed", "max_half", "prompts_bfloat16", "plain"}) {
    const auto model = LoadOrDie(GoldenPath(std::string("tiny/") + variant));
    ASSERT_NE(model, nullptr);
    const ScratchModel saved("");
    const absl::Status status = model->Save(GoldenPath(std::string("tiny/") + variant), saved.path());
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_TRUE(std::filesystem::exists(saved.path() / "model.safetensors"));
    EXPECT_FALSE(std::filesystem::exists(saved.path() / "model.safetensors.index.json"));
    EXPECT_FALSE(std::filesystem::exists(saved.path() / "model-00001-of-00003.safetensors"));
    EXPECT_EQ(SlurpJson(saved.path() / "config.json")["dtype"], "float32");
    EXPECT_EQ(Slurp(saved.path() / "tokenizer.json"),
              Slurp(GoldenPath(std::string("tiny/") + variant) / "tokenizer.json"));
    const auto again = LoadOrDie(saved.path());
    ASSERT_NE(again, nullptr);
    EXPECT_EQ(again->contract(), model->contract());
    const torch::NoGradGuard no_grad;
    const PackedTokens tokens = PackAll(TokenizeOrDie(*model, Texts()));
    EXPECT_TRUE(torch::equal(again->Forward(tokens, nullptr), model->Forward(tokens, nullptr))) << variant;
    for (size_t i = 0; i < model->Parameters().size(); ++i) {
      EXPECT_EQ(again->Parameters()[i].name, model->Parameters()[i].name);
    }
  }
}

}  // namespace
}  // namespace tandem
