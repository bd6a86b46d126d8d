#include "server/encoder/text_model.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <numeric>
#include <utility>

#include "absl/strings/match.h"
#include "server/base/files.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/encoder/bert_model.h"
#include "server/encoder/model_directory.h"
#include "server/encoder/safetensors_file.h"
#include "server/encoder/torch_guard.h"

namespace tandem {
namespace {

torch::Dtype TorchType(std::string_view dtype) {
  if (dtype == "F16") return torch::kFloat16;
  if (dtype == "BF16") return torch::kBFloat16;
  return torch::kFloat32;  // OpenModelDirectory lets no other type through.
}

// A float32 copy; the map may be unaligned, so bytes are copied first.
torch::Tensor ToFloat32(const StoredTensor& stored) {
  torch::Tensor copy = torch::empty(stored.shape, torch::TensorOptions().dtype(TorchType(stored.dtype)));
  TORCH_CHECK(copy.nbytes() == stored.bytes.size(), stored.name, ": ", stored.bytes.size(), " bytes for ",
              copy.nbytes());
  std::memcpy(copy.mutable_data_ptr(), stored.bytes.data(), stored.bytes.size());
  return copy.to(torch::kFloat32);
}

torch::Tensor Pool(const torch::Tensor& hidden, const PackedTokens& tokens, PoolingKind kind) {
  const int64_t texts = tokens.texts();
  if (kind == PoolingKind::kCls) {
    return hidden.index_select(0, torch::tensor(at::ArrayRef<int64_t>(tokens.offsets.data(), texts), torch::kInt64));
  }
  std::vector<int64_t> lengths(static_cast<size_t>(texts));
  for (int64_t i = 0; i < texts; ++i) lengths[i] = tokens.offsets[i + 1] - tokens.offsets[i];
  return torch::segment_reduce(hidden, kind == PoolingKind::kMax ? "max" : "mean",
                               torch::tensor(lengths, torch::kInt64));
}

// Length 1, as torch.nn.functional.normalize does it.
torch::Tensor Normalized(const torch::Tensor& vectors) {
  return vectors / vectors.norm(2, /*dim=*/{1}, /*keepdim=*/true).clamp_min(1e-12);
}

// Files of a source directory that hold the same weights in another form and would be stale beside new ones.
bool IsOtherWeights(const std::filesystem::path& file) {
  const std::string name = file.filename().string();
  for (const char* suffix : {".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json", ".h5", ".msgpack",
                             ".onnx", ".ot", ".gguf"}) {
    if (absl::EndsWith(name, suffix)) return true;
  }
  return *file.begin() == "onnx" || *file.begin() == "openvino";
}

absl::Status CopyOtherFiles(const std::filesystem::path& from, const std::filesystem::path& to) {
  ASSIGN_OR_RETURN(const std::vector<std::string> files, ListFiles(from));
  for (const std::string& file : files) {
    if (IsOtherWeights(file)) continue;
    RETURN_IF_ERROR(CreateDirectories((to / file).parent_path()));
    std::error_code error;
    std::filesystem::copy_file(from / file, to / file, error);
    if (error) return absl::InternalError(Concat("copy ", file, ": ", error.message()));
  }
  return absl::OkStatus();
}

// The saved weights are float32 whatever the source's were; transformers loads them as config.json says.
absl::Status SetSavedType(const std::filesystem::path& config_json) {
  ASSIGN_OR_RETURN(const std::string bytes, ReadFile(config_json));
  nlohmann::ordered_json config = nlohmann::ordered_json::parse(bytes, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) return absl::DataLossError("config.json: not a JSON object");
  for (const char* key : {"torch_dtype", "dtype"}) {
    if (config.contains(key)) config[key] = "float32";
  }
  std::ofstream file(config_json, std::ios::binary | std::ios::trunc);
  file << config.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  file.close();
  return file ? absl::OkStatus() : absl::InternalError(Concat("write ", config_json.string()));
}

}  // namespace

struct TextModel::Rep {
  EmbeddingContract contract;
  BertConfig config;
  std::filesystem::path transformer;      // Below the directory.
  std::vector<std::string> stored_names;  // Of the parameters, as in the weights file.
  std::unique_ptr<const Tokenizer> tokenizer;
  std::unique_ptr<const BertModel> bert;
};

PackedTokens Pack(std::span<const TokenizedText* const> texts) {
  PackedTokens packed;
  packed.offsets.push_back(0);
  for (const TokenizedText* text : texts) {
    packed.offsets.push_back(packed.offsets.back() + static_cast<int64_t>(text->ids.size()));
  }
  packed.ids = torch::empty({packed.offsets.back()}, torch::kInt64);
  packed.positions = torch::empty({packed.offsets.back()}, torch::kInt64);
  int64_t* ids = packed.ids.mutable_data_ptr<int64_t>();
  int64_t* positions = packed.positions.mutable_data_ptr<int64_t>();
  for (const TokenizedText* text : texts) {
    ids = std::copy(text->ids.begin(), text->ids.end(), ids);
    std::iota(positions, positions + text->ids.size(), 0);
    positions += text->ids.size();
  }
  return packed;
}

absl::StatusOr<std::unique_ptr<TextModel>> TextModel::Load(const std::filesystem::path& directory) {
  ASSIGN_OR_RETURN(const ModelDirectory model, OpenModelDirectory(directory));
  auto rep = std::make_unique<Rep>();
  rep->contract = model.contract;
  rep->config = model.config;
  rep->transformer = model.transformer.lexically_relative(model.path);
  ASSIGN_OR_RETURN(rep->tokenizer, LoadTokenizer(model));
  for (const ModelWeight& weight : model.tensors) rep->stored_names.push_back(weight.stored.name);
  RETURN_IF_ERROR(GuardTorch("load the weights", [&] {
    std::vector<torch::Tensor> values;
    for (const ModelWeight& weight : model.tensors) values.push_back(ToFloat32(weight.stored));
    rep->bert = std::make_unique<const BertModel>(model.config, std::move(values));
    return absl::OkStatus();
  }));
  return std::unique_ptr<TextModel>(new TextModel(std::move(rep)));
}

TextModel::TextModel(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}

TextModel::~TextModel() = default;

const EmbeddingContract& TextModel::contract() const { return rep_->contract; }

const Tokenizer& TextModel::tokenizer() const { return *rep_->tokenizer; }

int TextModel::max_positions() const { return static_cast<int>(rep_->config.max_positions); }

std::string_view TextModel::architecture() const { return kArchitecture; }

std::filesystem::path TextModel::weights_file() const {
  return (rep_->transformer / "model.safetensors").lexically_normal();
}

torch::Tensor TextModel::Forward(const PackedTokens& tokens, const DropoutSource* dropout,
                                 const std::function<void()>& between_layers) {
  TORCH_CHECK(dropout == nullptr || static_cast<int64_t>(dropout->examples.size()) == tokens.texts(),
              "DropoutSource: one example key for each of ", tokens.texts(), " texts");
  if (tokens.texts() == 0) return torch::empty({0, rep_->contract.dimensions});
  const torch::Tensor pooled =
      Pool(rep_->bert->Forward(tokens, dropout, between_layers), tokens, rep_->contract.pooling);
  return rep_->contract.normalize ? Normalized(pooled) : pooled;
}

std::vector<std::pair<std::string, torch::Tensor>> TextModel::NamedParameters() const {
  std::vector<std::pair<std::string, torch::Tensor>> named;
  for (size_t i = 0; i < rep_->stored_names.size(); ++i) {
    named.emplace_back(rep_->stored_names[i], rep_->bert->parameters()[i]);
  }
  return named;
}

absl::Status TextModel::Save(const std::filesystem::path& source_directory,
                             const std::filesystem::path& directory) const {
  RETURN_IF_ERROR(CopyOtherFiles(source_directory, directory));
  RETURN_IF_ERROR(SetSavedType(directory / rep_->transformer / "config.json"));
  std::vector<FloatTensor> tensors;
  for (const auto& [name, parameter] : NamedParameters()) {
    tensors.push_back({name, parameter.sizes().vec(), parameter.const_data_ptr<float>()});
  }
  ASSIGN_OR_RETURN(const ModelDirectory source, OpenModelDirectory(source_directory));
  return GuardTorch("write the weights", [&] {
    std::vector<torch::Tensor> unused;  // Carried along, so that transformers does not call them missing.
    for (const StoredTensor& stored : source.unused) {
      unused.push_back(ToFloat32(stored));
      tensors.push_back({stored.name, stored.shape, unused.back().const_data_ptr<float>()});
    }
    return WriteSafetensors(directory / weights_file(), tensors);
  });
}

}  // namespace tandem
