#include "server/training/token_cache.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "server/base/status.h"

namespace tandem {
namespace {

constexpr size_t kChunk = 2048;  // Texts a call of the tokenizer: 50 to 100 ms.

}  // namespace

absl::StatusOr<TokenCache> TokenCache::Make(const TextTable& texts, std::span<const ExampleSet* const> sets,
                                            const Tokenizer& tokenizer, const EmbeddingContract& contract,
                                            int max_length,
                                            const std::function<absl::Status(int64_t, int64_t)>& proceed) {
  TokenCache cache;
  cache.same_prompt_ = contract.query_prompt == contract.document_prompt;
  const size_t count = texts.texts().size();
  std::vector<char> is_anchor(count, 0), is_document(count, 0);
  std::vector<char>& document_flags = cache.same_prompt_ ? is_anchor : is_document;
  for (const ExampleSet* set : sets) {
    for (const TrainingExample& example : set->examples) {
      is_anchor[example.anchor] = 1;
      for (const TextId text : example.positives) document_flags[text] = 1;
      for (const TextId text : example.negatives) document_flags[text] = 1;
    }
  }
  const int64_t total =
      std::count(is_anchor.begin(), is_anchor.end(), 1) + std::count(is_document.begin(), is_document.end(), 1);
  int64_t done = 0;
  const auto encode = [&](const std::vector<char>& wanted, std::string_view prompt,
                          std::vector<TokenizedText>& out) -> absl::Status {
    out.resize(count);
    for (size_t next = 0; next < count;) {
      std::vector<TextId> ids;
      std::vector<std::string> chunk;
      for (; next < count && chunk.size() < kChunk; ++next) {
        if (!wanted[next]) continue;
        ids.push_back(static_cast<TextId>(next));
        chunk.push_back(texts.texts()[next]);
      }
      if (chunk.empty()) break;
      ASSIGN_OR_RETURN(std::vector<TokenizedText> tokens,
                       tokenizer.Encode(chunk, prompt, max_length, contract.truncation_side));
      for (size_t i = 0; i < ids.size(); ++i) out[ids[i]] = std::move(tokens[i]);
      done += static_cast<int64_t>(ids.size());
      RETURN_IF_ERROR(proceed(done, total));
    }
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(encode(is_anchor, contract.query_prompt, cache.anchors_));
  if (!cache.same_prompt_) RETURN_IF_ERROR(encode(is_document, contract.document_prompt, cache.documents_));
  return cache;
}

}  // namespace tandem
