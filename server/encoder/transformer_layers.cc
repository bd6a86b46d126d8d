#include "server/encoder/transformer_layers.h"

#include <optional>
#include <tuple>
#include <utility>

#include "server/encoder/norm_gradients.h"
#include "server/encoder/packed_attention.h"

namespace tandem {
namespace {

AttentionShape ShapeOf(const AttentionCall& call) {
  return {.offsets = call.offsets,
          .heads = call.heads,
          .key_value_heads = call.key_value_heads,
          .head_size = call.head_size,
          .before = call.before,
          .after = call.after,
          .threads = at::get_num_threads()};
}

DistanceBias<const float> BiasOf(const torch::Tensor& bias) {
  if (!bias.defined()) return {};
  return {.values = bias.const_data_ptr<float>(), .span = (bias.size(1) + 1) / 2};
}

AttentionDropout DropoutOf(const AttentionCall& call) { return {.keys = call.keys, .rate = call.dropout}; }

torch::Tensor Context(const torch::Tensor& qkv, const torch::Tensor& bias, const AttentionCall& call) {
  torch::Tensor context = torch::empty({qkv.size(0), call.heads * call.head_size}, qkv.options());
  AttentionForward(ShapeOf(call), BiasOf(bias), DropoutOf(call), qkv.const_data_ptr<float>(),
                   context.mutable_data_ptr<float>());
  return context;
}

void Turn(const AttentionCall& call, torch::Tensor& qkv) {
  if (call.rotary == nullptr) return;
  call.rotary->Turn(call.offsets, call.heads + call.key_value_heads, qkv.size(1), at::get_num_threads(),
                    qkv.mutable_data_ptr<float>());
}

class PackedAttention : public torch::autograd::Function<PackedAttention> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& qkv,
                               const std::optional<torch::Tensor>& bias,
                               const c10::intrusive_ptr<AttentionCall>& call) {
    torch::Tensor turned = call->rotary == nullptr ? qkv : qkv.clone();
    Turn(*call, turned);
    context->save_for_backward({turned, bias.value_or(torch::Tensor())});
    context->saved_data["call"] = c10::IValue::make_capsule(call);
    return Context(turned, bias.value_or(torch::Tensor()), *call);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const torch::Tensor &qkv = saved[0], &bias = saved[1];
    const auto call = c10::static_intrusive_pointer_cast<AttentionCall>(context->saved_data["call"].toCapsule());
    const torch::Tensor grad_context = gradients[0].contiguous();
    torch::Tensor grad_qkv = torch::empty_like(qkv), grad_bias;
    DistanceBias<float> bias_out;
    if (bias.defined()) {
      grad_bias = torch::zeros_like(bias);
      bias_out = {.values = grad_bias.mutable_data_ptr<float>(), .span = BiasOf(bias).span};
    }
    AttentionBackward(ShapeOf(*call), BiasOf(bias), DropoutOf(*call), qkv.const_data_ptr<float>(),
                      grad_context.const_data_ptr<float>(), grad_qkv.mutable_data_ptr<float>(), bias_out);
    if (call->rotary != nullptr) {
      call->rotary->TurnBack(call->offsets, call->heads + call->key_value_heads, qkv.size(1), at::get_num_threads(),
                             grad_qkv.mutable_data_ptr<float>());
    }
    return {grad_qkv, grad_bias, torch::Tensor()};
  }
};

