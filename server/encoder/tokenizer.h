#pragma once
// Hugging Face's own `tokenizers` (Rust, behind a C ABI in server/encoder/hf): ids are those of the Python package for
// every tokenizer.json. Immutable and thread-safe.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/base/embedding_contract.h"

namespace tandem {

struct TokenizedText;  // encoder.h

class Tokenizer {
 public:
  // Ignores the file's own truncation and padding settings: the contract decides.
  static absl::StatusOr<std::unique_ptr<const Tokenizer>> Load(const std::filesystem::path& tokenizer_json);
  ~Tokenizer();

  // prompt + text for each text, with special tokens, cut on `side` to max_length ids (special tokens stay).
  absl::StatusOr<std::vector<TokenizedText>> Encode(std::span<const std::string> texts, std::string_view prompt,
                                                    int max_length, TruncationSide side) const;

  int special_tokens() const;             // Around one text.
  absl::StatusOr<int64_t> MaxId() const;  // The greatest id of the vocabulary, added tokens included.

 private:
  explicit Tokenizer(void* handle);
  void* const handle_;
};

}  // namespace tandem
