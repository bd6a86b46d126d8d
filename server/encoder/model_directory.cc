#include "server/encoder/model_directory.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/match.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/encoder/json_file.h"
#include "server/encoder/sentence_config.h"
#include "server/encoder/tensor_names.h"

namespace tandem {
namespace {

// Resident size of a tokenizer over that of its tokenizer.json: 14.0 measured on a WordPiece vocabulary of 30,522, 21.0
// on a Unigram one of 250,000.
constexpr int64_t kTokenizerGrowth = 24;

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
      std::string name = CanonicalName(model.config.architecture, stored.name);
      if (IsUnused(model.config.architecture, name)) {
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
    model.tensors.push_back({std::move(expected.name), expected.layer, std::move(entry->second.stored)});
    found.erase(entry);
  }
  if (found.empty()) return absl::OkStatus();
  const FoundTensor& first = found.begin()->second;
  return absl::InvalidArgumentError(Concat(first.file, ": tensor ", first.stored.name, " is not part of a ",
                                           ArchitectureName(model.config.architecture)));
}

}  // namespace

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
  ASSIGN_OR_RETURN(model.config, ReadTransformerConfig(path, transformer / "config.json"));
  ASSIGN_OR_RETURN(model.contract, ReadEmbeddingContract(path, model.config));
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
