#include "server/encoder/transformer_config.h"

#include <array>
#include <string>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/encoder/config_checks.h"
#include "server/encoder/json_file.h"

namespace tandem {
namespace {

struct ArchitectureRow {
  Architecture architecture;
  std::string_view model_type, name;
};
constexpr std::array<ArchitectureRow, 7> kArchitectures = {{
    {Architecture::kBert, "bert", "BertModel"},
    {Architecture::kRoberta, "roberta", "RobertaModel"},
    {Architecture::kXlmRoberta, "xlm-roberta", "XLMRobertaModel"},
    {Architecture::kDistilBert, "distilbert", "DistilBertModel"},
    {Architecture::kMpnet, "mpnet", "MPNetModel"},
    {Architecture::kModernBert, "modernbert", "ModernBertModel"},
    {Architecture::kQwen3, "qwen3", "Qwen3Model"},
}};

// transformers' compute_position_bias has 32 buckets whatever relative_attention_num_buckets says.
constexpr int64_t kMpnetBuckets = 32;
constexpr int64_t kMpnetPaddingId = 1;  // Fixed in MPNetEmbeddings.

absl::StatusOr<Architecture> ReadArchitecture(const JsonFile& file) {
  ASSIGN_OR_RETURN(const std::string type, file.String("model_type", ""));
  std::string known;
  for (const ArchitectureRow& row : kArchitectures) {
    if (row.model_type == type) return row.architecture;
    absl::StrAppend(&known, known.empty() ? "\"" : ", \"", AbslView(row.model_type), "\"");
  }
  return file.Unsupported("model_type", Concat("tandem has ", known));
}

// Options that give other results than what tandem computes.
absl::Status RefuseVariants(const JsonFile& file) {
  RETURN_IF_ERROR(file.RefuseIfSet("auto_map", "the model brings its own code"));
  ASSIGN_OR_RETURN(const std::string positions, file.String("position_embedding_type", "absolute"));
  if (positions != "absolute") return file.Unsupported("position_embedding_type", "tandem has \"absolute\"");
  for (const char* key : {"is_decoder", "add_cross_attention", "is_encoder_decoder"}) {
    RETURN_IF_ERROR(file.RefuseIfSet(key, "tandem has encoders only"));
  }
  RETURN_IF_ERROR(file.RefuseIfSet("quantization_config", "the weights must be float32, float16 or bfloat16"));
  return file.RefuseIfSet("pruned_heads", "every layer must have all its heads");
}

// What BERT, RoBERTa, XLM-RoBERTa and MPNet call alike.
absl::Status ReadBertLike(const JsonFile& file, TransformerConfig& config) {
  ASSIGN_OR_RETURN(config.hidden, ReadSize(file, "hidden_size", 768, 65'536));
  ASSIGN_OR_RETURN(config.layers, ReadSize(file, "num_hidden_layers", 12, 1'000));
  ASSIGN_OR_RETURN(config.heads, ReadSize(file, "num_attention_heads", 12, 65'536));
  ASSIGN_OR_RETURN(config.intermediate, ReadSize(file, "intermediate_size", 3072, 1'000'000));
  ASSIGN_OR_RETURN(const double dropout, ReadDropout(file, "hidden_dropout_prob", 0.1));
  config.dropout = {.embeddings = dropout, .attention_output = dropout, .feed_forward = dropout};
  ASSIGN_OR_RETURN(config.dropout.attention, ReadDropout(file, "attention_probs_dropout_prob", 0.1));
  ASSIGN_OR_RETURN(config.activation, ReadActivation(file, "hidden_act", "gelu"));
  ASSIGN_OR_RETURN(config.norm_epsilon, ReadEpsilon(file, "layer_norm_eps", 1e-12));
  return absl::OkStatus();
}

absl::Status ReadBert(const JsonFile& file, TransformerConfig& config) {
  RETURN_IF_ERROR(ReadBertLike(file, config));
  ASSIGN_OR_RETURN(config.padding_id, ReadPaddingId(file, 0, config.vocabulary));
  ASSIGN_OR_RETURN(config.token_types, ReadSize(file, "type_vocab_size", 2, 1'000));
  return absl::OkStatus();
}

// RoBERTa and XLM-RoBERTa.
absl::Status ReadRoberta(const JsonFile& file, TransformerConfig& config) {
  RETURN_IF_ERROR(ReadBertLike(file, config));
  ASSIGN_OR_RETURN(config.token_types, ReadSize(file, "type_vocab_size", 2, 1'000));
  ASSIGN_OR_RETURN(config.padding_id, ReadPaddingId(file, 1, config.vocabulary));
  if (!config.padding_id.has_value()) return file.Unsupported("pad_token_id", "positions are counted from it");
  config.first_position = *config.padding_id + 1;
  return absl::OkStatus();
}

absl::Status ReadMpnet(const JsonFile& file, TransformerConfig& config) {
  RETURN_IF_ERROR(ReadBertLike(file, config));
  config.padding_id = kMpnetPaddingId;
  config.first_position = kMpnetPaddingId + 1;
  ASSIGN_OR_RETURN(const int64_t buckets, file.Integer("relative_attention_num_buckets", kMpnetBuckets));
  if (buckets != kMpnetBuckets) {
    return file.Unsupported("relative_attention_num_buckets", Concat("tandem has ", kMpnetBuckets));
  }
  return absl::OkStatus();
}

absl::Status ReadDistilBert(const JsonFile& file, TransformerConfig& config) {
  ASSIGN_OR_RETURN(config.hidden, ReadSize(file, "dim", 768, 65'536));
  ASSIGN_OR_RETURN(config.layers, ReadSize(file, "n_layers", 6, 1'000));
  ASSIGN_OR_RETURN(config.heads, ReadSize(file, "n_heads", 12, 65'536));
  ASSIGN_OR_RETURN(config.intermediate, ReadSize(file, "hidden_dim", 3072, 1'000'000));
  ASSIGN_OR_RETURN(const double dropout, ReadDropout(file, "dropout", 0.1));
  config.dropout = {.embeddings = dropout, .feed_forward = dropout};
  ASSIGN_OR_RETURN(config.dropout.attention, ReadDropout(file, "attention_dropout", 0.1));
  ASSIGN_OR_RETURN(config.activation, ReadActivation(file, "activation", "gelu"));
  ASSIGN_OR_RETURN(config.padding_id, ReadPaddingId(file, 0, config.vocabulary));
  config.norm_epsilon = 1e-12;
  return absl::OkStatus();
}

struct SizeDefaults {
  int64_t vocabulary, positions;
};

SizeDefaults DefaultsOf(Architecture architecture) {
  switch (architecture) {
    case Architecture::kBert:
    case Architecture::kXlmRoberta:
    case Architecture::kDistilBert:
      return {30522, 512};
    case Architecture::kRoberta:
      return {50265, 512};
    case Architecture::kMpnet:
      return {30527, 512};
    case Architecture::kModernBert:
      return {50368, 8192};
    case Architecture::kQwen3:
      return {151936, 32768};
  }
  return {};
}

absl::Status ReadArchitectureSettings(const JsonFile& file, TransformerConfig& config) {
  switch (config.architecture) {
    case Architecture::kBert:
      return ReadBert(file, config);
    case Architecture::kRoberta:
    case Architecture::kXlmRoberta:
      return ReadRoberta(file, config);
    case Architecture::kDistilBert:
      return ReadDistilBert(file, config);
    case Architecture::kMpnet:
      return ReadMpnet(file, config);
    case Architecture::kModernBert:
      return ReadModernBert(file, config);
    case Architecture::kQwen3:
      return ReadQwen3(file, config);
  }
  return absl::InternalError("an architecture without settings");
}

absl::Status CheckSizes(const JsonFile& file, TransformerConfig& config) {
  const char* const heads_key = config.architecture == Architecture::kDistilBert ? "n_heads" : "num_attention_heads";
  const char* const hidden_key = config.architecture == Architecture::kDistilBert ? "dim" : "hidden_size";
  if (config.head_size == 0) {
    if (config.hidden % config.heads != 0) {
      return absl::InvalidArgumentError(Concat(file.name(), ": ", hidden_key, " ", config.hidden,
                                               ": must be a multiple of ", heads_key, " ", config.heads));
    }
    config.head_size = config.hidden / config.heads;
  }
  if (config.key_value_heads == 0) config.key_value_heads = config.heads;
  if (config.pre_norm() && config.head_size % 2 != 0) {
    return absl::InvalidArgumentError(
        Concat(file.name(), ": heads of ", config.head_size, " values: rotary positions need an even number"));
  }
  if (config.max_tokens() < 1) {
    return absl::InvalidArgumentError(Concat(file.name(), ": max_position_embeddings ", config.positions,
                                             ": must be above ", config.first_position,
                                             ", the position of a text's first token"));
  }
  return absl::OkStatus();
}

}  // namespace

std::string_view ArchitectureName(Architecture architecture) {
  for (const ArchitectureRow& row : kArchitectures) {
    if (row.architecture == architecture) return row.name;
  }
  return "";
}

absl::StatusOr<int64_t> ReadSize(const JsonFile& file, std::string_view key, int64_t otherwise, int64_t limit) {
  ASSIGN_OR_RETURN(const int64_t value, file.Integer(key, otherwise));
  if (value >= 1 && value <= limit) return value;
  return absl::InvalidArgumentError(Concat(file.name(), ": ", key, " ", value, ": must be in [1, ", limit, "]"));
}

absl::StatusOr<double> ReadDropout(const JsonFile& file, std::string_view key, double otherwise) {
  ASSIGN_OR_RETURN(const double value, file.Number(key, otherwise));
  if (value >= 0 && value < 1) return value;
  return absl::InvalidArgumentError(Concat(file.name(), ": ", key, " ", value, ": must be in [0, 1)"));
}

absl::StatusOr<double> ReadEpsilon(const JsonFile& file, std::string_view key, double otherwise) {
  ASSIGN_OR_RETURN(const double value, file.Number(key, otherwise));
  if (value >= 0 && value <= 1) return value;
  return absl::InvalidArgumentError(Concat(file.name(), ": ", key, " ", value, ": must be in [0, 1]"));
}

absl::StatusOr<Activation> ReadActivation(const JsonFile& file, std::string_view key, std::string_view otherwise) {
  ASSIGN_OR_RETURN(const std::string name, file.String(key, otherwise));
  if (name == "gelu" || name == "gelu_python") return Activation::kGelu;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast") return Activation::kGeluTanh;
  if (name == "silu" || name == "swish") return Activation::kSilu;
  return file.Unsupported(
      key, "tandem has \"gelu\", \"gelu_python\", \"gelu_new\", \"gelu_pytorch_tanh\", \"gelu_fast\" and \"silu\"");
}

absl::StatusOr<std::optional<int64_t>> ReadPaddingId(const JsonFile& file, std::optional<int64_t> otherwise,
                                                     int64_t vocabulary) {
  if (file.json().contains("pad_token_id") && !file.Has("pad_token_id")) return std::optional<int64_t>();
  ASSIGN_OR_RETURN(const int64_t id, file.Integer("pad_token_id", otherwise.value_or(-1)));
  if (!file.Has("pad_token_id") && !otherwise.has_value()) return std::optional<int64_t>();
  if (id >= 0 && id < vocabulary) return std::optional<int64_t>(id);
  return absl::InvalidArgumentError(
      Concat(file.name(), ": pad_token_id ", id, ": must be in [0, ", vocabulary - 1, "], below vocab_size"));
}

absl::StatusOr<TransformerConfig> ReadTransformerConfig(const std::filesystem::path& directory,
                                                        const std::filesystem::path& name) {
  ASSIGN_OR_RETURN(const JsonFile file, JsonFile::Read(directory, name));
  TransformerConfig config;
  ASSIGN_OR_RETURN(config.architecture, ReadArchitecture(file));
  RETURN_IF_ERROR(RefuseVariants(file));
  // The limits keep every product of sizes far inside int64; the shapes in the weights file decide the rest.
  const SizeDefaults defaults = DefaultsOf(config.architecture);
  ASSIGN_OR_RETURN(config.vocabulary, ReadSize(file, "vocab_size", defaults.vocabulary, 10'000'000));
  ASSIGN_OR_RETURN(config.positions, ReadSize(file, "max_position_embeddings", defaults.positions, 1'048'576));
  RETURN_IF_ERROR(ReadArchitectureSettings(file, config));
  RETURN_IF_ERROR(CheckSizes(file, config));
  return config;
}

}  // namespace tandem
