#pragma once
// config.json of an encoder: the sizes and options that the forward pass needs, whichever architecture wrote them.
// Settings that change the result and that tandem does not have are refused by name and value; the defaults are those
// of transformers' config class of the model_type.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace tandem {

enum class Architecture { kBert, kRoberta, kXlmRoberta, kDistilBert, kMpnet, kModernBert, kQwen3 };

// The name of transformers' model class: "BertModel".
std::string_view ArchitectureName(Architecture architecture);

enum class Activation { kGelu, kGeluTanh, kSilu };

// Of the forward pass in training; each in [0, 1).
struct DropoutRates {
  double embeddings = 0;
  double attention = 0;  // Of the probabilities.
  double attention_output = 0;
  double feed_forward_inner = 0;
  double feed_forward = 0;
};

inline constexpr int64_t kUnlimited = int64_t{1} << 40;  // More tokens than any text has.

// What a layer of a pre-norm model sees: the keys from `before` tokens before a query to `after` tokens after it.
struct LayerAttention {
  int64_t before = kUnlimited, after = kUnlimited;
  double rope_theta = 10'000;  // Base of the rotary angles (Su et al. 2021).
};

struct TransformerConfig {
  Architecture architecture = Architecture::kBert;
  int64_t vocabulary = 0;
  int64_t hidden = 0;
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t key_value_heads = 0;  // Divides heads; each serves heads / key_value_heads query heads in a row.
  int64_t head_size = 0;
  int64_t intermediate = 0;
  int64_t positions = 0;              // max_position_embeddings.
  int64_t first_position = 0;         // Of a text's first token; RoBERTa and MPNet begin after the padding's.
  std::optional<int64_t> padding_id;  // Its embedding gets no gradient.
  int64_t token_types = 0;            // 0: there are no token type embeddings.
  double norm_epsilon = 0;
  Activation activation = Activation::kGelu;
  DropoutRates dropout;
  // Pre-norm models only.
  bool attention_bias = false, feed_forward_bias = false, norm_bias = false;
  std::vector<LayerAttention> attention;  // One a layer.

  // Rotary positions and norms before attention and feed-forward, rather than a table of positions and norms after.
  bool pre_norm() const { return architecture == Architecture::kModernBert || architecture == Architecture::kQwen3; }
  int64_t max_tokens() const { return positions - first_position; }
  int64_t attention_size() const { return heads * head_size; }            // Of queries and of the context.
  int64_t key_value_size() const { return key_value_heads * head_size; }  // Of keys and of values.
};

// `name`: path of the file below `directory`.
absl::StatusOr<TransformerConfig> ReadTransformerConfig(const std::filesystem::path& directory,
                                                        const std::filesystem::path& name);

}  // namespace tandem
