#include "server/encoder/tokenizer.h"

#include "server/base/files.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/encoder/encoder.h"
#include "server/encoder/hf_error.h"

namespace tandem {
namespace {

const uint8_t* Bytes(std::string_view text) { return reinterpret_cast<const uint8_t*>(text.data()); }

tandem_hf_tokenizer* Of(void* handle) { return static_cast<tandem_hf_tokenizer*>(handle); }

}  // namespace

absl::StatusOr<std::unique_ptr<const Tokenizer>> Tokenizer::Load(const std::filesystem::path& tokenizer_json) {
  ASSIGN_OR_RETURN(const std::string json, ReadFile(tokenizer_json));
  tandem_hf_tokenizer* handle = nullptr;
  RETURN_IF_ERROR(HfStatus(absl::StatusCode::kDataLoss, tokenizer_json.filename().string(),
                           tandem_hf_tokenizer_load(Bytes(json), json.size(), &handle)));
  return std::unique_ptr<const Tokenizer>(new Tokenizer(handle));
}

Tokenizer::Tokenizer(void* handle) : handle_(handle) {}

Tokenizer::~Tokenizer() { tandem_hf_tokenizer_free(Of(handle_)); }

absl::StatusOr<int64_t> Tokenizer::MaxId() const {
  uint32_t id = 0;
  RETURN_IF_ERROR(HfStatus(absl::StatusCode::kInternal, "tokenizer", tandem_hf_tokenizer_max_id(Of(handle_), &id)));
  return int64_t{id};
}

int Tokenizer::special_tokens() const { return static_cast<int>(tandem_hf_tokenizer_special_tokens(Of(handle_))); }

absl::StatusOr<std::vector<TokenizedText>> Tokenizer::Encode(std::span<const std::string> texts,
                                                             std::string_view prompt, int max_length,
                                                             TruncationSide side) const {
  if (max_length < special_tokens()) {
    return absl::InvalidArgumentError(Concat("max_length ", max_length, ": must be at least ", special_tokens(),
                                             ", the number of special tokens around a text"));
  }
  std::vector<TokenizedText> result;
  result.reserve(texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    tandem_hf_ids ids;
    RETURN_IF_ERROR(
        HfStatus(absl::StatusCode::kInvalidArgument, Concat("text ", i),
                 tandem_hf_tokenizer_encode(Of(handle_), Bytes(prompt), prompt.size(), Bytes(texts[i]), texts[i].size(),
                                            static_cast<size_t>(max_length), side == TruncationSide::kStart, &ids)));
    TokenizedText& text = result.emplace_back();
    text.ids.assign(ids.ids, ids.ids + ids.size);
    text.token_count = static_cast<int>(ids.token_count);
    text.truncated = ids.token_count > ids.size;
    tandem_hf_free_ids(ids);
  }
  return result;
}

}  // namespace tandem
