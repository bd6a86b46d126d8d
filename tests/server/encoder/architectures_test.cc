// Every architecture against transformers: small random models of tests/golden/encoder/architectures, made by
// make_architectures.py there.
#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "server/encoder/encoder.h"
#include "server/encoder/safetensors_file.h"
#include "server/encoder/text_model.h"
#include "tests/server/encoder/golden.h"

namespace tandem {
namespace {

std::filesystem::path ArchitecturePath(const std::string& name) { return GoldenPath("architectures/" + name); }

std::unique_ptr<TextModel> LoadOrDie(const std::filesystem::path& directory) {
  absl::StatusOr<std::unique_ptr<TextModel>> model = TextModel::Load(directory);
  EXPECT_TRUE(model.ok()) << model.status();
  return model.ok() ? *std::move(model) : nullptr;
}

std::vector<TokenizedText> TokenizeOrDie(const TextModel& model, const std::vector<std::string>& texts,
                                         InputRole role) {
  const EmbeddingContract& contract = model.contract();
  auto tokens = model.tokenizer().Encode(texts, contract.PromptOf(role), contract.max_length, contract.truncation_side);
  EXPECT_TRUE(tokens.ok()) << tokens.status();
  return *std::move(tokens);
}

PackedTokens PackAll(const std::vector<TokenizedText>& texts) {
  std::vector<const TokenizedText*> pointers;
  for (const TokenizedText& text : texts) pointers.push_back(&text);
  return Pack(pointers);
}

// Without a prompt.
PackedTokens PackTexts(const TextModel& model, const std::vector<std::string>& texts) {
  return PackAll(*model.tokenizer().Encode(texts, "", model.contract().max_length, TruncationSide::kEnd));
}

torch::Tensor Matrix(const nlohmann::json& rows) {
  std::vector<float> values;
  for (const nlohmann::json& row : rows) {
    for (const nlohmann::json& value : row) values.push_back(value.get<float>());
  }
  return torch::tensor(values).reshape({static_cast<int64_t>(rows.size()), -1});
}

double Norm(const torch::Tensor& tensor) { return tensor.to(torch::kFloat64).norm().item<double>(); }

void ExpectNear(const torch::Tensor& found, const torch::Tensor& expected, double limit, const std::string& what) {
  ASSERT_EQ(found.sizes(), expected.sizes()) << what;
  const torch::Tensor worst = (found - expected).abs().amax(1);
  for (int64_t i = 0; i < worst.size(0); ++i) EXPECT_LE(worst[i].item<double>(), limit) << what << " of text " << i;
}

// What write_expected of make_architectures.py computes: the first half of the texts against the second.
torch::Tensor Loss(TextModel& model, const PackedTokens& tokens, const DropoutSource* dropout) {
  const torch::Tensor vectors = model.Forward(tokens, dropout);
  const int64_t half = vectors.size(0) / 2;
  return torch::cross_entropy_loss(vectors.narrow(0, 0, half).matmul(vectors.narrow(0, half, half).t()) * 20,
                                   torch::arange(half));
}

void ClearGradients(const TextModel& model) {
  for (ModelParameter& parameter : model.Parameters()) parameter.value.mutable_grad() = torch::Tensor();
}

std::map<std::string, torch::Tensor> ReadTensors(const std::filesystem::path& path) {
  const auto file = SafetensorsFile::Open(path);
  EXPECT_TRUE(file.ok()) << file.status();
  std::map<std::string, torch::Tensor> tensors;
  for (const StoredTensor& stored : (*file)->tensors()) {
    torch::Tensor value = torch::empty(stored.shape);
    std::memcpy(value.mutable_data_ptr(), stored.bytes.data(), stored.bytes.size());
    tensors[stored.name] = value;
  }
  return tensors;
}

struct Case {
  std::string name, architecture;
};

class ArchitectureTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    directory_ = ArchitecturePath(GetParam().name);
    golden_ = SlurpJson(directory_ / "expected.json");
    texts_ = golden_["texts"].get<std::vector<std::string>>();
    model_ = LoadOrDie(directory_);
    ASSERT_NE(model_, nullptr);
  }

  DropoutSource Dropout() const {
    DropoutSource source{.seed = 3, .step = 5, .examples = {}};
    for (size_t i = 0; i < texts_.size(); ++i) source.examples.push_back(100 + i);
    return source;
  }

