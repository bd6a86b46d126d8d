#pragma once
// [torch] The BERT encoder over packed tokens: embeddings, then per layer attention, add & norm, feed-forward, add &
// norm (Devlin et al. 2018, as in transformers' BertModel without its pooler). One thread at a time.

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include <torch/torch.h>

#include "server/encoder/bert_config.h"
#include "server/encoder/dropout.h"
#include "server/encoder/text_model.h"

namespace tandem {

class BertModel {
 public:
  // `values[i]` is float32, contiguous, of the i-th shape of ExpectedTensors(config); the model keeps them or copies of
  // them.
  BertModel(const BertConfig& config, std::vector<torch::Tensor> values);

  // Last hidden state [tokens, hidden]. See TextModel::Forward.
  torch::Tensor Forward(const PackedTokens& tokens, const DropoutSource* dropout,
                        const std::function<void()>& between_layers = nullptr) const;

  // Leaf tensors that require gradients, in the order of ExpectedTensors. Change them in place only (`add_`, `copy_`):
  // query, key and value of a layer are windows into one matrix, which the forward pass without autograd multiplies by
  // at once.
  const std::vector<torch::Tensor>& parameters() const { return parameters_; }

 private:
  struct Layer {
    torch::Tensor fused_weight, fused_bias;  // [3 * hidden, hidden], [3 * hidden]; hold the storage of the next six.
    torch::Tensor query_weight, query_bias, key_weight, key_bias, value_weight, value_bias;
    torch::Tensor attention_weight, attention_bias, attention_norm_weight, attention_norm_bias;
    torch::Tensor up_weight, up_bias, down_weight, down_bias, output_norm_weight, output_norm_bias;

    // In the order of ExpectedTensors.
    std::array<torch::Tensor*, 16> Stored() {
      return {&query_weight,          &query_bias,          &key_weight,         &key_bias,
              &value_weight,          &value_bias,          &attention_weight,   &attention_bias,
              &attention_norm_weight, &attention_norm_bias, &up_weight,          &up_bias,
              &down_weight,           &down_bias,           &output_norm_weight, &output_norm_bias};
    }
  };
  // A source with the keys of all texts, or none.
  struct Masks {
    const DropoutSource* source = nullptr;
    const PackedTokens* tokens = nullptr;
  };

  torch::Tensor Embeddings(const PackedTokens& tokens, const Masks& masks) const;
  torch::Tensor RunLayer(int64_t index, const torch::Tensor& input, const PackedTokens& tokens,
                         const Masks& masks) const;
  torch::Tensor QueryKeyValue(const Layer& layer, const torch::Tensor& input) const;
  torch::Tensor FeedForward(const Layer& layer, const torch::Tensor& input) const;
  torch::Tensor Norm(const torch::Tensor& input, const torch::Tensor& weight, const torch::Tensor& bias) const;
  torch::Tensor Drop(const torch::Tensor& input, const Masks& masks, int64_t layer, DropoutPlace place) const;
  std::vector<DropoutKey> AttentionKeys(const Masks& masks, int64_t layer) const;
  void FuseQueryKeyValue(Layer& layer);

  const BertConfig config_;
  std::vector<torch::Tensor> parameters_;
  torch::Tensor word_, position_, token_type_, norm_weight_, norm_bias_;
  std::vector<Layer> layers_;
};

}  // namespace tandem
