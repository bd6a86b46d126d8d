// Adapters: y = x W^T + b + (alpha / rank) dropout(x) A^T B^T (Hu et al. 2022).
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "server/encoder/encoder.h"
#include "server/encoder/text_model.h"
#include "tests/server/encoder/golden.h"

namespace tandem {
namespace {

constexpr int kRank = 3;
constexpr double kAlpha = 4.5;

std::unique_ptr<TextModel> LoadOrDie(const std::filesystem::path& directory) {
  absl::StatusOr<std::unique_ptr<TextModel>> model = TextModel::Load(directory);
  EXPECT_TRUE(model.ok()) << model.status();
  return model.ok() ? *std::move(model) : nullptr;
}

PackedTokens Tokens(const TextModel& model, const std::vector<std::string>& texts) {
  const auto tokens = model.tokenizer().Encode(texts, "", model.contract().max_length, TruncationSide::kEnd);
  std::vector<const TokenizedText*> pointers;
  for (const TokenizedText& text : *tokens) pointers.push_back(&text);
  return Pack(pointers);
}

const std::vector<std::string>& Texts() {
  static const std::vector<std::string> texts = {"the cat sat on the mat", "a", "of all the people we have seen"};
  return texts;
}

torch::Tensor Loss(TextModel& model, const DropoutSource* dropout) {
  const torch::Tensor vectors = model.Forward(Tokens(model, Texts()), dropout);
  return (vectors * torch::arange(vectors.numel(), torch::kFloat32).reshape(vectors.sizes()).sin()).sum();
}

std::map<std::string, torch::Tensor> ByName(const TextModel& model) {
  std::map<std::string, torch::Tensor> values;
  for (const ModelParameter& parameter : model.Parameters()) values[parameter.name] = parameter.value;
  return values;
}

bool IsFactor(const std::string& name) { return name.ends_with(".lora_A") || name.ends_with(".lora_B"); }

class LoraTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    model_ = LoadOrDie(directory_);
    ASSERT_NE(model_, nullptr);
    ASSERT_TRUE(model_->AddLora({.rank = kRank, .alpha = kAlpha}, 7).ok());
  }

  // As after some training.
  void RandomFactors() {
    torch::manual_seed(1);
    const torch::NoGradGuard no_grad;
    for (ModelParameter& parameter : model_->Parameters()) {
      if (parameter.value.requires_grad()) parameter.value.normal_(0, 0.2);
    }
  }

  const std::filesystem::path directory_ = GoldenPath("architectures/" + GetParam());
  std::unique_ptr<TextModel> model_;
};

TEST_P(LoraTest, NewAdaptersChangeNothingAndAreAllThatLearns) {
  const auto base = LoadOrDie(directory_);
  const torch::NoGradGuard no_grad;
  const PackedTokens tokens = Tokens(*model_, Texts());
  EXPECT_TRUE(torch::equal(model_->Forward(tokens, nullptr), base->Forward(tokens, nullptr)));
  const auto before = ByName(*base), after = ByName(*model_);
  EXPECT_GT(after.size(), before.size());
  for (const ModelParameter& parameter : model_->Parameters()) {
    EXPECT_EQ(parameter.value.requires_grad(), IsFactor(parameter.name)) << parameter.name;
    EXPECT_EQ(before.contains(parameter.name), !IsFactor(parameter.name)) << parameter.name;
    if (IsFactor(parameter.name)) {
      EXPECT_GE(parameter.layer, 1) << parameter.name;
      EXPECT_LE(parameter.layer, model_->layers()) << parameter.name;
    }
  }
}

