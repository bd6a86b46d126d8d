#include "server/encoder/bert_model.h"

#include <algorithm>
#include <utility>

#include "server/encoder/dropout.h"
#include "server/encoder/packed_attention.h"

namespace tandem {
namespace {

AttentionShape ShapeOf(const std::vector<int64_t>& offsets, int64_t heads, int64_t hidden) {
  return {.offsets = offsets, .heads = heads, .head_size = hidden / heads, .threads = at::get_num_threads()};
}

// What backward needs besides the tensors. Lives as long as the graph does.
struct AttentionCall : torch::CustomClassHolder {
  std::vector<int64_t> offsets;
  std::vector<DropoutKey> keys;
  double rate = 0;
  int64_t heads = 0;

  AttentionDropout dropout() const { return {.keys = keys, .rate = rate}; }
};

torch::Tensor Attend(const torch::Tensor& qkv, const AttentionCall& call) {
  const int64_t hidden = qkv.size(1) / 3;
  torch::Tensor context = torch::empty({qkv.size(0), hidden}, qkv.options());
  AttentionForward(ShapeOf(call.offsets, call.heads, hidden), call.dropout(), qkv.const_data_ptr<float>(),
                   context.mutable_data_ptr<float>());
  return context;
}

class PackedAttention : public torch::autograd::Function<PackedAttention> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& qkv,
                               const c10::intrusive_ptr<AttentionCall>& call) {
    context->save_for_backward({qkv});
    context->saved_data["call"] = c10::IValue::make_capsule(call);
    return Attend(qkv, *call);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const torch::Tensor qkv = context->get_saved_variables()[0];
    const auto call = c10::static_intrusive_pointer_cast<AttentionCall>(context->saved_data["call"].toCapsule());
    const torch::Tensor grad_context = gradients[0].contiguous();
    torch::Tensor grad_qkv = torch::empty_like(qkv);
    AttentionBackward(ShapeOf(call->offsets, call->heads, qkv.size(1) / 3), call->dropout(),
                      qkv.const_data_ptr<float>(), grad_context.const_data_ptr<float>(),
                      grad_qkv.mutable_data_ptr<float>());
    return {grad_qkv, torch::Tensor()};
  }
};

}  // namespace

BertModel::BertModel(const BertConfig& config, std::vector<torch::Tensor> values)
    : config_(config), parameters_(std::move(values)) {
  for (torch::Tensor& value : parameters_) value.requires_grad_(true);
  auto next = parameters_.begin();
  for (torch::Tensor* field : {&word_, &position_, &token_type_, &norm_weight_, &norm_bias_}) *field = *next++;
  layers_.resize(static_cast<size_t>(config_.layers));
  for (Layer& layer : layers_) {
    const auto first = next;
    for (torch::Tensor* field : layer.Stored()) *field = *next++;
    FuseQueryKeyValue(layer);
    std::ranges::transform(layer.Stored(), first, [](const torch::Tensor* field) { return *field; });
  }
  TORCH_CHECK(next == parameters_.end(), "BertModel: ", parameters_.size(), " tensors do not fit ", config_.layers,
              " layers");
}

void BertModel::FuseQueryKeyValue(Layer& layer) {
  const torch::NoGradGuard no_grad;
  layer.fused_weight = torch::cat({layer.query_weight, layer.key_weight, layer.value_weight});
  layer.fused_bias = torch::cat({layer.query_bias, layer.key_bias, layer.value_bias});
  int64_t row = 0;
  for (auto& [weight, bias] :
       {std::pair(&layer.query_weight, &layer.query_bias), std::pair(&layer.key_weight, &layer.key_bias),
        std::pair(&layer.value_weight, &layer.value_bias)}) {
    *weight = layer.fused_weight.narrow(0, row, config_.hidden).detach().requires_grad_(true);
    *bias = layer.fused_bias.narrow(0, row, config_.hidden).detach().requires_grad_(true);
    row += config_.hidden;
  }
}

torch::Tensor BertModel::Forward(const PackedTokens& tokens, const DropoutSource* dropout,
                                 const std::function<void()>& between_layers) const {
  const Masks masks{.source = dropout, .tokens = &tokens};
  torch::Tensor hidden = Embeddings(tokens, masks);
  for (int64_t i = 0; i < config_.layers; ++i) {
    if (between_layers != nullptr) between_layers();
    hidden = RunLayer(i, hidden, tokens, masks);
  }
  return hidden;
}

