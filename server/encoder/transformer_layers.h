#pragma once
// [torch] What the layers of all architectures are made of: linear maps, norms, activations, dropout and attention over
// packed tokens. Everything works with and without autograd; without it, activations are overwritten where they are
// used up. Under CPU autocast linear maps may give bfloat16; attention and norms compute in float32.

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include "server/encoder/dropout.h"
#include "server/encoder/rotary_positions.h"
#include "server/encoder/text_model.h"
#include "server/encoder/transformer_config.h"

namespace tandem {

class DropoutMasks;

// A low-rank addition to a linear map (Hu et al. 2022, as peft computes it): scale * dropout(x) a^T b^T.
struct Adapter {
  torch::Tensor a;  // [rank, in]
  torch::Tensor b;  // [out, rank]
  double scale = 0;
  double dropout = 0;
  uint32_t number = 0;  // Of the linear map in the model, for its dropout masks.

  torch::Tensor Forward(const torch::Tensor& input, const DropoutMasks& masks) const;
};

struct Linear {
  torch::Tensor weight;  // [out, in]
  torch::Tensor bias;    // [out]; undefined without one.
  size_t index = 0;      // Of the weight in the model's parameters.
  std::optional<Adapter> adapter;

  torch::Tensor Forward(const torch::Tensor& input, const DropoutMasks& masks) const;
};

// Linear maps of the same input whose outputs lie side by side: query, key and value. Their weights are windows into
// one matrix, by which the input is multiplied at once.
class FusedLinear {
 public:
  FusedLinear() = default;
  explicit FusedLinear(std::vector<Linear> parts);

  torch::Tensor Forward(const torch::Tensor& input, const DropoutMasks& masks) const;
  std::vector<Linear>& parts() { return parts_; }

 private:
  torch::Tensor MultiplyByAll(const torch::Tensor& input) const;

  std::vector<Linear> parts_;
  torch::Tensor weight_, bias_;  // Of all parts, whose storage they hold.
};

struct Norm {
  torch::Tensor weight;  // [size]
  torch::Tensor bias;    // [size]; undefined without one.
  double epsilon = 0;

  torch::Tensor LayerNorm(const torch::Tensor& input) const;
  torch::Tensor RmsNorm(const torch::Tensor& input) const;  // Zhang and Sennrich 2019.
};

// Hands out a model's tensors in the order of ExpectedTensors, as leaves that require gradients.
class ParameterReader {
 public:
  // `values[i]` is float32, contiguous, of the i-th shape of ExpectedTensors.
  explicit ParameterReader(std::vector<torch::Tensor> values) : values_(std::move(values)) {}

  torch::Tensor Take();
  Linear TakeLinear(bool bias);
  FusedLinear TakeFused(int parts, bool bias);
  Norm TakeNorm(bool bias, double epsilon);
  // Everything that was handed out, in the order of ExpectedTensors. Throws c10::Error when something is left.
  std::vector<torch::Tensor> Finish();

 private:
  std::vector<torch::Tensor> values_;
  std::vector<torch::Tensor> parameters_;
};

torch::Tensor Activate(torch::Tensor input, Activation activation);

// Dropout of one forward pass. Outlives nothing that it is made of.
class DropoutMasks {
 public:
  DropoutMasks(const DropoutSource* source, const PackedTokens& tokens) : source_(source), tokens_(tokens) {}

  // Rows of `input` are tokens.
  torch::Tensor Drop(const torch::Tensor& input, double rate, int64_t layer, DropoutPlace place) const;
  // One a text; none without dropout.
  std::vector<DropoutKey> AttentionKeys(double rate, int64_t layer) const;

 private:
  const DropoutSource* const source_;
  const PackedTokens& tokens_;
};

// What attention needs besides its tensors. Lives as long as the graph does.
struct AttentionCall : torch::CustomClassHolder {
  std::vector<int64_t> offsets;
  int64_t heads = 0, key_value_heads = 0, head_size = 0;
  int64_t before = kUnlimited, after = kUnlimited;
  std::shared_ptr<const RotaryTable> rotary;  // Null: queries and keys are not turned.
  std::vector<DropoutKey> keys;
  double dropout = 0;
};

// Context [tokens, heads * head_size] of qkv [tokens, (heads + 2 * key_value_heads) * head_size]; see
// packed_attention.h. `bias` is [heads, 2 * span - 1], or undefined. May overwrite qkv when autograd does not record.
torch::Tensor Attend(const torch::Tensor& qkv, const torch::Tensor& bias, c10::intrusive_ptr<AttentionCall> call);

}  // namespace tandem
