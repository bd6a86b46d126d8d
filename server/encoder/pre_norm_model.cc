#include "server/encoder/pre_norm_model.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace tandem {

PreNormModel::PreNormModel(const TransformerConfig& config, std::vector<torch::Tensor> values) : config_(config) {
  ParameterReader reader(std::move(values));
  word_ = reader.Take();
  if (config_.architecture == Architecture::kModernBert) {
    embeddings_norm_ = reader.TakeNorm(config_.norm_bias, config_.norm_epsilon);
  }
  for (int64_t i = 0; i < config_.layers; ++i) TakeLayer(reader, i == 0);
  final_norm_ = reader.TakeNorm(config_.norm_bias, config_.norm_epsilon);
  parameters_ = reader.Finish();
}

void PreNormModel::TakeLayer(ParameterReader& reader, bool first) {
  const bool modern_bert = config_.architecture == Architecture::kModernBert;
  const double epsilon = config_.norm_epsilon;
  Layer& layer = layers_.emplace_back();
  if (!(modern_bert && first)) layer.attention_norm = reader.TakeNorm(config_.norm_bias, epsilon);
  layer.query_key_value = reader.TakeFused(modern_bert ? 1 : 3, config_.attention_bias);
  if (!modern_bert) {
    layer.query_norm = reader.TakeNorm(false, epsilon);
    layer.key_norm = reader.TakeNorm(false, epsilon);
  }
  layer.attention_output = reader.TakeLinear(config_.attention_bias);
  layer.feed_forward_norm = reader.TakeNorm(config_.norm_bias, epsilon);
  layer.gate = reader.TakeLinear(config_.feed_forward_bias);
  if (!modern_bert) layer.up = reader.TakeLinear(config_.feed_forward_bias);
  layer.down = reader.TakeLinear(config_.feed_forward_bias);
}

std::vector<Linear*> PreNormModel::linears() {
  std::vector<Linear*> linears;
  for (Layer& layer : layers_) {
    for (Linear& part : layer.query_key_value.parts()) linears.push_back(&part);
    linears.insert(linears.end(), {&layer.attention_output, &layer.gate});
    if (layer.up.weight.defined()) linears.push_back(&layer.up);
    linears.push_back(&layer.down);
  }
  return linears;
}

torch::Tensor PreNormModel::Forward(const PackedTokens& tokens, const DropoutSource* dropout,
                                    const std::function<void()>& between_layers) const {
  const DropoutMasks masks(dropout, tokens);
  torch::Tensor hidden = torch::embedding(word_, tokens.ids, config_.padding_id.value_or(-1));
  if (embeddings_norm_.weight.defined()) hidden = NormOf(embeddings_norm_, hidden);
  hidden = masks.Drop(hidden, config_.dropout.embeddings, 0, DropoutPlace::kEmbeddings);
  for (int64_t i = 0; i < config_.layers; ++i) {
    if (between_layers != nullptr) between_layers();
    hidden = RunLayer(i, hidden, tokens, masks);
  }
  return NormOf(final_norm_, hidden);
}

torch::Tensor PreNormModel::RunLayer(int64_t index, const torch::Tensor& input, const PackedTokens& tokens,
                                     const DropoutMasks& masks) const {
  const Layer& layer = layers_[static_cast<size_t>(index)];
  const torch::Tensor normed = layer.attention_norm.weight.defined() ? NormOf(layer.attention_norm, input) : input;
  const torch::Tensor attended = input + Attention(index, normed, tokens, masks);
  return attended + FeedForward(layer, index, NormOf(layer.feed_forward_norm, attended), masks);
}

torch::Tensor PreNormModel::Attention(int64_t index, const torch::Tensor& input, const PackedTokens& tokens,
                                      const DropoutMasks& masks) const {
  const Layer& layer = layers_[static_cast<size_t>(index)];
  const LayerAttention& attention = config_.attention[static_cast<size_t>(index)];
  auto call = c10::make_intrusive<AttentionCall>();
  call->offsets = tokens.offsets;
  call->heads = config_.heads;
  call->key_value_heads = config_.key_value_heads;
  call->head_size = config_.head_size;
  call->before = attention.before;
  call->after = attention.after;
  call->rotary = RotaryFor(attention.rope_theta, tokens);
  call->keys = masks.AttentionKeys(config_.dropout.attention, index);
  call->dropout = config_.dropout.attention;
  const torch::Tensor context =
      Attend(NormHeads(layer, layer.query_key_value.Forward(input, masks)), torch::Tensor(), std::move(call));
  return masks.Drop(layer.attention_output.Forward(context, masks), config_.dropout.attention_output, index,
                    DropoutPlace::kAttentionOutput);
}

torch::Tensor PreNormModel::NormHeads(const Layer& layer, const torch::Tensor& qkv) const {
  if (!layer.query_norm.weight.defined()) return qkv;
  const auto heads = [&](int64_t first, int64_t count) {
    return qkv.narrow(1, first * config_.head_size, count * config_.head_size).unflatten(1, {count, config_.head_size});
  };
  const int64_t queries = config_.heads, keys = config_.key_value_heads;
  return torch::cat({layer.query_norm.RmsNorm(heads(0, queries)), layer.key_norm.RmsNorm(heads(queries, keys)),
                     heads(queries + keys, keys)},
                    1)
      .flatten(1);
}

torch::Tensor PreNormModel::FeedForward(const Layer& layer, int64_t index, const torch::Tensor& input,
                                        const DropoutMasks& masks) const {
  torch::Tensor gate = layer.gate.Forward(input, masks), up;
  if (layer.up.weight.defined()) {
    up = layer.up.Forward(input, masks);
  } else {
    up = gate.narrow(1, config_.intermediate, config_.intermediate);
    gate = gate.narrow(1, 0, config_.intermediate);
  }
  const torch::Tensor inner = masks.Drop(Activate(gate, config_.activation) * up, config_.dropout.feed_forward_inner,
                                         index, DropoutPlace::kFeedForwardInner);
  return layer.down.Forward(inner, masks);
}

torch::Tensor PreNormModel::NormOf(const Norm& norm, const torch::Tensor& input) const {
  return config_.architecture == Architecture::kQwen3 ? norm.RmsNorm(input) : norm.LayerNorm(input);
}

std::shared_ptr<const RotaryTable> PreNormModel::RotaryFor(double theta, const PackedTokens& tokens) const {
  int64_t longest = 1;
  for (size_t text = 0; text + 1 < tokens.offsets.size(); ++text) {
    longest = std::max(longest, tokens.offsets[text + 1] - tokens.offsets[text]);
  }
  std::shared_ptr<const RotaryTable>& table = rotary_[theta];
  if (table == nullptr || table->positions() < longest) {
    const auto positions = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(longest)));
    table = std::make_shared<const RotaryTable>(positions, config_.head_size, theta);
  }
  return table;
}

}  // namespace tandem
