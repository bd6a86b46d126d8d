#pragma once
// [torch] ModernBERT (Warner et al. 2024) and Qwen3 (Yang et al. 2025) over packed tokens: per layer norm, attention
// with rotary positions, add, norm, gated feed-forward (Shazeer 2020), add; a norm at the end. ModernBERT has
// LayerNorms and layers that see all of a text or a window around each token; Qwen3 is a decoder, whose tokens see what
// comes before them, with RMS norms, grouped keys and values, and norms of queries and keys. One thread at a time.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include <torch/torch.h>

#include "server/encoder/rotary_positions.h"
#include "server/encoder/text_model.h"
#include "server/encoder/transformer_config.h"
#include "server/encoder/transformer_layers.h"

namespace tandem {

class PreNormModel {
 public:
  // `values` as ParameterReader takes them; the model keeps them or copies of them.
  PreNormModel(const TransformerConfig& config, std::vector<torch::Tensor> values);

  // Last hidden state [tokens, hidden]. See TextModel::Forward.
  torch::Tensor Forward(const PackedTokens& tokens, const DropoutSource* dropout,
                        const std::function<void()>& between_layers) const;

  // In the order of ExpectedTensors. Change them in place only.
  const std::vector<torch::Tensor>& parameters() const { return parameters_; }

  std::vector<Linear*> linears();  // All of the layers, in the order of ExpectedTensors.

 private:
  struct Layer {
    Norm attention_norm;          // Without a weight in ModernBERT's first layer, which has none.
    FusedLinear query_key_value;  // One matrix in ModernBERT.
    Norm query_norm, key_norm;    // Of each head; Qwen3 only.
    Linear attention_output;
    Norm feed_forward_norm;
    Linear gate, up;  // ModernBERT stores both as one matrix: `up` is undefined and the gate's rows come first.
    Linear down;
  };

  void TakeLayer(ParameterReader& reader, bool first);
  torch::Tensor RunLayer(int64_t index, const torch::Tensor& input, const PackedTokens& tokens,
                         const DropoutMasks& masks) const;
  torch::Tensor Attention(int64_t index, const torch::Tensor& input, const PackedTokens& tokens,
                          const DropoutMasks& masks) const;
  torch::Tensor FeedForward(const Layer& layer, int64_t index, const torch::Tensor& input,
                            const DropoutMasks& masks) const;
  torch::Tensor NormOf(const Norm& norm, const torch::Tensor& input) const;
  torch::Tensor NormHeads(const Layer& layer, const torch::Tensor& qkv) const;
  std::shared_ptr<const RotaryTable> RotaryFor(double theta, const PackedTokens& tokens) const;

  const TransformerConfig config_;
  torch::Tensor word_;
  Norm embeddings_norm_;  // ModernBERT only.
  std::vector<Layer> layers_;
  Norm final_norm_;
  std::vector<torch::Tensor> parameters_;
  // By theta, long enough for the longest text so far: models have positions for texts that nobody sends. Calls that
  // run between the layers of another leave the other its table.
  mutable std::map<double, std::shared_ptr<const RotaryTable>> rotary_;
};

}  // namespace tandem