  std::filesystem::path directory_;
  nlohmann::json golden_;
  std::vector<std::string> texts_;
  std::unique_ptr<TextModel> model_;
};

TEST_P(ArchitectureTest, IsNamedAndCounted) {
  const absl::StatusOr<ModelDescription> description = DescribeModel(directory_);
  ASSERT_TRUE(description.ok()) << description.status();
  EXPECT_EQ(description->architecture, GetParam().architecture);
  EXPECT_EQ(model_->architecture(), GetParam().architecture);
  EXPECT_EQ(description->contract, model_->contract());
  EXPECT_EQ(model_->contract().max_length, golden_["max_length"].get<int>());
  int64_t count = 0, last = 0;
  for (const ModelParameter& parameter : model_->Parameters()) {
    count += parameter.value.numel();
    EXPECT_GE(parameter.layer, last) << parameter.name;
    last = parameter.layer;
  }
  EXPECT_EQ(count, description->parameters);
  EXPECT_EQ(last, model_->layers());
}

TEST_P(ArchitectureTest, IdsAndEmbeddingsAreThoseOfSentenceTransformers) {
  const torch::NoGradGuard no_grad;
  for (const InputRole role : {InputRole::kQuery, InputRole::kDocument}) {
    const char* const name = role == InputRole::kQuery ? "query" : "document";
    const std::vector<TokenizedText> tokens = TokenizeOrDie(*model_, texts_, role);
    for (size_t i = 0; i < texts_.size(); ++i) {
      EXPECT_EQ(tokens[i].ids, golden_[name]["ids"][i].get<std::vector<int32_t>>()) << name << " " << texts_[i];
    }
    const torch::Tensor expected = Matrix(golden_[name]["embeddings"]);
    ExpectNear(model_->Forward(PackAll(tokens), nullptr), expected, 1e-5, name);
    for (size_t i = 0; i < texts_.size(); ++i) {
      const auto row = static_cast<int64_t>(i);
      ExpectNear(model_->Forward(PackAll({tokens[i]}), nullptr), expected.narrow(0, row, 1), 1e-5, texts_[i]);
    }
  }
}

TEST_P(ArchitectureTest, LossGradientsAndAStepAreThoseOfTransformers) {
  const PackedTokens tokens = PackTexts(*model_, texts_);
  const torch::Tensor loss = Loss(*model_, tokens, nullptr);
  EXPECT_NEAR(loss.item<double>(), golden_["loss"].get<double>(), 1e-5);
  loss.backward();
  const auto expected = ReadTensors(directory_ / "gradients.safetensors");
  EXPECT_EQ(expected.size(), model_->Parameters().size());
  double square = 0;
  for (const auto& [name, gradient] : expected) square += std::pow(Norm(gradient), 2);
  const torch::NoGradGuard no_grad;
  for (ModelParameter& parameter : model_->Parameters()) {
    const auto found = expected.find(parameter.name);
    ASSERT_NE(found, expected.end()) << parameter.name;
    ASSERT_TRUE(parameter.value.grad().defined()) << parameter.name;
    const double limit = 1e-4 * std::max(Norm(found->second), 1e-3 * std::sqrt(square));
    EXPECT_LE(Norm(parameter.value.grad() - found->second), limit) << parameter.name;
    parameter.value.sub_(parameter.value.grad(), golden_["rate"].get<double>());
  }
  ExpectNear(model_->Forward(tokens, nullptr), Matrix(golden_["after"]), 2e-5, "after a step");
}

TEST_P(ArchitectureTest, ForwardIsTheSameWithAndWithoutAutograd) {
  const PackedTokens tokens = PackTexts(*model_, texts_);
  const torch::Tensor with = model_->Forward(tokens, nullptr).detach();
  const torch::NoGradGuard no_grad;
  ExpectNear(model_->Forward(tokens, nullptr), with, 2e-6, "without autograd");
}

