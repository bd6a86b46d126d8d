#pragma once
// [torch] BERT and its kin over packed tokens: embeddings with a table of positions, then per layer attention, add &
// norm, feed-forward, add & norm (Devlin et al. 2018). RoBERTa and XLM-RoBERTa (Liu et al. 2019, Conneau et al. 2020),
// DistilBERT (Sanh et al. 2019) and MPNet (Song et al. 2020) differ in their embeddings, their dropout and, MPNet, in a
// bias of the attention scores by distance. As in transformers, without a pooler. One thread at a time.

#include <cstdint>
#include <functional>
#include <vector>

#include <torch/torch.h>

#include "server/encoder/text_model.h"
#include "server/encoder/transformer_config.h"
#include "server/encoder/transformer_layers.h"

namespace tandem {

class PostNormModel {
 public:
  // `values` as ParameterReader takes them; the model keeps them or copies of them.
  PostNormModel(const TransformerConfig& config, std::vector<torch::Tensor> values);

  // Last hidden state [tokens, hidden]. See TextModel::Forward.
  torch::Tensor Forward(const PackedTokens& tokens, const DropoutSource* dropout,
                        const std::function<void()>& between_layers) const;

  // In the order of ExpectedTensors. Change them in place only.
  const std::vector<torch::Tensor>& parameters() const { return parameters_; }

  std::vector<Linear*> linears();  // All of the layers, in the order of ExpectedTensors.

 private:
  struct Layer {
    FusedLinear query_key_value;
    Linear attention_output;
    Norm attention_norm;
    Linear up, down;
    Norm output_norm;
  };

  torch::Tensor Embeddings(const PackedTokens& tokens, const DropoutMasks& masks) const;
  torch::Tensor Positions(const PackedTokens& tokens) const;       // int64 [tokens]: rows of the table.
  torch::Tensor DistanceBiases(const PackedTokens& tokens) const;  // [heads, 2 * span - 1], undefined without.
  torch::Tensor RunLayer(int64_t index, const torch::Tensor& input, const torch::Tensor& bias,
                         const PackedTokens& tokens, const DropoutMasks& masks) const;

  const TransformerConfig config_;
  torch::Tensor word_, position_, token_type_;  // token_type_ is undefined where there are none.
  Norm embeddings_norm_;
  torch::Tensor distance_bias_;  // [buckets, heads] of MPNet.
  std::vector<Layer> layers_;
  std::vector<torch::Tensor> parameters_;
};

}  // namespace tandem
