#include "server/encoder/text_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <numeric>
#include <utility>

#include <ATen/CPUGeneratorImpl.h>

#include "absl/strings/match.h"
#include "server/base/files.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/encoder/model_directory.h"
#include "server/encoder/post_norm_model.h"
#include "server/encoder/pre_norm_model.h"
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
  if (kind == PoolingKind::kLastToken) {
    const at::ArrayRef<int64_t> ends(tokens.offsets.data() + 1, texts);
    return hidden.index_select(0, torch::tensor(ends, torch::kInt64) - 1);
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
  TransformerConfig config;
  std::filesystem::path transformer;  // Below the directory.
  struct Stored {
    std::string name;  // In the weights file.
    int64_t layer;
  };
  std::vector<Stored> stored;  // Of the parameters.
  std::unique_ptr<const Tokenizer> tokenizer;
  std::unique_ptr<PostNormModel> post_norm;  // One of the two is set.
  std::unique_ptr<PreNormModel> pre_norm;
  std::vector<Linear*> adapted;  // The linear maps with adapters.

  const std::vector<torch::Tensor>& parameters() const {
    return post_norm != nullptr ? post_norm->parameters() : pre_norm->parameters();
  }
  // Two for each adapted linear map, in their order.
  std::vector<ModelParameter> AdapterFactors() const {
    std::vector<ModelParameter> factors;
    for (const Linear* linear : adapted) {
      const Stored& weight = stored[linear->index];
      const std::string name = weight.name.substr(0, weight.name.rfind(".weight"));
      factors.push_back({name + ".lora_A", linear->adapter->a, weight.layer});
      factors.push_back({name + ".lora_B", linear->adapter->b, weight.layer});
    }
    return factors;
  }
  // The parameters with adapters added to them.
  std::vector<torch::Tensor> MergedParameters() const {
    const torch::NoGradGuard no_grad;
    std::vector<torch::Tensor> merged = parameters();
    for (const Linear* linear : adapted) {
      const Adapter& adapter = *linear->adapter;
      merged[linear->index] = linear->weight + adapter.b.matmul(adapter.a) * adapter.scale;
    }
    return merged;
  }
  torch::Tensor LastHidden(const PackedTokens& tokens, const DropoutSource* dropout,
                           const std::function<void()>& between_layers) const {
    return post_norm != nullptr ? post_norm->Forward(tokens, dropout, between_layers)
                                : pre_norm->Forward(tokens, dropout, between_layers);
  }
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
  for (const ModelWeight& weight : model.tensors) rep->stored.push_back({weight.stored.name, weight.layer});
  RETURN_IF_ERROR(GuardTorch("load the weights", [&] {
    std::vector<torch::Tensor> values;
    for (const ModelWeight& weight : model.tensors) values.push_back(ToFloat32(weight.stored));
    if (model.config.pre_norm()) {
      rep->pre_norm = std::make_unique<PreNormModel>(model.config, std::move(values));
    } else {
      rep->post_norm = std::make_unique<PostNormModel>(model.config, std::move(values));
    }
    return absl::OkStatus();
  }));
  return std::unique_ptr<TextModel>(new TextModel(std::move(rep)));
}

TextModel::TextModel(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}

TextModel::~TextModel() = default;

const EmbeddingContract& TextModel::contract() const { return rep_->contract; }

const Tokenizer& TextModel::tokenizer() const { return *rep_->tokenizer; }

int TextModel::max_positions() const { return static_cast<int>(rep_->config.max_tokens()); }

std::string_view TextModel::architecture() const { return ArchitectureName(rep_->config.architecture); }

std::filesystem::path TextModel::weights_file() const {
  return (rep_->transformer / "model.safetensors").lexically_normal();
}

torch::Tensor TextModel::Forward(const PackedTokens& tokens, const DropoutSource* dropout,
                                 const std::function<void()>& between_layers) {
  TORCH_CHECK(dropout == nullptr || static_cast<int64_t>(dropout->examples.size()) == tokens.texts(),
              "DropoutSource: one example key for each of ", tokens.texts(), " texts");
  if (tokens.texts() == 0) return torch::empty({0, rep_->contract.dimensions});
  for (int64_t i = 0; i < tokens.texts(); ++i) {
    const int64_t length = tokens.offsets[i + 1] - tokens.offsets[i];
    TORCH_CHECK(length >= 1 && length <= max_positions(), "text ", i, " has ", length, " tokens: must be in [1, ",
                max_positions(), "]");
  }
  const torch::Tensor pooled = Pool(rep_->LastHidden(tokens, dropout, between_layers), tokens, rep_->contract.pooling);
  return rep_->contract.normalize ? Normalized(pooled) : pooled;
}

std::vector<ModelParameter> TextModel::Parameters() const {
  std::vector<ModelParameter> parameters;
  for (size_t i = 0; i < rep_->stored.size(); ++i) {
    parameters.push_back({rep_->stored[i].name, rep_->parameters()[i], rep_->stored[i].layer});
  }
  const std::vector<ModelParameter> factors = rep_->AdapterFactors();
  parameters.insert(parameters.end(), factors.begin(), factors.end());
  return parameters;
}