// torch::layer_norm but for the sums over tokens in backward; see norm_gradients.h.
class LayerNormFunction : public torch::autograd::Function<LayerNormFunction> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& input,
                               const torch::Tensor& weight, const std::optional<torch::Tensor>& bias, double epsilon) {
    const auto [output, mean, rstd] = at::native_layer_norm(input, weight.sizes(), weight, bias, epsilon);
    context->save_for_backward({input, mean, rstd, weight});
    context->saved_data["has_bias"] = bias.has_value();
    return output;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const torch::Tensor &input = saved[0], &mean = saved[1], &rstd = saved[2], &weight = saved[3];
    const bool has_bias = context->saved_data["has_bias"].toBool();
    const torch::Tensor gradient = gradients[0].contiguous();
    torch::Tensor grad_input, grad_weight, grad_bias;
    if (context->needs_input_grad(0)) {
      grad_input = std::get<0>(at::native_layer_norm_backward(gradient, input, weight.sizes(), mean, rstd, weight,
                                                              /*bias=*/std::nullopt, {true, false, false}));
    }
    if (context->needs_input_grad(1) || (has_bias && context->needs_input_grad(2))) {
      grad_weight = torch::empty_like(weight);
      grad_bias = torch::empty_like(weight);
      NormGradients({.rows = input.size(0),
                     .size = input.size(1),
                     .gradient = gradient.const_data_ptr<float>(),
                     .input = input.const_data_ptr<float>(),
                     .mean = mean.const_data_ptr<float>(),
                     .rstd = rstd.const_data_ptr<float>()},
                    at::get_num_threads(), grad_weight.mutable_data_ptr<float>(), grad_bias.mutable_data_ptr<float>());
    }
    return {grad_input, grad_weight, has_bias ? grad_bias : torch::Tensor(), torch::Tensor()};
  }
};

}  // namespace

torch::Tensor Adapter::Forward(const torch::Tensor& input, const DropoutMasks& masks) const {
  const auto place = static_cast<DropoutPlace>(static_cast<uint32_t>(DropoutPlace::kAdapterInput) + number);
  return torch::linear(torch::linear(masks.Drop(input, dropout, 0, place), a), b) * scale;
}

torch::Tensor Linear::Forward(const torch::Tensor& input, const DropoutMasks& masks) const {
  const torch::Tensor output = torch::linear(input, weight, bias);
  return adapter.has_value() ? output + adapter->Forward(input, masks) : output;
}

FusedLinear::FusedLinear(std::vector<Linear> parts) : parts_(std::move(parts)) {
  if (parts_.size() == 1) {
    weight_ = parts_[0].weight;
    bias_ = parts_[0].bias;
    return;
  }
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> weights, biases;
  for (const Linear& part : parts_) {
    weights.push_back(part.weight);
    if (part.bias.defined()) biases.push_back(part.bias);
  }
  weight_ = torch::cat(weights);
  if (!biases.empty()) bias_ = torch::cat(biases);
  int64_t row = 0;
  for (Linear& part : parts_) {
    const int64_t rows = part.weight.size(0);
    part.weight = weight_.narrow(0, row, rows).detach().requires_grad_(true);
    if (part.bias.defined()) part.bias = bias_.narrow(0, row, rows).detach().requires_grad_(true);
    row += rows;
  }
}

torch::Tensor FusedLinear::Forward(const torch::Tensor& input, const DropoutMasks& masks) const {
  const torch::Tensor output = MultiplyByAll(input);
  if (!parts_[0].adapter.has_value()) return output;
  std::vector<torch::Tensor> additions;
  for (const Linear& part : parts_) additions.push_back(part.adapter->Forward(input, masks));
  return output + torch::cat(additions, 1);
}

torch::Tensor FusedLinear::MultiplyByAll(const torch::Tensor& input) const {
  bool learns = false;
  for (const Linear& part : parts_) {
    learns = learns || part.weight.requires_grad() || (part.bias.defined() && part.bias.requires_grad());
  }
  if (parts_.size() == 1 || !learns || !at::GradMode::is_enabled()) return torch::linear(input, weight_, bias_);
  std::vector<torch::Tensor> weights, biases;
  for (const Linear& part : parts_) {
    weights.push_back(part.weight);
    if (part.bias.defined()) biases.push_back(part.bias);
  }
  return torch::linear(input, torch::cat(weights), biases.empty() ? torch::Tensor() : torch::cat(biases));
}

