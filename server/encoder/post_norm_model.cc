#include "server/encoder/post_norm_model.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace tandem {
namespace {

// The row of MPNet's bias table for keys `distances` tokens after the query: T5's buckets (Raffel et al. 2020), of
// exact distances up to 7 and logarithmic ones up to 128, in the float32 arithmetic of transformers'
// relative_position_bucket.
torch::Tensor DistanceBuckets(const torch::Tensor& distances) {
  constexpr int64_t kSides = 16, kExact = 8;
  constexpr double kMostDistance = 128;
  const torch::Tensor far = distances.abs();
  const torch::Tensor logarithmic = (torch::log(far.to(torch::kFloat32) / static_cast<double>(kExact)) /
                                     std::log(kMostDistance / kExact) * static_cast<double>(kSides - kExact))
                                        .to(torch::kInt64) +
                                    kExact;
  const torch::Tensor side = torch::where(far < kExact, far, logarithmic.clamp_max(kSides - 1));
  return side + (distances > 0).to(torch::kInt64) * kSides;
}

}  // namespace

PostNormModel::PostNormModel(const TransformerConfig& config, std::vector<torch::Tensor> values) : config_(config) {
  ParameterReader reader(std::move(values));
  word_ = reader.Take();
  position_ = reader.Take();
  if (config_.token_types > 0) token_type_ = reader.Take();
  embeddings_norm_ = reader.TakeNorm(true, config_.norm_epsilon);
  if (config_.architecture == Architecture::kMpnet) distance_bias_ = reader.Take();
  for (int64_t i = 0; i < config_.layers; ++i) {
    Layer& layer = layers_.emplace_back();
    layer.query_key_value = reader.TakeFused(3, true);
    layer.attention_output = reader.TakeLinear(true);
    layer.attention_norm = reader.TakeNorm(true, config_.norm_epsilon);
    layer.up = reader.TakeLinear(true);
    layer.down = reader.TakeLinear(true);
    layer.output_norm = reader.TakeNorm(true, config_.norm_epsilon);
  }
  parameters_ = reader.Finish();
}

std::vector<Linear*> PostNormModel::linears() {
  std::vector<Linear*> linears;
  for (Layer& layer : layers_) {
    for (Linear& part : layer.query_key_value.parts()) linears.push_back(&part);
    linears.insert(linears.end(), {&layer.attention_output, &layer.up, &layer.down});
  }
  return linears;
}

torch::Tensor PostNormModel::Forward(const PackedTokens& tokens, const DropoutSource* dropout,
                                     const std::function<void()>& between_layers) const {
  const DropoutMasks masks(dropout, tokens);
  torch::Tensor hidden = Embeddings(tokens, masks);
  const torch::Tensor bias = DistanceBiases(tokens);
  for (int64_t i = 0; i < config_.layers; ++i) {
    if (between_layers != nullptr) between_layers();
    hidden = RunLayer(i, hidden, bias, tokens, masks);
  }
  return hidden;
}

torch::Tensor PostNormModel::Embeddings(const PackedTokens& tokens, const DropoutMasks& masks) const {
  const int64_t padding = config_.padding_id.value_or(-1);
  const int64_t position_padding = config_.first_position > 0 ? padding : -1;
  torch::Tensor sum = torch::embedding(word_, tokens.ids, padding);
  if (token_type_.defined()) sum = sum + token_type_.select(0, 0);
  sum = sum + torch::embedding(position_, Positions(tokens), position_padding);
  return masks.Drop(embeddings_norm_.LayerNorm(sum), config_.dropout.embeddings, 0, DropoutPlace::kEmbeddings);
}

// RoBERTa and MPNet count the tokens that are not padding from padding_id + 1; a padding token that a text spells out
// stays at padding_id.
torch::Tensor PostNormModel::Positions(const PackedTokens& tokens) const {
  if (config_.first_position == 0) return tokens.positions;
  torch::Tensor positions = torch::empty_like(tokens.ids);
  const int64_t* const ids = tokens.ids.const_data_ptr<int64_t>();
  int64_t* const out = positions.mutable_data_ptr<int64_t>();
  const int64_t padding = *config_.padding_id;
  for (size_t text = 0; text + 1 < tokens.offsets.size(); ++text) {
    int64_t next = config_.first_position;
    for (int64_t i = tokens.offsets[text]; i < tokens.offsets[text + 1]; ++i) {
      out[i] = ids[i] == padding ? padding : next++;
    }
  }
  return positions;
}

torch::Tensor PostNormModel::DistanceBiases(const PackedTokens& tokens) const {
  if (!distance_bias_.defined()) return {};
  int64_t span = 1;
  for (size_t text = 0; text + 1 < tokens.offsets.size(); ++text) {
    span = std::max(span, tokens.offsets[text + 1] - tokens.offsets[text]);
  }
  const torch::Tensor buckets = DistanceBuckets(torch::arange(1 - span, span, torch::kInt64));
  return distance_bias_.index_select(0, buckets).t().contiguous();
}

torch::Tensor PostNormModel::RunLayer(int64_t index, const torch::Tensor& input, const torch::Tensor& bias,
                                      const PackedTokens& tokens, const DropoutMasks& masks) const {
  const Layer& layer = layers_[static_cast<size_t>(index)];
  const DropoutRates& rates = config_.dropout;
  auto call = c10::make_intrusive<AttentionCall>();
  call->offsets = tokens.offsets;
  call->heads = config_.heads;
  call->key_value_heads = config_.key_value_heads;
  call->head_size = config_.head_size;
  call->keys = masks.AttentionKeys(rates.attention, index);
  call->dropout = rates.attention;
  const torch::Tensor context = Attend(layer.query_key_value.Forward(input, masks), bias, std::move(call));

  torch::Tensor attended = layer.attention_output.Forward(context, masks);
  attended = masks.Drop(attended, rates.attention_output, index, DropoutPlace::kAttentionOutput);
  const torch::Tensor normed = layer.attention_norm.LayerNorm(attended + input);

  torch::Tensor output = layer.down.Forward(Activate(layer.up.Forward(normed, masks), config_.activation), masks);
  output = masks.Drop(output, rates.feed_forward, index, DropoutPlace::kFeedForward);
  return layer.output_norm.LayerNorm(output + normed);
}

}  // namespace tandem
