#include "server/encoder/tensor_names.h"

#include <algorithm>
#include <initializer_list>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

// Of a layer of BERT and its kin, after `prefix` + "<layer>.".
struct LayerNames {
  const char *prefix, *query, *key, *value, *attention_output, *attention_norm, *up, *down, *output_norm;
};
constexpr LayerNames kBertLayer = {"encoder.layer.",       "attention.self.query",   "attention.self.key",
                                   "attention.self.value", "attention.output.dense", "attention.output.LayerNorm",
                                   "intermediate.dense",   "output.dense",           "output.LayerNorm"};
constexpr LayerNames kDistilBertLayer = {"transformer.layer.", "attention.q_lin",   "attention.k_lin",
                                         "attention.v_lin",    "attention.out_lin", "sa_layer_norm",
                                         "ffn.lin1",           "ffn.lin2",          "output_layer_norm"};
constexpr LayerNames kMpnetLayer = {"encoder.layer.",     "attention.attn.q", "attention.attn.k",
                                    "attention.attn.v",   "attention.attn.o", "attention.LayerNorm",
                                    "intermediate.dense", "output.dense",     "output.LayerNorm"};

// Appends the tensors of one layer after another.
class Expected {
 public:
  void Add(const std::string& name, std::vector<int64_t> shape) {
    tensors_.push_back({name, std::move(shape), layer_});
  }
  void Linear(const std::string& name, int64_t out, int64_t in, bool bias) {
    Add(name + ".weight", {out, in});
    if (bias) Add(name + ".bias", {out});
  }
  void Norm(const std::string& name, int64_t size, bool bias) {
    Add(name + ".weight", {size});
    if (bias) Add(name + ".bias", {size});
  }
  void BeginLayer(int64_t layer) { layer_ = layer; }
  std::vector<ExpectedTensor> Take() { return std::move(tensors_); }

 private:
  std::vector<ExpectedTensor> tensors_;
  int64_t layer_ = 0;
};

std::vector<ExpectedTensor> PostNormTensors(const TransformerConfig& config, const LayerNames& names) {
  constexpr int64_t kMpnetBuckets = 32;
  const int64_t hidden = config.hidden;
  Expected expected;
  expected.Add("embeddings.word_embeddings.weight", {config.vocabulary, hidden});
  expected.Add("embeddings.position_embeddings.weight", {config.positions, hidden});
  if (config.token_types > 0) expected.Add("embeddings.token_type_embeddings.weight", {config.token_types, hidden});
  expected.Norm("embeddings.LayerNorm", hidden, true);
  if (config.architecture == Architecture::kMpnet) {
    expected.Add("encoder.relative_attention_bias.weight", {kMpnetBuckets, config.heads});
  }
  for (int64_t i = 0; i < config.layers; ++i) {
    expected.BeginLayer(i + 1);
    const std::string layer = Concat(names.prefix, i, ".");
    for (const char* part : {names.query, names.key, names.value, names.attention_output}) {
      expected.Linear(layer + part, hidden, hidden, true);
    }
    expected.Norm(layer + names.attention_norm, hidden, true);
    expected.Linear(layer + names.up, config.intermediate, hidden, true);
    expected.Linear(layer + names.down, hidden, config.intermediate, true);
    expected.Norm(layer + names.output_norm, hidden, true);
  }
  return expected.Take();
}

std::vector<ExpectedTensor> ModernBertTensors(const TransformerConfig& config) {
  const int64_t hidden = config.hidden;
  Expected expected;
  expected.Add("embeddings.tok_embeddings.weight", {config.vocabulary, hidden});
  expected.Norm("embeddings.norm", hidden, config.norm_bias);
  for (int64_t i = 0; i < config.layers; ++i) {
    expected.BeginLayer(i + 1);
    const std::string layer = Concat("layers.", i, ".");
    if (i > 0) expected.Norm(layer + "attn_norm", hidden, config.norm_bias);
    expected.Linear(layer + "attn.Wqkv", 3 * hidden, hidden, config.attention_bias);
    expected.Linear(layer + "attn.Wo", hidden, hidden, config.attention_bias);
    expected.Norm(layer + "mlp_norm", hidden, config.norm_bias);
    expected.Linear(layer + "mlp.Wi", 2 * config.intermediate, hidden, config.feed_forward_bias);
    expected.Linear(layer + "mlp.Wo", hidden, config.intermediate, config.feed_forward_bias);
  }
  // Belongs to the last layer.
  expected.Norm("final_norm", hidden, config.norm_bias);
  return expected.Take();
}

