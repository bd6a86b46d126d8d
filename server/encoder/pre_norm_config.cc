// config.json of ModernBERT (Warner et al. 2024) and Qwen3 (Yang et al. 2025).
#include <array>
#include <string>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/encoder/config_checks.h"
#include "server/encoder/json_file.h"
#include "server/encoder/transformer_config.h"

namespace tandem {
namespace {

constexpr char kFull[] = "full_attention", kSliding[] = "sliding_attention";
constexpr char kRopeWhy[] = "tandem has plain rotary positions: {\"rope_type\": \"default\", \"rope_theta\": ...}";

absl::StatusOr<double> ReadTheta(const JsonFile& file, std::string_view key, double otherwise) {
  ASSIGN_OR_RETURN(const double theta, file.Number(key, otherwise));
  if (theta > 0) return theta;
  return file.Unsupported(key, "must be above 0");
}

// {"rope_type": "default", "rope_theta": 10000.0}; a theta that is not there leaves `theta`.
absl::Status ReadRope(const JsonFile& file, std::string_view key, const nlohmann::json& rope, double& theta) {
  if (rope.is_null()) return absl::OkStatus();
  if (!rope.is_object()) return file.Unsupported(key, kRopeWhy);
  for (const auto& [name, value] : rope.items()) {
    const bool known = name == "rope_type" || name == "type" ? value == "default" : name == "rope_theta";
    if (!known) return file.Unsupported(key, kRopeWhy);
  }
  const auto found = rope.find("rope_theta");
  if (found == rope.end() || found->is_null()) return absl::OkStatus();
  if (!found->is_number() || found->get<double>() <= 0) return file.Unsupported(key, "rope_theta must be above 0");
  theta = found->get<double>();
  return absl::OkStatus();
}

// One entry a layer: whether it slides. Empty when the file has no layer_types.
absl::StatusOr<std::vector<bool>> ReadLayerTypes(const JsonFile& file, int64_t layers) {
  std::vector<bool> slides;
  if (!file.Has("layer_types")) return slides;
  const nlohmann::json types = file.Get("layer_types");
  if (!types.is_array() || types.size() != static_cast<size_t>(layers)) {
    return file.Unsupported("layer_types", Concat("must have an entry for each of ", layers, " layers"));
  }
  for (const nlohmann::json& type : types) {
    if (type != kFull && type != kSliding) {
      return file.Unsupported("layer_types", "tandem has \"full_attention\" and \"sliding_attention\"");
    }
    slides.push_back(type == kSliding);
  }
  return slides;
}

// The angles of {global, local} layers: rope_parameters has one entry for each, older files have two keys instead.
absl::StatusOr<std::array<double, 2>> ReadModernBertThetas(const JsonFile& file) {
  RETURN_IF_ERROR(file.RefuseIfSet("rope_scaling", kRopeWhy));
  std::array<double, 2> thetas;
  ASSIGN_OR_RETURN(thetas[0], ReadTheta(file, "global_rope_theta", 160'000));
  ASSIGN_OR_RETURN(thetas[1], ReadTheta(file, "local_rope_theta", 10'000));
  const nlohmann::json rope = file.Get("rope_parameters");
  if (rope.is_null()) return thetas;
  if (!rope.is_object()) return file.Unsupported("rope_parameters", kRopeWhy);
  for (const auto& [name, value] : rope.items()) {
    if (name != kFull && name != kSliding) {
      return file.Unsupported("rope_parameters", "tandem has one entry for each of full and sliding attention");
    }
    RETURN_IF_ERROR(ReadRope(file, "rope_parameters", value, thetas[name == kSliding]));
  }
  return thetas;
}

absl::Status ReadModernBertAttention(const JsonFile& file, TransformerConfig& config) {
  ASSIGN_OR_RETURN(const auto thetas, ReadModernBertThetas(file));
  // The whole window: half of it to each side, and the query itself.
  ASSIGN_OR_RETURN(const int64_t window, ReadSize(file, "local_attention", 128, 1'048'576));
  if (file.Has("sliding_window")) {
    ASSIGN_OR_RETURN(const int64_t reach, file.Integer("sliding_window", 0));
    if (reach != window / 2) return file.Unsupported("sliding_window", "local_attention is not twice that");
  }
  ASSIGN_OR_RETURN(const int64_t every, ReadSize(file, "global_attn_every_n_layers", 3, 1'000));
  ASSIGN_OR_RETURN(const std::vector<bool> types, ReadLayerTypes(file, config.layers));
  for (int64_t i = 0; i < config.layers; ++i) {
    const bool slides = types.empty() ? i % every != 0 : types[static_cast<size_t>(i)];
    const int64_t reach = slides ? window / 2 : kUnlimited;
    config.attention.push_back({.before = reach, .after = reach, .rope_theta = thetas[slides]});
  }
  return absl::OkStatus();
}

absl::Status ReadQwen3Attention(const JsonFile& file, TransformerConfig& config) {
  double theta = 0;
  ASSIGN_OR_RETURN(theta, ReadTheta(file, "rope_theta", 10'000));
  for (const char* key : {"rope_parameters", "rope_scaling"})
    RETURN_IF_ERROR(ReadRope(file, key, file.Get(key), theta));
  RETURN_IF_ERROR(file.RefuseIfSet("partial_rotary_factor", "tandem rotates whole heads"));
  ASSIGN_OR_RETURN(const bool causal, file.Boolean("is_causal", true));
  ASSIGN_OR_RETURN(const bool use_window, file.Boolean("use_sliding_window", false));
  int64_t window = kUnlimited;
  if (use_window && (file.Has("sliding_window") || !file.json().contains("sliding_window"))) {
    ASSIGN_OR_RETURN(window, ReadSize(file, "sliding_window", 4096, 1'048'576));
  }
  ASSIGN_OR_RETURN(const int64_t max_window_layers, file.Integer("max_window_layers", 28));
  ASSIGN_OR_RETURN(const std::vector<bool> types, ReadLayerTypes(file, config.layers));
  for (int64_t i = 0; i < config.layers; ++i) {
    const bool slides = types.empty() ? window != kUnlimited && i >= max_window_layers : types[static_cast<size_t>(i)];
    if (slides && window == kUnlimited) return file.Unsupported("layer_types", "use_sliding_window is not true");
    if (slides && !causal) return file.Unsupported("is_causal", "with sliding layers tandem has true");
    config.attention.push_back(
        {.before = slides ? window - 1 : kUnlimited, .after = causal ? 0 : kUnlimited, .rope_theta = theta});
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadModernBert(const JsonFile& file, TransformerConfig& config) {
  ASSIGN_OR_RETURN(config.hidden, ReadSize(file, "hidden_size", 768, 65'536));
  ASSIGN_OR_RETURN(config.layers, ReadSize(file, "num_hidden_layers", 22, 1'000));
  ASSIGN_OR_RETURN(config.heads, ReadSize(file, "num_attention_heads", 12, 65'536));
  ASSIGN_OR_RETURN(config.intermediate, ReadSize(file, "intermediate_size", 1152, 1'000'000));
  ASSIGN_OR_RETURN(config.dropout.embeddings, ReadDropout(file, "embedding_dropout", 0));
  ASSIGN_OR_RETURN(config.dropout.attention, ReadDropout(file, "attention_dropout", 0));
  config.dropout.attention_output = config.dropout.attention;
  ASSIGN_OR_RETURN(config.dropout.feed_forward_inner, ReadDropout(file, "mlp_dropout", 0));
  ASSIGN_OR_RETURN(config.activation, ReadActivation(file, "hidden_activation", "gelu"));
  ASSIGN_OR_RETURN(config.norm_epsilon, ReadEpsilon(file, "norm_eps", 1e-5));
  ASSIGN_OR_RETURN(config.padding_id, ReadPaddingId(file, 50283, config.vocabulary));
  ASSIGN_OR_RETURN(config.norm_bias, file.Boolean("norm_bias", false));
  ASSIGN_OR_RETURN(config.attention_bias, file.Boolean("attention_bias", false));
  ASSIGN_OR_RETURN(config.feed_forward_bias, file.Boolean("mlp_bias", false));
  return ReadModernBertAttention(file, config);
}

absl::Status ReadQwen3(const JsonFile& file, TransformerConfig& config) {
  ASSIGN_OR_RETURN(config.hidden, ReadSize(file, "hidden_size", 4096, 65'536));
  ASSIGN_OR_RETURN(config.layers, ReadSize(file, "num_hidden_layers", 32, 1'000));
  ASSIGN_OR_RETURN(config.heads, ReadSize(file, "num_attention_heads", 32, 65'536));
  // Not there: 32, as the class has it; null: every query head has its own.
  const bool no_groups = file.json().contains("num_key_value_heads") && !file.Has("num_key_value_heads");
  ASSIGN_OR_RETURN(config.key_value_heads,
                   ReadSize(file, "num_key_value_heads", no_groups ? config.heads : 32, 65'536));
  if (config.heads % config.key_value_heads != 0) {
    return absl::InvalidArgumentError(Concat(file.name(), ": num_attention_heads ", config.heads,
                                             ": must be a multiple of num_key_value_heads ", config.key_value_heads));
  }
  ASSIGN_OR_RETURN(config.head_size, ReadSize(file, "head_dim", 128, 65'536));
  ASSIGN_OR_RETURN(config.intermediate, ReadSize(file, "intermediate_size", 22016, 1'000'000));
  ASSIGN_OR_RETURN(config.dropout.attention, ReadDropout(file, "attention_dropout", 0));
  ASSIGN_OR_RETURN(config.activation, ReadActivation(file, "hidden_act", "silu"));
  ASSIGN_OR_RETURN(config.norm_epsilon, ReadEpsilon(file, "rms_norm_eps", 1e-6));
  ASSIGN_OR_RETURN(config.padding_id, ReadPaddingId(file, std::nullopt, config.vocabulary));
  ASSIGN_OR_RETURN(config.attention_bias, file.Boolean("attention_bias", false));
  return ReadQwen3Attention(file, config);
}

}  // namespace tandem