TEST_P(LoraTest, FactorsBeginAsPeftHasThem) {
  const auto again = LoadOrDie(directory_), other = LoadOrDie(directory_);
  ASSERT_TRUE(again->AddLora({.rank = kRank, .alpha = kAlpha}, 7).ok());
  ASSERT_TRUE(other->AddLora({.rank = kRank, .alpha = kAlpha}, 8).ok());
  const auto same = ByName(*again), others = ByName(*other);
  for (const ModelParameter& parameter : model_->Parameters()) {
    if (!IsFactor(parameter.name)) continue;
    EXPECT_TRUE(torch::equal(parameter.value, same.at(parameter.name))) << parameter.name;
    if (parameter.name.ends_with(".lora_B")) {
      EXPECT_EQ(parameter.value.abs().max().item<double>(), 0) << parameter.name;
      continue;
    }
    EXPECT_FALSE(torch::equal(parameter.value, others.at(parameter.name))) << parameter.name;
    EXPECT_EQ(parameter.value.size(0), kRank);
    const double bound = 1 / std::sqrt(static_cast<double>(parameter.value.size(1)));
    EXPECT_LE(parameter.value.abs().max().item<double>(), bound) << parameter.name;
    EXPECT_GE(parameter.value.abs().max().item<double>(), 0.8 * bound) << parameter.name;
  }
}

// With the principal part in the factors the model says what it said; what is left of each weight has the weight's
// singular values but the largest, which is so for the best approximation of that rank alone (Eckart and Young 1936).
TEST_P(LoraTest, PrincipalFactorsTakeTheLargestSingularValues) {
  const auto base = LoadOrDie(directory_), principal = LoadOrDie(directory_);
  const LoraOptions options = {.rank = kRank, .alpha = kAlpha, .initialization = LoraInitialization::kPrincipal};
  ASSERT_TRUE(principal->AddLora(options, 7).ok());
  const torch::NoGradGuard no_grad;
  const PackedTokens tokens = Tokens(*base, Texts());
  const torch::Tensor difference = principal->Forward(tokens, nullptr) - base->Forward(tokens, nullptr);
  EXPECT_LE(difference.abs().max().item<double>(), 1e-5);
  const auto whole = ByName(*base), parts = ByName(*principal);
  size_t checked = 0;
  for (const auto& [name, weight] : whole) {
    const std::string stem = name.substr(0, name.rfind(".weight"));
    if (!parts.contains(stem + ".lora_A")) continue;
    ++checked;
    const torch::Tensor a = parts.at(stem + ".lora_A"), b = parts.at(stem + ".lora_B");
    const torch::Tensor rest = parts.at(name);
    EXPECT_TRUE(torch::allclose(rest + kAlpha / kRank * b.matmul(a), weight, 1e-5, 1e-6)) << name;
    const torch::Tensor all = torch::linalg_svdvals(weight), left = torch::linalg_svdvals(rest);
    const int64_t kept = all.size(0) - kRank;
    EXPECT_TRUE(torch::allclose(left.narrow(0, 0, kept), all.narrow(0, kRank, kept), 1e-4, 1e-5)) << name;
    EXPECT_LE(left.narrow(0, kept, kRank).max().item<double>(), 1e-5) << name;
    // Each factor has the square root of the values: neither learns faster than the other.
    EXPECT_NEAR(a.norm().item<double>(), b.norm().item<double>(), 1e-4 * a.norm().item<double>()) << name;
  }
  EXPECT_GT(checked, 0u);
}

TEST_P(LoraTest, PrincipalFactorsOfMoreThanAllSingularValuesChangeNothing) {
  const auto base = LoadOrDie(directory_), principal = LoadOrDie(directory_);
  const LoraOptions options = {.rank = 200, .initialization = LoraInitialization::kPrincipal};
  ASSERT_TRUE(principal->AddLora(options, 7).ok());
  const torch::NoGradGuard no_grad;
  const PackedTokens tokens = Tokens(*base, Texts());
  const torch::Tensor difference = principal->Forward(tokens, nullptr) - base->Forward(tokens, nullptr);
  EXPECT_LE(difference.abs().max().item<double>(), 1e-5);
}