torch::Tensor Norm::LayerNorm(const torch::Tensor& input) const {
  if (!at::GradMode::is_enabled()) return torch::layer_norm(input, {weight.size(0)}, weight, bias, epsilon);
  return LayerNormFunction::apply(input.to(torch::kFloat32).contiguous(), weight,
                                  bias.defined() ? std::optional(bias) : std::nullopt, epsilon);
}

torch::Tensor Norm::RmsNorm(const torch::Tensor& input) const {
  return torch::rms_norm(input, {weight.size(0)}, weight, epsilon);
}

torch::Tensor ParameterReader::Take() {
  TORCH_CHECK(parameters_.size() < values_.size(), "the model has more tensors than ", values_.size());
  return parameters_.emplace_back(values_[parameters_.size()].requires_grad_(true));
}

Linear ParameterReader::TakeLinear(bool bias) {
  Linear linear;
  linear.index = parameters_.size();
  linear.weight = Take();
  if (bias) linear.bias = Take();
  return linear;
}

FusedLinear ParameterReader::TakeFused(int parts, bool bias) {
  const size_t first = parameters_.size();
  std::vector<Linear> linears;
  for (int i = 0; i < parts; ++i) linears.push_back(TakeLinear(bias));
  FusedLinear fused(std::move(linears));
  parameters_.resize(first);
  for (Linear& part : fused.parts()) {
    parameters_.push_back(part.weight);
    if (bias) parameters_.push_back(part.bias);
  }
  return fused;
}

Norm ParameterReader::TakeNorm(bool bias, double epsilon) {
  Norm norm{.weight = Take(), .bias = {}, .epsilon = epsilon};
  if (bias) norm.bias = Take();
  return norm;
}

std::vector<torch::Tensor> ParameterReader::Finish() {
  TORCH_CHECK(parameters_.size() == values_.size(), "the model has ", parameters_.size(), " tensors, not ",
              values_.size());
  return std::move(parameters_);
}

torch::Tensor Activate(torch::Tensor input, Activation activation) {
  const bool records = at::GradMode::is_enabled();
  if (activation == Activation::kSilu) return records ? torch::silu(input) : torch::silu_(input);
  const char* const approximate = activation == Activation::kGeluTanh ? "tanh" : "none";
  return records ? torch::gelu(input, approximate) : at::gelu_(input, approximate);
}

torch::Tensor DropoutMasks::Drop(const torch::Tensor& input, double rate, int64_t layer, DropoutPlace place) const {
  if (source_ == nullptr || rate == 0) return input;
  const std::vector<int64_t>& offsets = tokens_.offsets;
  const int64_t size = input.size(1);
  torch::Tensor mask = torch::empty(input.sizes(), torch::kFloat32);
  float* const values = mask.mutable_data_ptr<float>();
  for (size_t i = 0; i + 1 < offsets.size(); ++i) {
    const DropoutKey key = MakeDropoutKey(source_->seed, source_->step, source_->examples[i], layer, place);
    FillDropoutMask(key, 0, rate,
                    {values + offsets[i] * size, static_cast<size_t>((offsets[i + 1] - offsets[i]) * size)});
  }
  return input * mask;
}

std::vector<DropoutKey> DropoutMasks::AttentionKeys(double rate, int64_t layer) const {
  std::vector<DropoutKey> keys;
  if (source_ == nullptr || rate == 0) return keys;
  keys.reserve(source_->examples.size());
  for (const uint64_t example : source_->examples) {
    keys.push_back(MakeDropoutKey(source_->seed, source_->step, example, layer, DropoutPlace::kAttentionProbabilities));
  }
  return keys;
}

torch::Tensor Attend(const torch::Tensor& qkv, const torch::Tensor& bias, c10::intrusive_ptr<AttentionCall> call) {
  torch::Tensor values = qkv.to(torch::kFloat32);
  if (at::GradMode::is_enabled()) {
    // The operator takes no undefined tensors.
    return PackedAttention::apply(values, bias.defined() ? std::optional(bias) : std::nullopt, call);
  }
  Turn(*call, values);
  return Context(values, bias, *call);
}

}  // namespace tandem