TEST_P(ArchitectureTest, ASavedModelHasItsNamesAndGivesTheSameVectors) {
  {
    const torch::NoGradGuard no_grad;
    for (ModelParameter& parameter : model_->Parameters()) parameter.value.mul_(1.01);
  }
  const ScratchModel saved("");
  const absl::Status status = model_->Save(directory_, saved.path());
  ASSERT_TRUE(status.ok()) << status;
  const auto before = ReadTensors(saved.path() / "model.safetensors");
  const auto source = SafetensorsFile::Open(directory_ / "model.safetensors");
  EXPECT_EQ(before.size(), (*source)->tensors().size());
  for (const StoredTensor& stored : (*source)->tensors()) EXPECT_TRUE(before.contains(stored.name)) << stored.name;
  const auto again = LoadOrDie(saved.path());
  ASSERT_NE(again, nullptr);
  EXPECT_EQ(again->contract(), model_->contract());
  const torch::NoGradGuard no_grad;
  const PackedTokens tokens = PackTexts(*model_, texts_);
  EXPECT_TRUE(torch::equal(again->Forward(tokens, nullptr), model_->Forward(tokens, nullptr)));
}

// With all rates of config.json on, the masks are the same in a second run and whatever texts are beside one.
TEST_P(ArchitectureTest, MasksOfATextDependOnItsKeyAlone) {
  const ScratchModel scratch("");
  std::filesystem::copy(directory_, scratch.path(),
                        std::filesystem::copy_options::recursive | std::filesystem::copy_options::overwrite_existing);
  for (const char* key : {"hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout",
                          "embedding_dropout", "mlp_dropout"}) {
    if (SlurpJson(directory_ / "config.json").contains(key)) scratch.Set("config.json", key, 0.2);
  }
  const auto model = LoadOrDie(scratch.path());
  ASSERT_NE(model, nullptr);
  const torch::NoGradGuard no_grad;
  const std::vector<TokenizedText> tokens = TokenizeOrDie(*model, texts_, InputRole::kQuery);
  const DropoutSource dropout = Dropout();
  const torch::Tensor together = model->Forward(PackAll(tokens), &dropout);
  EXPECT_TRUE(torch::equal(model->Forward(PackAll(tokens), &dropout), together));
  EXPECT_FALSE(torch::allclose(model->Forward(PackAll(tokens), nullptr), together, 1e-3, 1e-3));
  for (size_t i = 0; i < texts_.size(); ++i) {
    DropoutSource alone = dropout;
    alone.examples = {dropout.examples[i]};
    ExpectNear(model->Forward(PackAll({tokens[i]}), &alone), together.narrow(0, static_cast<int64_t>(i), 1), 1e-5,
               texts_[i]);
  }
  DropoutSource other = dropout;
  ++other.step;
  EXPECT_FALSE(torch::allclose(model->Forward(PackAll(tokens), &other), together, 1e-3, 1e-3));
}

// Central differences along a random direction of all parameters at once, with dropout on.
TEST_P(ArchitectureTest, BackwardMatchesDifferencesOfForwardWithDropout) {
  const PackedTokens tokens = PackTexts(*model_, texts_);
  const DropoutSource dropout = Dropout();
  ClearGradients(*model_);
  Loss(*model_, tokens, &dropout).backward();
  torch::manual_seed(1);
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> directions;
  double expected = 0;
  for (const ModelParameter& parameter : model_->Parameters()) {
    // Along the gradient as well, so that the difference is far above float32's noise.
    const torch::Tensor gradient = parameter.value.grad();
    directions.push_back(torch::randn_like(gradient) * 0.1 + gradient / gradient.norm().clamp_min(1e-6));
    expected += (gradient * directions.back()).sum().item<double>();
  }
  const auto at = [&](double step) {
    size_t i = 0;
    for (ModelParameter& parameter : model_->Parameters()) parameter.value.add_(directions[i++], step);
    const double loss = Loss(*model_, tokens, &dropout).item<double>();
    i = 0;
    for (ModelParameter& parameter : model_->Parameters()) parameter.value.add_(directions[i++], -step);
    return loss;
  };
  constexpr double kStep = 5e-4;
  EXPECT_NEAR((at(kStep) - at(-kStep)) / (2 * kStep), expected, 0.02 * std::abs(expected) + 0.02);
}

INSTANTIATE_TEST_SUITE_P(Golden, ArchitectureTest,
                         testing::Values(Case{"roberta", "RobertaModel"}, Case{"xlm_roberta", "XLMRobertaModel"},
                                         Case{"distilbert", "DistilBertModel"}, Case{"mpnet", "MPNetModel"},
                                         Case{"modernbert", "ModernBertModel"},
                                         Case{"modernbert_biases", "ModernBertModel"}, Case{"qwen3", "Qwen3Model"},
                                         Case{"qwen3_window", "Qwen3Model"}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace tandem