namespace {

// Moves the weight's largest singular values into its adapter: b a scale + weight stays what weight was.
void BeginPrincipal(Linear& linear, int64_t rank) {
  const torch::NoGradGuard no_grad;
  Adapter& adapter = *linear.adapter;
  const auto [u, values, v] = torch::linalg_svd(linear.weight.to(torch::kFloat64), /*full_matrices=*/false);
  const int64_t shared = std::min(rank, values.size(0));
  const torch::Tensor roots = (values.narrow(0, 0, shared) / adapter.scale).sqrt();
  adapter.a.narrow(0, 0, shared).copy_(roots.unsqueeze(1) * v.narrow(0, 0, shared));
  adapter.b.narrow(1, 0, shared).copy_(u.narrow(1, 0, shared) * roots);
  linear.weight.sub_(adapter.b.matmul(adapter.a) * adapter.scale);
}

}  // namespace

absl::Status TextModel::AddLora(const LoraOptions& options, uint64_t seed) {
  return GuardTorch("add adapters", [&] {
    const double alpha = options.alpha > 0 ? options.alpha : 2.0 * options.rank;
    at::Generator generator = at::detail::createCPUGenerator(seed);
    for (const torch::Tensor& parameter : rep_->parameters()) parameter.set_requires_grad(false);
    rep_->adapted = rep_->post_norm != nullptr ? rep_->post_norm->linears() : rep_->pre_norm->linears();
    for (size_t i = 0; i < rep_->adapted.size(); ++i) {
      const int64_t out = rep_->adapted[i]->weight.size(0), in = rep_->adapted[i]->weight.size(1);
      const double bound = 1 / std::sqrt(static_cast<double>(in));  // kaiming_uniform with a = sqrt(5).
      rep_->adapted[i]->adapter =
          Adapter{.a = torch::empty({options.rank, in}).uniform_(-bound, bound, generator).requires_grad_(true),
                  .b = torch::zeros({out, options.rank}).requires_grad_(true),
                  .scale = alpha / options.rank,
                  .dropout = options.dropout,
                  .number = static_cast<uint32_t>(i)};
      if (options.initialization == LoraInitialization::kPrincipal) BeginPrincipal(*rep_->adapted[i], options.rank);
    }
    return absl::OkStatus();
  });
}

bool TextModel::has_lora() const { return !rep_->adapted.empty(); }

absl::Status TextModel::SaveLora(const std::filesystem::path& file) const {
  std::vector<FloatTensor> tensors;
  for (const auto& [name, value, layer] : rep_->AdapterFactors()) {
    tensors.push_back({name, value.sizes().vec(), value.const_data_ptr<float>()});
  }
  return WriteSafetensors(file, tensors);
}

absl::Status TextModel::LoadLora(const std::filesystem::path& file) {
  ASSIGN_OR_RETURN(const std::unique_ptr<const SafetensorsFile> stored, SafetensorsFile::Open(file));
  std::map<std::string, const StoredTensor*> by_name;
  for (const StoredTensor& tensor : stored->tensors()) by_name[tensor.name] = &tensor;
  const std::vector<ModelParameter> factors = rep_->AdapterFactors();
  if (by_name.size() != factors.size()) {
    return absl::DataLossError(
        Concat(file.string(), ": has ", by_name.size(), " tensors, the adapters have ", factors.size()));
  }
  return GuardTorch("load adapters", [&] {
    const torch::NoGradGuard no_grad;
    for (const auto& [name, value, layer] : factors) {
      const auto found = by_name.find(name);
      if (found == by_name.end() || found->second->shape != value.sizes().vec() || found->second->dtype != "F32") {
        return absl::DataLossError(
            Concat(file.string(), ": ", name, " is missing or not F32 ", ShapeText(value.sizes().vec())));
      }
      value.copy_(ToFloat32(*found->second));
    }
    return absl::OkStatus();
  });
}

int64_t TextModel::layers() const { return rep_->config.layers; }

absl::Status TextModel::Save(const std::filesystem::path& source_directory,
                             const std::filesystem::path& directory) const {
  RETURN_IF_ERROR(CopyOtherFiles(source_directory, directory));
  RETURN_IF_ERROR(SetSavedType(directory / rep_->transformer / "config.json"));
  ASSIGN_OR_RETURN(const ModelDirectory source, OpenModelDirectory(source_directory));
  return GuardTorch("write the weights", [&] {
    const std::vector<torch::Tensor> merged = rep_->MergedParameters();
    std::vector<FloatTensor> tensors;
    for (size_t i = 0; i < merged.size(); ++i) {
      tensors.push_back({rep_->stored[i].name, merged[i].sizes().vec(), merged[i].const_data_ptr<float>()});
    }
    std::vector<torch::Tensor> unused;  // Carried along, so that transformers does not call them missing.
    for (const StoredTensor& stored : source.unused) {
      unused.push_back(ToFloat32(stored));
      tensors.push_back({stored.name, stored.shape, unused.back().const_data_ptr<float>()});
    }
    return WriteSafetensors(directory / weights_file(), tensors);
  });
}

}  // namespace tandem
