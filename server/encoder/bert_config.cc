#include "server/encoder/bert_config.h"

#include <string>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/encoder/json_file.h"

namespace tandem {
namespace {

absl::Status CheckModelType(const JsonFile& file) {
  ASSIGN_OR_RETURN(const std::string type, file.String("model_type", ""));
  if (type != "bert") return file.Unsupported("model_type", "tandem has \"bert\"");
  return file.RefuseIfSet("auto_map", "the model brings its own code");
}

// Options that give other results than the BERT that tandem computes.
absl::Status RefuseVariants(const JsonFile& file) {
  ASSIGN_OR_RETURN(const std::string positions, file.String("position_embedding_type", "absolute"));
  if (positions != "absolute") return file.Unsupported("position_embedding_type", "tandem has \"absolute\"");
  RETURN_IF_ERROR(file.RefuseIfSet("is_decoder", "tandem has encoders only"));
  RETURN_IF_ERROR(file.RefuseIfSet("add_cross_attention", "tandem has encoders only"));
  RETURN_IF_ERROR(file.RefuseIfSet("is_encoder_decoder", "tandem has encoders only"));
  RETURN_IF_ERROR(file.RefuseIfSet("quantization_config", "the weights must be float32, float16 or bfloat16"));
  return file.RefuseIfSet("pruned_heads", "every layer must have all its heads");
}

absl::StatusOr<int64_t> Size(const JsonFile& file, std::string_view key, int64_t otherwise, int64_t limit) {
  ASSIGN_OR_RETURN(const int64_t value, file.Integer(key, otherwise));
  if (value >= 1 && value <= limit) return value;
  return absl::InvalidArgumentError(Concat(file.name(), ": ", key, " ", value, ": must be in [1, ", limit, "]"));
}

absl::StatusOr<double> Rate(const JsonFile& file, std::string_view key) {
  ASSIGN_OR_RETURN(const double value, file.Number(key, 0.1));
  if (value >= 0 && value < 1) return value;
  return absl::InvalidArgumentError(Concat(file.name(), ": ", key, " ", value, ": must be in [0, 1)"));
}

absl::StatusOr<Activation> ActivationOf(const JsonFile& file) {
  ASSIGN_OR_RETURN(const std::string name, file.String("hidden_act", "gelu"));
  if (name == "gelu" || name == "gelu_python") return Activation::kGelu;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast") return Activation::kGeluTanh;
  return file.Unsupported(
      "hidden_act", "tandem has \"gelu\", \"gelu_python\", \"gelu_new\", \"gelu_pytorch_tanh\" and \"gelu_fast\"");
}

}  // namespace

absl::StatusOr<BertConfig> ReadBertConfig(const std::filesystem::path& directory, const std::filesystem::path& name) {
  ASSIGN_OR_RETURN(const JsonFile file, JsonFile::Read(directory, name));
  RETURN_IF_ERROR(CheckModelType(file));
  RETURN_IF_ERROR(RefuseVariants(file));
  BertConfig config;
  // The limits keep every product of sizes far inside int64; the shapes in the weights file decide the rest.
  ASSIGN_OR_RETURN(config.vocabulary, Size(file, "vocab_size", config.vocabulary, 10'000'000));
  ASSIGN_OR_RETURN(config.hidden, Size(file, "hidden_size", config.hidden, 65'536));
  ASSIGN_OR_RETURN(config.layers, Size(file, "num_hidden_layers", config.layers, 1'000));
  ASSIGN_OR_RETURN(config.heads, Size(file, "num_attention_heads", config.heads, 65'536));
  ASSIGN_OR_RETURN(config.intermediate, Size(file, "intermediate_size", config.intermediate, 1'000'000));
  ASSIGN_OR_RETURN(config.max_positions, Size(file, "max_position_embeddings", config.max_positions, 65'536));
  ASSIGN_OR_RETURN(config.token_types, Size(file, "type_vocab_size", config.token_types, 1'000));
  ASSIGN_OR_RETURN(config.hidden_dropout, Rate(file, "hidden_dropout_prob"));
  ASSIGN_OR_RETURN(config.attention_dropout, Rate(file, "attention_probs_dropout_prob"));
  ASSIGN_OR_RETURN(config.activation, ActivationOf(file));
  ASSIGN_OR_RETURN(config.layer_norm_epsilon, file.Number("layer_norm_eps", config.layer_norm_epsilon));
  if (!(config.layer_norm_epsilon >= 0 && config.layer_norm_epsilon <= 1)) {
    return absl::InvalidArgumentError(
        Concat(file.name(), ": layer_norm_eps ", config.layer_norm_epsilon, ": must be in [0, 1]"));
  }
  if (config.hidden % config.heads != 0) {
    return absl::InvalidArgumentError(Concat(file.name(), ": hidden_size ", config.hidden,
                                             ": must be a multiple of num_attention_heads ", config.heads));
  }
  return config;
}

}  // namespace tandem
