#pragma once
// A model revision loaded for serving: tokenizer, weights and embedding contract. Immutable; shared by everything that
// embeds with it. No torch type crosses this header.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/embedding_contract.h"

namespace tandem {

struct TokenizedText {
  std::vector<int32_t> ids;  // As the encoder gets them: special tokens included, truncated.
  int token_count = 0;       // Before truncation, special tokens included.
  bool truncated = false;
};

class Encoder {
 public:
  // Loads a Hugging Face / sentence-transformers directory. INVALID_ARGUMENT names the file and the setting that tandem
  // does not have ("config.json: model_type \"t5\" is not supported: ..."); DATA_LOSS a damaged file.
  static absl::StatusOr<std::unique_ptr<const Encoder>> Load(const std::filesystem::path& directory);
  ~Encoder();

  const EmbeddingContract& contract() const;
  std::string_view architecture() const;  // "BertModel"
  int64_t parameters() const;
  int64_t memory_bytes() const;

  // Prompt of the role + text -> ids. Thread-safe.
  absl::StatusOr<std::vector<TokenizedText>> Tokenize(std::span<const std::string> texts, InputRole role) const;

  // One forward pass over packed tokens: texts.size() x dimensions floats, row-major, pooled and normalised as
  // the contract says. Called by one thread at a time, the one that owns torch (EmbeddingQueue), which may call it
  // again from `between_layers`: that runs before each layer, when not null.
  absl::StatusOr<std::vector<float>> Embed(std::span<const TokenizedText* const> texts,
                                           const std::function<void()>& between_layers = nullptr) const;

 private:
  struct Rep;
  explicit Encoder(std::unique_ptr<Rep> rep);
  std::unique_ptr<Rep> rep_;
};

// What a directory is, without loading its weights (headers only are read): the check of ImportModel.
struct ModelDescription {
  std::string architecture;
  int64_t parameters = 0;
  EmbeddingContract contract;
  std::string sha256;  // Of the weights file, or of the concatenated shards in name order.
};
absl::StatusOr<ModelDescription> DescribeModel(const std::filesystem::path& directory);

}  // namespace tandem
