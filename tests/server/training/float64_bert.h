#pragma once
// [torch] BERT by the book in float64, text by text, with the weights, dropout masks and pooling of a TextModel: how
// far float32 gradients are from the true ones.

#include <filesystem>
#include <vector>

#include <torch/torch.h>

#include "server/encoder/dropout.h"
#include "server/encoder/text_model.h"

namespace tandem {

class Float64Bert {
 public:
  // `model` was loaded from `directory`: a BertModel with GELU and mean pooling, config.json beside the weights.
  Float64Bert(const TextModel& model, const std::filesystem::path& directory);

  // As TextModel::Forward, in float64.
  torch::Tensor Forward(const PackedTokens& tokens, const DropoutSource& dropout) const;

  const std::vector<ModelParameter>& parameters() const { return parameters_; }  // In the order of the TextModel.

 private:
  struct Text {  // One of a batch.
    const DropoutSource* dropout;
    uint64_t example;
  };
  torch::Tensor Embed(const torch::Tensor& ids, const Text& text) const;
  torch::Tensor Layer(int64_t layer, const torch::Tensor& input, const Text& text) const;
  torch::Tensor Attention(int64_t layer, const torch::Tensor& input, const Text& text) const;
  torch::Tensor Drop(const torch::Tensor& input, double rate, int64_t layer, DropoutPlace place,
                     const Text& text) const;
  const torch::Tensor& At(int64_t parameter) const { return parameters_[static_cast<size_t>(parameter)].value; }
  torch::Tensor Linear(const torch::Tensor& input, int64_t parameter) const;  // Its weight; the bias follows.
  torch::Tensor Norm(const torch::Tensor& input, int64_t parameter) const;    // The same.

  std::vector<ModelParameter> parameters_;
  int64_t heads_ = 0, layers_ = 0;
  double epsilon_ = 0, hidden_dropout_ = 0, attention_dropout_ = 0;
  bool normalize_ = false;
};

}  // namespace tandem