torch::Tensor BertModel::Embeddings(const PackedTokens& tokens, const Masks& masks) const {
  const torch::Tensor sum =
      torch::embedding(word_, tokens.ids) + token_type_.select(0, 0) + torch::embedding(position_, tokens.positions);
  return Drop(Norm(sum, norm_weight_, norm_bias_), masks, 0, DropoutPlace::kEmbeddings);
}

torch::Tensor BertModel::RunLayer(int64_t index, const torch::Tensor& input, const PackedTokens& tokens,
                                  const Masks& masks) const {
  const Layer& layer = layers_[static_cast<size_t>(index)];
  auto call = c10::make_intrusive<AttentionCall>();
  call->offsets = tokens.offsets;
  call->keys = AttentionKeys(masks, index);
  call->rate = config_.attention_dropout;
  call->heads = config_.heads;
  const torch::Tensor qkv = QueryKeyValue(layer, input);
  const torch::Tensor context = at::GradMode::is_enabled() ? PackedAttention::apply(qkv, call) : Attend(qkv, *call);

  torch::Tensor attended = torch::linear(context, layer.attention_weight, layer.attention_bias);
  attended = Drop(attended, masks, index, DropoutPlace::kAttentionOutput);
  const torch::Tensor normed = Norm(attended + input, layer.attention_norm_weight, layer.attention_norm_bias);

  torch::Tensor output = FeedForward(layer, normed);
  output = Drop(output, masks, index, DropoutPlace::kFeedForward);
  return Norm(output + normed, layer.output_norm_weight, layer.output_norm_bias);
}

torch::Tensor BertModel::QueryKeyValue(const Layer& layer, const torch::Tensor& input) const {
  if (!at::GradMode::is_enabled()) return torch::linear(input, layer.fused_weight, layer.fused_bias);
  return torch::linear(input, torch::cat({layer.query_weight, layer.key_weight, layer.value_weight}),
                       torch::cat({layer.query_bias, layer.key_bias, layer.value_bias}));
}

torch::Tensor BertModel::FeedForward(const Layer& layer, const torch::Tensor& input) const {
  torch::Tensor up = torch::linear(input, layer.up_weight, layer.up_bias);
  const char* const approximate = config_.activation == Activation::kGeluTanh ? "tanh" : "none";
  if (at::GradMode::is_enabled()) {
    up = torch::gelu(up, approximate);
  } else {
    at::gelu_(up, approximate);
  }
  return torch::linear(up, layer.down_weight, layer.down_bias);
}

torch::Tensor BertModel::Norm(const torch::Tensor& input, const torch::Tensor& weight,
                              const torch::Tensor& bias) const {
  return torch::layer_norm(input, {config_.hidden}, weight, bias, config_.layer_norm_epsilon);
}

torch::Tensor BertModel::Drop(const torch::Tensor& input, const Masks& masks, int64_t layer, DropoutPlace place) const {
  if (masks.source == nullptr || config_.hidden_dropout == 0) return input;
  const std::vector<int64_t>& offsets = masks.tokens->offsets;
  torch::Tensor mask = torch::empty(input.sizes(), input.options().requires_grad(false));
  float* const values = mask.mutable_data_ptr<float>();
  for (size_t i = 0; i + 1 < offsets.size(); ++i) {
    const DropoutKey key =
        MakeDropoutKey(masks.source->seed, masks.source->step, masks.source->examples[i], layer, place);
    FillDropoutMask(
        key, 0, config_.hidden_dropout,
        {values + offsets[i] * config_.hidden, static_cast<size_t>((offsets[i + 1] - offsets[i]) * config_.hidden)});
  }
  return input * mask;
}

std::vector<DropoutKey> BertModel::AttentionKeys(const Masks& masks, int64_t layer) const {
  std::vector<DropoutKey> keys;
  if (masks.source == nullptr || config_.attention_dropout == 0) return keys;
  keys.reserve(masks.source->examples.size());
  for (const uint64_t example : masks.source->examples) {
    keys.push_back(
        MakeDropoutKey(masks.source->seed, masks.source->step, example, layer, DropoutPlace::kAttentionProbabilities));
  }
  return keys;
}

}  // namespace tandem