// The export's weights are W + scale B A; with G the gradient of such a weight, that of A is scale B^T G and that of B
// is scale G A^T.
TEST_P(LoraTest, AMergedExportHasTheSameVectorsAndGradientsFollowTheFormula) {
  RandomFactors();
  const ScratchModel saved("");
  const absl::Status status = model_->Save(directory_, saved.path());
  ASSERT_TRUE(status.ok()) << status;
  const auto merged = LoadOrDie(saved.path());
  ASSERT_NE(merged, nullptr);
  {
    const torch::NoGradGuard no_grad;
    const PackedTokens tokens = Tokens(*model_, Texts());
    const torch::Tensor difference = merged->Forward(tokens, nullptr) - model_->Forward(tokens, nullptr);
    EXPECT_LE(difference.abs().max().item<double>(), 1e-5);
  }
  Loss(*model_, nullptr).backward();
  Loss(*merged, nullptr).backward();
  const torch::NoGradGuard no_grad;
  const auto adapted = ByName(*model_), whole = ByName(*merged);
  size_t checked = 0;
  for (const auto& [name, weight] : whole) {
    EXPECT_FALSE(adapted.at(name).grad().defined()) << name;
    const std::string stem = name.substr(0, name.rfind(".weight"));
    if (!adapted.contains(stem + ".lora_A")) continue;
    ++checked;
    const torch::Tensor a = adapted.at(stem + ".lora_A"), b = adapted.at(stem + ".lora_B");
    const double scale = kAlpha / kRank;
    EXPECT_TRUE(torch::allclose(weight, adapted.at(name) + scale * b.matmul(a), 1e-5, 1e-6)) << name;
    const torch::Tensor of_a = scale * b.t().matmul(weight.grad()), of_b = scale * weight.grad().matmul(a.t());
    EXPECT_LE((a.grad() - of_a).norm().item<double>(), 1e-4 * of_a.norm().item<double>() + 1e-5) << name;
    EXPECT_LE((b.grad() - of_b).norm().item<double>(), 1e-4 * of_b.norm().item<double>() + 1e-5) << name;
  }
  EXPECT_EQ(adapted.size(), whole.size() + 2 * checked);
  EXPECT_GT(checked, 0u);
}

TEST_P(LoraTest, SavedFactorsComeBack) {
  RandomFactors();
  const ScratchModel folder("");
  const std::filesystem::path file = folder.path() / "adapters.safetensors";
  ASSERT_TRUE(model_->SaveLora(file).ok());
  const auto again = LoadOrDie(directory_);
  ASSERT_TRUE(again->AddLora({.rank = kRank, .alpha = kAlpha}, 1).ok());
  const absl::Status status = again->LoadLora(file);
  ASSERT_TRUE(status.ok()) << status;
  const torch::NoGradGuard no_grad;
  const PackedTokens tokens = Tokens(*model_, Texts());
  EXPECT_TRUE(torch::equal(again->Forward(tokens, nullptr), model_->Forward(tokens, nullptr)));

  const auto wider = LoadOrDie(directory_);
  ASSERT_TRUE(wider->AddLora({.rank = kRank + 1}, 1).ok());
  EXPECT_EQ(wider->LoadLora(file).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(LoadOrDie(directory_)->LoadLora(file).code(), absl::StatusCode::kDataLoss);
}

TEST_P(LoraTest, DropoutOfTheInputFollowsTheExamplesKey) {
  const auto dropping = LoadOrDie(directory_);
  ASSERT_TRUE(dropping->AddLora({.rank = kRank, .alpha = kAlpha, .dropout = 0.5}, 7).ok());
  RandomFactors();
  const ScratchModel folder("");
  const std::filesystem::path file = folder.path() / "adapters.safetensors";
  ASSERT_TRUE(model_->SaveLora(file).ok());
  ASSERT_TRUE(dropping->LoadLora(file).ok());
  const torch::NoGradGuard no_grad;
  const DropoutSource source{.seed = 1, .step = 2, .examples = {5, 6, 7}};
  const PackedTokens tokens = Tokens(*dropping, Texts());
  const torch::Tensor together = dropping->Forward(tokens, &source);
  EXPECT_TRUE(torch::equal(together, dropping->Forward(tokens, &source)));
  EXPECT_FALSE(torch::allclose(together, model_->Forward(tokens, &source), 1e-3, 1e-3));
  EXPECT_TRUE(torch::equal(dropping->Forward(tokens, nullptr), model_->Forward(tokens, nullptr)));
  const DropoutSource alone{.seed = 1, .step = 2, .examples = {7}};
  const torch::Tensor last = dropping->Forward(Tokens(*dropping, {Texts()[2]}), &alone);
  EXPECT_LE((last[0] - together[2]).abs().max().item<double>(), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Golden, LoraTest,
                         testing::Values("xlm_roberta", "distilbert", "mpnet", "modernbert_biases", "qwen3"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace tandem
