#pragma once
// How each architecture names its tensors in model.safetensors, and their shapes.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "server/encoder/transformer_config.h"

namespace tandem {

struct ExpectedTensor {
  std::string name;  // As transformers' base model calls it: "encoder.layer.0.attention.self.query.weight".
  std::vector<int64_t> shape;
  int64_t layer = 0;  // See ModelParameter.
};

// All tensors of a model, in the fixed order of parameters everywhere: that in which PostNormModel and PreNormModel
// take them.
std::vector<ExpectedTensor> ExpectedTensors(const TransformerConfig& config);

// The name in ExpectedTensors of a stored one, which may have the base model's prefix ("bert.") before it, or gamma and
// beta for LayerNorm's weight and bias: how transformers reads old checkpoints and those of models with a head.
std::string CanonicalName(Architecture architecture, const std::string& stored);

// Whether no embedding depends on the tensor of this canonical name: buffers, poolers (sentence-transformers pools the
// last hidden state itself) and the heads of pre-training.
bool IsUnused(Architecture architecture, std::string_view name);

}  // namespace tandem
