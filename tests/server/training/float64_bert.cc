#include "tests/server/training/float64_bert.h"

#include <cmath>
#include <fstream>

#include <nlohmann/json.hpp>

#include "server/encoder/dropout.h"

namespace tandem {
namespace {

// Of TextModel::Parameters: word, position and token type embeddings and their norm, then each layer's.
constexpr int64_t kEmbeddingsNorm = 3, kFirstLayer = 5, kOfALayer = 16;
constexpr int64_t kQuery = 0, kKey = 2, kValue = 4, kAttentionOutput = 6, kAttentionNorm = 8, kUp = 10, kDown = 12,
                  kOutputNorm = 14;

}  // namespace

Float64Bert::Float64Bert(const TextModel& model, const std::filesystem::path& directory) {
  std::ifstream file(directory / "config.json");
  const nlohmann::json config = nlohmann::json::parse(file);
  TORCH_CHECK(model.architecture() == "BertModel" && config["hidden_act"] == "gelu" &&
                  model.contract().pooling == PoolingKind::kMean,
              directory.string(), ": not a BERT with GELU and mean pooling");
  heads_ = config["num_attention_heads"];
  layers_ = config["num_hidden_layers"];
  epsilon_ = config["layer_norm_eps"];
  hidden_dropout_ = config["hidden_dropout_prob"];
  attention_dropout_ = config["attention_probs_dropout_prob"];
  normalize_ = model.contract().normalize;
  for (ModelParameter parameter : model.Parameters()) {
    parameter.value = parameter.value.detach().to(torch::kFloat64).requires_grad_(true);
    parameters_.push_back(std::move(parameter));
  }
  TORCH_CHECK(static_cast<int64_t>(parameters_.size()) == kFirstLayer + kOfALayer * layers_);
}

torch::Tensor Float64Bert::Forward(const PackedTokens& tokens, const DropoutSource& dropout) const {
  std::vector<torch::Tensor> vectors;
  for (int64_t i = 0; i < tokens.texts(); ++i) {
    const torch::Tensor ids = tokens.ids.narrow(0, tokens.offsets[i], tokens.offsets[i + 1] - tokens.offsets[i]);
    vectors.push_back(Embed(ids, {&dropout, dropout.examples[static_cast<size_t>(i)]}));
  }
  return torch::stack(vectors);
}

torch::Tensor Float64Bert::Embed(const torch::Tensor& ids, const Text& text) const {
  const torch::Tensor sum = torch::embedding(At(0), ids) + At(1).narrow(0, 0, ids.size(0)) + At(2).select(0, 0);
  torch::Tensor hidden = Drop(Norm(sum, kEmbeddingsNorm), hidden_dropout_, 0, DropoutPlace::kEmbeddings, text);
  for (int64_t layer = 0; layer < layers_; ++layer) hidden = Layer(layer, hidden, text);
  const torch::Tensor pooled = hidden.mean(0);
  return normalize_ ? pooled / pooled.norm() : pooled;
}

torch::Tensor Float64Bert::Layer(int64_t layer, const torch::Tensor& input, const Text& text) const {
  const int64_t first = kFirstLayer + kOfALayer * layer;
  const torch::Tensor attended = Drop(Linear(Attention(layer, input, text), first + kAttentionOutput), hidden_dropout_,
                                      layer, DropoutPlace::kAttentionOutput, text);
  const torch::Tensor normed = Norm(attended + input, first + kAttentionNorm);
  const torch::Tensor output = Drop(Linear(torch::gelu(Linear(normed, first + kUp)), first + kDown), hidden_dropout_,
                                    layer, DropoutPlace::kFeedForward, text);
  return Norm(output + normed, first + kOutputNorm);
}

torch::Tensor Float64Bert::Attention(int64_t layer, const torch::Tensor& input, const Text& text) const {
  const int64_t first = kFirstLayer + kOfALayer * layer, length = input.size(0), size = input.size(1) / heads_;
  const auto heads = [&](int64_t part) {
    return Linear(input, first + part).reshape({length, heads_, size}).transpose(0, 1);
  };
  const torch::Tensor scores = heads(kQuery).matmul(heads(kKey).transpose(1, 2)) / std::sqrt(size);
  const torch::Tensor kept =
      Drop(torch::softmax(scores, 2), attention_dropout_, layer, DropoutPlace::kAttentionProbabilities, text);
  return kept.matmul(heads(kValue)).transpose(0, 1).reshape({length, -1});
}

torch::Tensor Float64Bert::Drop(const torch::Tensor& input, double rate, int64_t layer, DropoutPlace place,
                                const Text& text) const {
  if (rate == 0) return input;
  torch::Tensor mask = torch::empty(input.sizes(), torch::kFloat32);
  FillDropoutMask(MakeDropoutKey(text.dropout->seed, text.dropout->step, text.example, layer, place), 0, rate,
                  {mask.mutable_data_ptr<float>(), static_cast<size_t>(mask.numel())});
  return input * mask.to(torch::kFloat64);
}

torch::Tensor Float64Bert::Linear(const torch::Tensor& input, int64_t parameter) const {
  return torch::linear(input, At(parameter), At(parameter + 1));
}

torch::Tensor Float64Bert::Norm(const torch::Tensor& input, int64_t parameter) const {
  return torch::layer_norm(input, {input.size(1)}, At(parameter), At(parameter + 1), epsilon_);
}

}  // namespace tandem
