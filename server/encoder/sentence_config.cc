#include "server/encoder/sentence_config.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/encoder/json_file.h"

namespace tandem {
namespace {

// The modules of modules.json that tandem runs, as paths below the directory.
struct Modules {
  std::filesystem::path transformer;
  std::optional<std::filesystem::path> pooling;
  std::optional<std::filesystem::path> normalize;
};

absl::StatusOr<std::filesystem::path> ModulePath(const nlohmann::json& module) {
  const auto found = module.find("path");
  if (found == module.end() || !found->is_string()) {
    return absl::InvalidArgumentError("modules.json: a module's path is missing or not a string");
  }
  const std::filesystem::path path(found->get<std::string>());
  const bool leaves = path.is_absolute() || std::find(path.begin(), path.end(), "..") != path.end();
  if (leaves) return absl::InvalidArgumentError(Concat("modules.json: path ", path.string(), " leaves the directory"));
  return path;
}

// "Pooling" of "sentence_transformers.models.Pooling", whichever of the package's layouts wrote it.
absl::StatusOr<std::string> ModuleKind(const nlohmann::json& module) {
  const auto found = module.find("type");
  const std::string type = found != module.end() && found->is_string() ? found->get<std::string>() : "";
  const std::string kind = type.substr(type.rfind('.') + 1);
  if (absl::StartsWith(type, "sentence_transformers.") &&
      (kind == "Transformer" || kind == "Pooling" || kind == "Normalize")) {
    return kind;
  }
  return absl::InvalidArgumentError(Concat("modules.json: type \"", type,
                                           "\" is not supported: tandem has sentence_transformers' Transformer, "
                                           "Pooling and Normalize"));
}

absl::StatusOr<Modules> ReadModules(const std::filesystem::path& directory) {
  ASSIGN_OR_RETURN(const std::optional<JsonFile> file, JsonFile::ReadIfThere(directory, "modules.json"));
  Modules modules;
  if (!file.has_value()) return modules;
  std::string order;
  for (const nlohmann::json& module : file->json()) {
    if (!module.is_object()) return absl::InvalidArgumentError("modules.json: each module must be an object");
    ASSIGN_OR_RETURN(const std::string kind, ModuleKind(module));
    ASSIGN_OR_RETURN(std::filesystem::path path, ModulePath(module));
    absl::StrAppend(&order, order.empty() ? "" : ", ", kind);
    if (kind == "Transformer")
      modules.transformer = std::move(path);
    else if (kind == "Pooling")
      modules.pooling = std::move(path);
    else
      modules.normalize = std::move(path);
  }
  if (order != "Transformer, Pooling" && order != "Transformer, Pooling, Normalize") {
    return absl::InvalidArgumentError(Concat("modules.json: modules [", order,
                                             "] are not supported: tandem has [Transformer, Pooling] and "
                                             "[Transformer, Pooling, Normalize]"));
  }
  return modules;
}

constexpr std::string_view kPoolingModes = "tandem has \"mean\", \"cls\", \"max\" and \"lasttoken\", one at a time";

std::optional<PoolingKind> PoolingOf(std::string_view mode) {
  if (mode == "mean") return PoolingKind::kMean;
  if (mode == "cls") return PoolingKind::kCls;
  if (mode == "max") return PoolingKind::kMax;
  if (mode == "lasttoken") return PoolingKind::kLastToken;
  return std::nullopt;
}

// {"pooling_mode_mean_tokens": true, ...}, written before sentence-transformers 6.
absl::StatusOr<PoolingKind> OldPooling(const JsonFile& file) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kKeys = {{
      {"pooling_mode_cls_token", "cls"},
      {"pooling_mode_max_tokens", "max"},
      {"pooling_mode_mean_tokens", "mean"},
      {"pooling_mode_mean_sqrt_len_tokens", ""},
      {"pooling_mode_weightedmean_tokens", ""},
      {"pooling_mode_lasttoken", "lasttoken"},
  }};
  std::optional<PoolingKind> kind;
  for (const auto& [key, mode] : kKeys) {
    ASSIGN_OR_RETURN(const bool on, file.Boolean(key, false));
    if (!on) continue;
    if (kind.has_value() || !PoolingOf(mode).has_value()) return file.Unsupported(key, kPoolingModes);
    kind = PoolingOf(mode);
  }
  return kind.value_or(PoolingKind::kMean);
}

// {"pooling_mode": "mean"} or a list of modes.
absl::StatusOr<PoolingKind> NewPooling(const JsonFile& file) {
  nlohmann::json mode = file.Get("pooling_mode");
  if (mode.is_array() && mode.size() == 1) mode = nlohmann::json(mode[0]);
  if (mode.is_string()) {
    if (const std::optional<PoolingKind> kind = PoolingOf(mode.get<std::string>())) return *kind;
  }
  return file.Unsupported("pooling_mode", kPoolingModes);
}

absl::Status ReadPooling(const std::filesystem::path& directory, const std::filesystem::path& folder, int64_t hidden,
                         EmbeddingContract& contract) {
  ASSIGN_OR_RETURN(const JsonFile file, JsonFile::Read(directory, folder / "config.json"));
  ASSIGN_OR_RETURN(contract.pooling, file.Has("pooling_mode") ? NewPooling(file) : OldPooling(file));
  const char* const size_key = file.Has("embedding_dimension") ? "embedding_dimension" : "word_embedding_dimension";
  ASSIGN_OR_RETURN(const int64_t size, file.Integer(size_key, hidden));
  if (size != hidden) return file.Unsupported(size_key, Concat("config.json has hidden_size ", hidden));
  ASSIGN_OR_RETURN(const bool include_prompt, file.Boolean("include_prompt", true));
  if (!include_prompt && !(contract.query_prompt.empty() && contract.document_prompt.empty())) {
    return file.Unsupported("include_prompt", "the model has prompts, and tandem pools them like the text");
  }
  return absl::OkStatus();
}

// Older versions save no file for Normalize.
absl::Status CheckNormalize(const std::filesystem::path& directory, const std::filesystem::path& folder) {
  ASSIGN_OR_RETURN(const std::optional<JsonFile> file, JsonFile::ReadIfThere(directory, folder / "config.json"));
  if (!file.has_value()) return absl::OkStatus();
  for (const char* key : {"module_input_name", "module_output_name"}) {
    ASSIGN_OR_RETURN(const std::string name, file->String(key, "sentence_embedding"));
    if (name != "sentence_embedding") return file->Unsupported(key, "tandem has \"sentence_embedding\"");
  }
  return absl::OkStatus();
}

// The prompt of a role: its own key, else that of default_prompt_name.
absl::StatusOr<std::string> PromptOf(const JsonFile& file, std::initializer_list<const char*> keys) {
  const nlohmann::json prompts = file.Get("prompts");
  if (!prompts.is_null() && !prompts.is_object()) return file.Unsupported("prompts", "must be an object of strings");
  ASSIGN_OR_RETURN(const std::string default_name, file.String("default_prompt_name", ""));
  if (!default_name.empty() && !prompts.contains(default_name)) {
    return file.Unsupported("default_prompt_name", "prompts has no such key");
  }
  std::vector<std::string> names(keys.begin(), keys.end());
  if (!default_name.empty()) names.push_back(default_name);
  for (const std::string& name : names) {
    if (!prompts.contains(name) || prompts[name].is_null()) continue;
    if (!prompts[name].is_string()) return file.Unsupported("prompts", Concat(name, " must be a string"));
    return prompts[name].get<std::string>();
  }
  return std::string();
}

absl::Status ReadSentenceTransformers(const std::filesystem::path& directory, EmbeddingContract& contract) {
  ASSIGN_OR_RETURN(const std::optional<JsonFile> file,
                   JsonFile::ReadIfThere(directory, "config_sentence_transformers.json"));
  if (!file.has_value()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string type, file->String("model_type", "SentenceTransformer"));
  if (type != "SentenceTransformer") return file->Unsupported("model_type", "tandem has \"SentenceTransformer\"");
  ASSIGN_OR_RETURN(const std::string similarity, file->String("similarity_fn_name", "cosine"));
  if (similarity != "cosine" && similarity != "dot") {
    return file->Unsupported("similarity_fn_name", "tandem has \"cosine\" and \"dot\"");
  }
  contract.metric = similarity == "dot" ? MetricKind::kInnerProduct : MetricKind::kCosine;
  RETURN_IF_ERROR(file->RefuseIfSet("truncate_dim", "tandem keeps all dimensions"));
  ASSIGN_OR_RETURN(contract.query_prompt, PromptOf(*file, {"query"}));
  ASSIGN_OR_RETURN(contract.document_prompt, PromptOf(*file, {"document", "passage", "corpus"}));
  return absl::OkStatus();
}

absl::StatusOr<std::optional<JsonFile>> FindTransformerConfig(const std::filesystem::path& directory,
                                                              const std::filesystem::path& transformer) {
  // In the order in which sentence-transformers looks.
  for (const char* name : {"bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"}) {
    ASSIGN_OR_RETURN(std::optional<JsonFile> file,
                     JsonFile::ReadIfThere(directory, transformer / Concat("sentence_", name, "_config.json")));
    if (file.has_value()) return file;
  }
  return std::optional<JsonFile>();
}

absl::Status CheckModality(const JsonFile& file) {
  const nlohmann::json text_only = {{"text", {{"method", "forward"}, {"method_output_name", "last_hidden_state"}}}};
  if (file.Has("modality_config") && file.Get("modality_config") != text_only) {
    return file.Unsupported("modality_config", Concat("tandem has ", text_only.dump()));
  }
  ASSIGN_OR_RETURN(const std::string output, file.String("module_output_name", "token_embeddings"));
  if (output != "token_embeddings") return file.Unsupported("module_output_name", "tandem has \"token_embeddings\"");
  ASSIGN_OR_RETURN(const std::string task, file.String("transformer_task", "feature-extraction"));
  if (task != "feature-extraction") return file.Unsupported("transformer_task", "tandem has \"feature-extraction\"");
  return absl::OkStatus();
}

bool Lowercases(const nlohmann::json& normalizer) {
  if (!normalizer.is_object()) return false;
  const std::string type = normalizer.value("type", "");
  if (type == "Sequence" && normalizer.contains("normalizers")) {
    const nlohmann::json& parts = normalizer["normalizers"];
    return std::any_of(parts.begin(), parts.end(), Lowercases);
  }
  return type == "Lowercase" || (type == "BertNormalizer" && normalizer.value("lowercase", false));
}

// sentence_bert_config.json; returns max_seq_length when it is set.
absl::StatusOr<std::optional<int64_t>> ReadTransformerConfig(const std::filesystem::path& directory,
                                                             const std::filesystem::path& transformer,
                                                             const JsonFile& tokenizer) {
  ASSIGN_OR_RETURN(const std::optional<JsonFile> file, FindTransformerConfig(directory, transformer));
  if (!file.has_value()) return std::optional<int64_t>();
  for (const char* key : {"processing_kwargs", "processor_kwargs", "tokenizer_args", "model_kwargs", "model_args",
                          "config_kwargs", "config_args", "query_length", "document_length", "query_expansion"}) {
    RETURN_IF_ERROR(file->RefuseIfSet(key, "tandem has no such setting"));
  }
  RETURN_IF_ERROR(CheckModality(*file));
  ASSIGN_OR_RETURN(const bool lower_case, file->Boolean("do_lower_case", false));
  if (lower_case && !Lowercases(tokenizer.Get("normalizer"))) {
    return file->Unsupported("do_lower_case", "the normalizer of tokenizer.json does not lower-case");
  }
  if (!file->Has("max_seq_length")) return std::optional<int64_t>();
  ASSIGN_OR_RETURN(const int64_t length, file->Integer("max_seq_length", 0));
  if (length < 1) return file->Unsupported("max_seq_length", "must be at least 1");
  return std::optional<int64_t>(length);
}

// Whether transformers takes the parts of tokenizer.json as they are, as tandem does. The classes of an architecture,
// its choice when none is named, make them anew from tokenizer_config.json and their own defaults.
absl::StatusOr<bool> TakesTokenizerAsItIs(const std::optional<JsonFile>& file) {
  if (!file.has_value()) return false;
  ASSIGN_OR_RETURN(const std::string tokenizer_class, file->String("tokenizer_class", ""));
  return tokenizer_class == "PreTrainedTokenizerFast" || tokenizer_class == "TokenizersBackend";
}

// RobertaTokenizer's ByteLevel puts a space before a text as add_prefix_space says, by default not.
absl::Status CheckPrefixSpace(const std::optional<JsonFile>& file, const JsonFile& tokenizer) {
  ASSIGN_OR_RETURN(const bool as_it_is, TakesTokenizerAsItIs(file));
  const nlohmann::json splitter = tokenizer.Get("pre_tokenizer");
  if (as_it_is || !splitter.is_object() || splitter.value("type", "") != "ByteLevel") return absl::OkStatus();
  bool adds = false;
  if (file.has_value()) {
    ASSIGN_OR_RETURN(adds, file->Boolean("add_prefix_space", false));
  }
  if (splitter.value("add_prefix_space", true) == adds) return absl::OkStatus();
  if (file.has_value() && file->Has("add_prefix_space")) {
    return file->Unsupported("add_prefix_space", "the pre_tokenizer of tokenizer.json has the opposite");
  }
  return tokenizer.Unsupported(
      "pre_tokenizer", "without add_prefix_space in tokenizer_config.json, transformers has add_prefix_space false");
}

// The normalizer that transformers' BertTokenizer and MPNetTokenizer make.
absl::Status CheckNormalizer(const std::optional<JsonFile>& file, const JsonFile& tokenizer) {
  ASSIGN_OR_RETURN(const bool as_it_is, TakesTokenizerAsItIs(file));
  const nlohmann::json normalizer = tokenizer.Get("normalizer");
  if (as_it_is || !normalizer.is_object() || normalizer.value("type", "") != "BertNormalizer") return absl::OkStatus();
  const auto stored = [&](const char* key, bool otherwise) {
    const auto found = normalizer.find(key);
    return found != normalizer.end() && found->is_boolean() ? found->get<bool>() : otherwise;
  };
  bool lower_case = true;
  for (const auto& [key, stored_key] : {std::pair{"do_lower_case", "lowercase"},
                                        {"strip_accents", "strip_accents"},  // Not set: as lower-casing.
                                        {"tokenize_chinese_chars", "handle_chinese_chars"}}) {
    const bool strips = std::string_view(key) == "strip_accents";
    bool value = strips ? lower_case : true;
    if (file.has_value()) {
      ASSIGN_OR_RETURN(value, file->Boolean(key, value));
    }
    if (std::string_view(key) == "do_lower_case") lower_case = value;
    if (stored(stored_key, strips ? lower_case : true) == value) continue;
    if (file.has_value() && file->Has(key)) {
      return file->Unsupported(key, "the normalizer of tokenizer.json has the opposite");
    }
    return tokenizer.Unsupported("normalizer", Concat("without ", key, " in tokenizer_config.json, transformers has ",
                                                      stored_key, value ? " true" : " false"));
  }
  return absl::OkStatus();
}

// Truncation side, and the length limit where sentence_bert_config.json has none. transformers writes 1e30 for "no
// limit".
absl::Status ReadTokenizerConfig(const std::filesystem::path& directory, const std::filesystem::path& transformer,
                                 const JsonFile& tokenizer, const TransformerConfig& config,
                                 EmbeddingContract& contract) {
  std::string side = "right";
  const nlohmann::json truncation = tokenizer.Get("truncation");
  if (truncation.is_object() && truncation.value("direction", "") == "Left") side = "left";
  ASSIGN_OR_RETURN(const std::optional<JsonFile> file,
                   JsonFile::ReadIfThere(directory, transformer / "tokenizer_config.json"));
  RETURN_IF_ERROR(CheckNormalizer(file, tokenizer));
  if (config.architecture == Architecture::kRoberta) RETURN_IF_ERROR(CheckPrefixSpace(file, tokenizer));
  auto max_length = static_cast<double>(config.max_tokens());
  if (file.has_value()) {
    ASSIGN_OR_RETURN(side, file->String("truncation_side", side));
    if (side != "left" && side != "right") return file->Unsupported("truncation_side", "must be \"left\" or \"right\"");
    ASSIGN_OR_RETURN(const double limit, file->Number("model_max_length", max_length));
    if (!(limit >= 1)) return file->Unsupported("model_max_length", "must be at least 1");
    max_length = std::min(max_length, limit);
  }
  contract.truncation_side = side == "left" ? TruncationSide::kStart : TruncationSide::kEnd;
  if (contract.max_length == 0) contract.max_length = static_cast<int>(max_length);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::filesystem::path> FindTransformer(const std::filesystem::path& directory) {
  ASSIGN_OR_RETURN(Modules modules, ReadModules(directory));
  return std::move(modules.transformer);
}

absl::StatusOr<EmbeddingContract> ReadEmbeddingContract(const std::filesystem::path& directory,
                                                        const TransformerConfig& config) {
  ASSIGN_OR_RETURN(const Modules modules, ReadModules(directory));
  ASSIGN_OR_RETURN(const JsonFile tokenizer, JsonFile::Read(directory, modules.transformer / "tokenizer.json"));
  EmbeddingContract contract;
  contract.dimensions = static_cast<int>(config.hidden);
  RETURN_IF_ERROR(ReadSentenceTransformers(directory, contract));
  ASSIGN_OR_RETURN(const std::optional<int64_t> length,
                   ReadTransformerConfig(directory, modules.transformer, tokenizer));
  contract.max_length = static_cast<int>(std::min(length.value_or(0), config.max_tokens()));
  RETURN_IF_ERROR(ReadTokenizerConfig(directory, modules.transformer, tokenizer, config, contract));
  if (modules.pooling.has_value()) RETURN_IF_ERROR(ReadPooling(directory, *modules.pooling, config.hidden, contract));
  if (modules.normalize.has_value()) RETURN_IF_ERROR(CheckNormalize(directory, *modules.normalize));
  contract.normalize = modules.normalize.has_value();
  return contract;
}

}  // namespace tandem
