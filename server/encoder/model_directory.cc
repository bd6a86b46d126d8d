#include "server/encoder/model_directory.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/encoder/json_file.h"
#include "server/encoder/sentence_config.h"

namespace tandem {
namespace {

// Resident size of a tokenizer over that of its tokenizer.json: 14.0 measured on a WordPiece vocabulary of 30,522.
constexpr int64_t kTokenizerGrowth = 16;

constexpr char kWeights[] = "model.safetensors";
constexpr char kWeightsIndex[] = "model.safetensors.index.json";

bool Exists(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

absl::StatusOr<std::set<std::string>> ShardNames(const JsonFile& index) {
  const nlohmann::json map = index.Get("weight_map");
  if (!map.is_object() || map.empty()) return absl::DataLossError(Concat(index.name(), ": has no weight_map"));
  std::set<std::string> names;
  for (const auto& [tensor, file] : map.items()) {
    const std::string name = file.is_string() ? file.get<std::string>() : "";
    const bool plain = std::filesystem::path(name).filename() == name && absl::EndsWith(name, ".safetensors");
    if (!plain) {
      return absl::InvalidArgumentError(Concat(index.name(), ": weight_map[\"", tensor, "\"] ", file.dump(),
                                               ": must be the name of a .safetensors file beside it"));
    }
    names.insert(name);
  }
  return names;
}

absl::Status NoWeights(const std::filesystem::path& folder) {
  for (const char* other : {"pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "flax_model.msgpack"}) {
    if (Exists(folder / other)) {
      return absl::InvalidArgumentError(
          Concat(other, ": is not supported: tandem reads ", kWeights, " only; save the model as safetensors"));
    }
  }
  return absl::InvalidArgumentError(Concat(kWeights, ": is missing"));
}

absl::StatusOr<std::vector<std::filesystem::path>> FindWeights(const std::filesystem::path& folder) {
  if (Exists(folder / kWeights)) return std::vector<std::filesystem::path>{folder / kWeights};
  ASSIGN_OR_RETURN(const std::optional<JsonFile> index, JsonFile::ReadIfThere(folder, kWeightsIndex));
  if (!index.has_value()) return NoWeights(folder);
  ASSIGN_OR_RETURN(const std::set<std::string> names, ShardNames(*index));
  std::vector<std::filesystem::path> files;
  for (const std::string& name : names) {
    if (!Exists(folder / name)) return absl::InvalidArgumentError(Concat(name, ": is missing"));
    files.push_back(folder / name);
  }
  return files;
}

// "bert.encoder.x.LayerNorm.gamma" -> "encoder.x.LayerNorm.weight": how transformers reads old checkpoints and those of
// models with a head.
std::string CanonicalName(const std::string& stored) {
  absl::string_view name = stored;
  absl::ConsumePrefix(&name, "bert.");
  absl::string_view stem = name;
  if (absl::ConsumeSuffix(&stem, "LayerNorm.gamma")) return Concat(stem, "LayerNorm.weight");
  if (absl::ConsumeSuffix(&stem, "LayerNorm.beta")) return Concat(stem, "LayerNorm.bias");
  return std::string(name);
}

// Tensors that a BERT file may have and that no embedding depends on: the position buffer, the pooler
// (sentence-transformers pools the last hidden state itself) and the heads of BertForPreTraining, BertForMaskedLM and
// BertForNextSentencePrediction.
bool IsHarmless(std::string_view name) {
  constexpr std::array<std::string_view, 12> kHarmless = {
      "embeddings.position_ids",
      "embeddings.token_type_ids",
      "pooler.dense.weight",
      "pooler.dense.bias",
      "cls.predictions.bias",
      "cls.predictions.decoder.weight",
      "cls.predictions.decoder.bias",
      "cls.predictions.transform.dense.weight",
      "cls.predictions.transform.dense.bias",
      "cls.predictions.transform.LayerNorm.weight",
      "cls.predictions.transform.LayerNorm.bias",
      "cls.seq_relationship.weight",
  };
  return std::find(kHarmless.begin(), kHarmless.end(), name) != kHarmless.end() || name == "cls.seq_relationship.bias";
}

bool IsFloat(const StoredTensor& stored) {
  return stored.dtype == "F32" || stored.dtype == "F16" || stored.dtype == "BF16";
}

absl::Status CheckTensor(const ExpectedTensor& expected, const StoredTensor& stored, std::string_view file) {
  if (stored.shape != expected.shape) {
    return absl::InvalidArgumentError(Concat(file, ": tensor ", stored.name, " has shape ", ShapeText(stored.shape),
                                             ", config.json asks for ", ShapeText(expected.shape)));
  }
  if (!IsFloat(stored)) {
    return absl::InvalidArgumentError(Concat(file, ": tensor ", stored.name, " has type ", stored.dtype,
                                             ", which is not supported: tandem reads F32, F16 and BF16"));
  }
  return absl::OkStatus();
}

struct FoundTensor {
  StoredTensor stored;
  std::string file;
};

absl::Status CollectTensors(ModelDirectory& model, std::map<std::string, FoundTensor>& found) {
  for (size_t i = 0; i < model.weights.size(); ++i) {
    const std::string file = model.weights_files[i].filename().string();
    for (const StoredTensor& stored : model.weights[i]->tensors()) {
      std::string name = CanonicalName(stored.name);
      if (IsHarmless(name)) {
        if (IsFloat(stored)) model.unused.push_back(stored);
        continue;
      }
      if (!found.emplace(name, FoundTensor{stored, file}).second) {
        return absl::InvalidArgumentError(Concat(file, ": tensor ", stored.name, " is there twice (as ", name, ")"));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status MatchTensors(ModelDirectory& model) {
  std::map<std::string, FoundTensor> found;
  RETURN_IF_ERROR(CollectTensors(model, found));
  for (ExpectedTensor& expected : ExpectedTensors(model.config)) {
    const auto entry = found.find(expected.name);
    if (entry == found.end()) {
      return absl::InvalidArgumentError(
          Concat(model.weights_files.front().filename().string(), ": tensor ", expected.name, " is missing"));
    }
    RETURN_IF_ERROR(CheckTensor(expected, entry->second.stored, entry->second.file));
    model.tensors.push_back({std::move(expected.name), std::move(entry->second.stored)});
    found.erase(entry);
  }
  if (found.empty()) return absl::OkStatus();
  const FoundTensor& first = found.begin()->second;
  return absl::InvalidArgumentError(Concat(first.file, ": tensor ", first.stored.name, " is not part of a BertModel"));
}

void ExpectLinear(const std::string& name, int64_t out, int64_t in, std::vector<ExpectedTensor>& expected) {
  expected.push_back({name + ".weight", {out, in}});
  expected.push_back({name + ".bias", {out}});
}

void ExpectLayerNorm(const std::string& name, int64_t size, std::vector<ExpectedTensor>& expected) {
  expected.push_back({name + ".weight", {size}});
  expected.push_back({name + ".bias", {size}});
}

}  // namespace

std::vector<ExpectedTensor> ExpectedTensors(const BertConfig& config) {
  const int64_t hidden = config.hidden;
  std::vector<ExpectedTensor> expected = {{"embeddings.word_embeddings.weight", {config.vocabulary, hidden}},
                                          {"embeddings.position_embeddings.weight", {config.max_positions, hidden}},
                                          {"embeddings.token_type_embeddings.weight", {config.token_types, hidden}}};
  ExpectLayerNorm("embeddings.LayerNorm", hidden, expected);
  for (int64_t i = 0; i < config.layers; ++i) {
    const std::string layer = Concat("encoder.layer.", i, ".");
    ExpectLinear(layer + "attention.self.query", hidden, hidden, expected);
    ExpectLinear(layer + "attention.self.key", hidden, hidden, expected);
    ExpectLinear(layer + "attention.self.value", hidden, hidden, expected);
    ExpectLinear(layer + "attention.output.dense", hidden, hidden, expected);
    ExpectLayerNorm(layer + "attention.output.LayerNorm", hidden, expected);
    ExpectLinear(layer + "intermediate.dense", config.intermediate, hidden, expected);
    ExpectLinear(layer + "output.dense", hidden, config.intermediate, expected);
    ExpectLayerNorm(layer + "output.LayerNorm", hidden, expected);
  }
  return expected;
}

int64_t ModelDirectory::parameters() const {
  int64_t sum = 0;
  for (const ExpectedTensor& tensor : ExpectedTensors(config)) {
    int64_t size = 1;
    for (const int64_t extent : tensor.shape) size *= extent;
    sum += size;
  }
  return sum;
}

absl::StatusOr<ModelDirectory> OpenModelDirectory(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) {
    return absl::NotFoundError(Concat(path.string(), ": is not a directory"));
  }
  ModelDirectory model;
  model.path = path;
  ASSIGN_OR_RETURN(const std::filesystem::path transformer, FindTransformer(path));
  model.transformer = path / transformer;
  ASSIGN_OR_RETURN(model.config, ReadBertConfig(path, transformer / "config.json"));
  ASSIGN_OR_RETURN(model.contract, ReadEmbeddingContract(path, model.config.hidden, model.config.max_positions));
  ASSIGN_OR_RETURN(model.weights_files, FindWeights(model.transformer));
  for (const std::filesystem::path& file : model.weights_files) {
    ASSIGN_OR_RETURN(std::unique_ptr<const SafetensorsFile> weights, SafetensorsFile::Open(file));
    model.weights.push_back(std::move(weights));
  }
  RETURN_IF_ERROR(MatchTensors(model));
  return model;
}

int64_t EncoderMemory(const ModelDirectory& model) {
  std::error_code error;
  const auto tokenizer = std::filesystem::file_size(model.tokenizer_json(), error);
  const int64_t tokenizer_bytes = error ? 0 : static_cast<int64_t>(tokenizer) * kTokenizerGrowth;
  return model.parameters() * static_cast<int64_t>(sizeof(float)) + tokenizer_bytes;
}

absl::StatusOr<std::unique_ptr<const Tokenizer>> LoadTokenizer(const ModelDirectory& model) {
  ASSIGN_OR_RETURN(std::unique_ptr<const Tokenizer> tokenizer, Tokenizer::Load(model.tokenizer_json()));
  ASSIGN_OR_RETURN(const int64_t max_id, tokenizer->MaxId());
  if (max_id >= model.config.vocabulary) {
    return absl::InvalidArgumentError(
        Concat("tokenizer.json: has id ", max_id, ", config.json has vocab_size ", model.config.vocabulary));
  }
  if (model.contract.max_length < tokenizer->special_tokens()) {
    return absl::InvalidArgumentError(Concat("max_seq_length ", model.contract.max_length, ": must be at least ",
                                             tokenizer->special_tokens(), ", the number of special tokens"));
  }
  return tokenizer;
}

}  // namespace tandem