std::vector<ExpectedTensor> Qwen3Tensors(const TransformerConfig& config) {
  const int64_t hidden = config.hidden;
  const bool bias = config.attention_bias;
  Expected expected;
  expected.Add("embed_tokens.weight", {config.vocabulary, hidden});
  for (int64_t i = 0; i < config.layers; ++i) {
    expected.BeginLayer(i + 1);
    const std::string layer = Concat("layers.", i, ".");
    expected.Norm(layer + "input_layernorm", hidden, false);
    expected.Linear(layer + "self_attn.q_proj", config.attention_size(), hidden, bias);
    expected.Linear(layer + "self_attn.k_proj", config.key_value_size(), hidden, bias);
    expected.Linear(layer + "self_attn.v_proj", config.key_value_size(), hidden, bias);
    expected.Norm(layer + "self_attn.q_norm", config.head_size, false);
    expected.Norm(layer + "self_attn.k_norm", config.head_size, false);
    expected.Linear(layer + "self_attn.o_proj", hidden, config.attention_size(), bias);
    expected.Norm(layer + "post_attention_layernorm", hidden, false);
    expected.Linear(layer + "mlp.gate_proj", config.intermediate, hidden, false);
    expected.Linear(layer + "mlp.up_proj", config.intermediate, hidden, false);
    expected.Linear(layer + "mlp.down_proj", hidden, config.intermediate, false);
  }
  // Belongs to the last layer.
  expected.Norm("norm", hidden, false);
  return expected.Take();
}

absl::string_view PrefixOf(Architecture architecture) {
  switch (architecture) {
    case Architecture::kBert:
      return "bert.";
    case Architecture::kRoberta:
    case Architecture::kXlmRoberta:
      return "roberta.";
    case Architecture::kDistilBert:
      return "distilbert.";
    case Architecture::kMpnet:
      return "mpnet.";
    case Architecture::kModernBert:
    case Architecture::kQwen3:
      return "model.";
  }
  return "";
}

// With ".weight" or ".bias" after them.
std::initializer_list<const char*> UnusedModules(Architecture architecture) {
  static constexpr std::initializer_list<const char*> kBert = {"pooler.dense",
                                                               "cls.predictions.decoder",
                                                               "cls.predictions.transform.dense",
                                                               "cls.predictions.transform.LayerNorm",
                                                               "cls.predictions",
                                                               "cls.seq_relationship"};
  static constexpr std::initializer_list<const char*> kRoberta = {"pooler.dense", "lm_head", "lm_head.dense",
                                                                  "lm_head.layer_norm", "lm_head.decoder"};
  static constexpr std::initializer_list<const char*> kDistilBert = {"vocab_transform", "vocab_layer_norm",
                                                                     "vocab_projector"};
  static constexpr std::initializer_list<const char*> kModernBert = {"head.dense", "head.norm", "decoder"};
  static constexpr std::initializer_list<const char*> kQwen3 = {"lm_head"};
  switch (architecture) {
    case Architecture::kBert:
      return kBert;
    case Architecture::kRoberta:
    case Architecture::kXlmRoberta:
    case Architecture::kMpnet:
      return kRoberta;
    case Architecture::kDistilBert:
      return kDistilBert;
    case Architecture::kModernBert:
      return kModernBert;
    case Architecture::kQwen3:
      return kQwen3;
  }
  return {};
}

}  // namespace

std::vector<ExpectedTensor> ExpectedTensors(const TransformerConfig& config) {
  switch (config.architecture) {
    case Architecture::kBert:
    case Architecture::kRoberta:
    case Architecture::kXlmRoberta:
      return PostNormTensors(config, kBertLayer);
    case Architecture::kDistilBert:
      return PostNormTensors(config, kDistilBertLayer);
    case Architecture::kMpnet:
      return PostNormTensors(config, kMpnetLayer);
    case Architecture::kModernBert:
      return ModernBertTensors(config);
    case Architecture::kQwen3:
      return Qwen3Tensors(config);
  }
  return {};
}

std::string CanonicalName(Architecture architecture, const std::string& stored) {
  absl::string_view name = stored;
  absl::ConsumePrefix(&name, PrefixOf(architecture));
  absl::string_view stem = name;
  if (absl::ConsumeSuffix(&stem, "LayerNorm.gamma")) return Concat(stem, "LayerNorm.weight");
  if (absl::ConsumeSuffix(&stem, "LayerNorm.beta")) return Concat(stem, "LayerNorm.bias");
  return std::string(name);
}

bool IsUnused(Architecture architecture, std::string_view name) {
  if (name == "embeddings.position_ids" || name == "embeddings.token_type_ids") return true;
  absl::string_view module = AbslView(name);
  if (absl::EndsWith(module, "rotary_emb.inv_freq")) return true;
  if (!absl::ConsumeSuffix(&module, ".weight") && !absl::ConsumeSuffix(&module, ".bias")) return false;
  const auto unused = UnusedModules(architecture);
  return std::any_of(unused.begin(), unused.end(), [&](const char* other) { return module == other; });
}

}  // namespace tandem
