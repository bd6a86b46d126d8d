#include "server/encoder/encoder.h"

#include <openssl/evp.h>

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/encoder/model_directory.h"
#include "server/encoder/text_model.h"
#include "server/encoder/torch_guard.h"

namespace tandem {
namespace {

absl::StatusOr<std::string> WeightsSha256(const ModelDirectory& model) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  bool good = context != nullptr && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1;
  for (const auto& file : model.weights) {
    good = good && EVP_DigestUpdate(context.get(), file->bytes().data(), file->bytes().size()) == 1;
  }
  std::string digest(EVP_MAX_MD_SIZE, '\0');
  unsigned int size = 0;
  good = good && EVP_DigestFinal_ex(context.get(), reinterpret_cast<unsigned char*>(digest.data()), &size) == 1;
  if (!good) return absl::InternalError(Concat(model.path.string(), ": SHA-256 could not be computed"));
  digest.resize(size);
  return absl::BytesToHexString(digest);
}

absl::Status CheckLengths(std::span<const TokenizedText* const> texts, int max_positions) {
  for (size_t i = 0; i < texts.size(); ++i) {
    const size_t size = texts[i]->ids.size();
    if (size >= 1 && size <= static_cast<size_t>(max_positions)) continue;
    return absl::InvalidArgumentError(
        Concat("text ", i, ": has ", size, " tokens: must be in [1, ", max_positions, "]"));
  }
  return absl::OkStatus();
}

}  // namespace

struct Encoder::Rep {
  int64_t parameters = 0;
  int64_t memory_bytes = 0;
  std::unique_ptr<TextModel> model;
};

absl::StatusOr<std::unique_ptr<const Encoder>> Encoder::Load(const std::filesystem::path& directory) {
  auto rep = std::make_unique<Rep>();
  {
    ASSIGN_OR_RETURN(const ModelDirectory model, OpenModelDirectory(directory));
    rep->parameters = model.parameters();
    rep->memory_bytes = EncoderMemory(model);
  }
  ASSIGN_OR_RETURN(rep->model, TextModel::Load(directory));
  return std::unique_ptr<const Encoder>(new Encoder(std::move(rep)));
}

Encoder::Encoder(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}

Encoder::~Encoder() = default;

const EmbeddingContract& Encoder::contract() const { return rep_->model->contract(); }

std::string_view Encoder::architecture() const { return rep_->model->architecture(); }

int64_t Encoder::parameters() const { return rep_->parameters; }

int64_t Encoder::memory_bytes() const { return rep_->memory_bytes; }

absl::StatusOr<std::vector<TokenizedText>> Encoder::Tokenize(std::span<const std::string> texts, InputRole role) const {
  return rep_->model->tokenizer().Encode(texts, contract().PromptOf(role), contract().max_length,
                                         contract().truncation_side);
}

absl::StatusOr<std::vector<float>> Encoder::Embed(std::span<const TokenizedText* const> texts,
                                                  const std::function<void()>& between_layers) const {
  RETURN_IF_ERROR(CheckLengths(texts, rep_->model->max_positions()));
  return GuardTorch("embed", [&]() -> absl::StatusOr<std::vector<float>> {
    const c10::InferenceMode inference;
    const torch::Tensor vectors = rep_->model->Forward(Pack(texts), /*dropout=*/nullptr, between_layers).contiguous();
    const float* const values = vectors.const_data_ptr<float>();
    return std::vector<float>(values, values + vectors.numel());
  });
}

absl::StatusOr<ModelDescription> DescribeModel(const std::filesystem::path& directory) {
  ASSIGN_OR_RETURN(const ModelDirectory model, OpenModelDirectory(directory));
  RETURN_IF_ERROR(LoadTokenizer(model).status());
  ASSIGN_OR_RETURN(std::string sha256, WeightsSha256(model));
  return ModelDescription{.architecture = std::string(ArchitectureName(model.config.architecture)),
                          .parameters = model.parameters(),
                          .contract = model.contract,
                          .sha256 = std::move(sha256)};
}

}  // namespace tandem
