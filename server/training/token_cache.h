#pragma once
// The ids of every text of a job, made once before the first step, so that no step waits for the tokenizer. Immutable
// once made; texts have the numbers of their TextTable. First texts of examples have the query prompt, positives and
// negatives (the second texts of all forms of pairs) the document prompt.

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "server/encoder/encoder.h"
#include "server/encoder/tokenizer.h"
#include "server/training/example_file.h"

namespace tandem {

class TokenCache {
 public:
  // Applies the contract's prompts; `max_length` stands for the contract's. `proceed` is called every few thousand
  // texts with the counts of texts done and of all; when it returns a status that is not OK, so does this.
  static absl::StatusOr<TokenCache> Make(const TextTable& texts, std::span<const ExampleSet* const> sets,
                                         const Tokenizer& tokenizer, const EmbeddingContract& contract, int max_length,
                                         const std::function<absl::Status(int64_t, int64_t)>& proceed);

  // REQUIRES: the text is the first of an example, resp. a positive or a negative, in one of the sets.
  const TokenizedText& anchor(TextId text) const { return anchors_[text]; }
  const TokenizedText& document(TextId text) const { return (same_prompt_ ? anchors_ : documents_)[text]; }

 private:
  bool same_prompt_ = false;  // Then anchors_ serves both roles.
  std::vector<TokenizedText> anchors_, documents_;
};

}  // namespace tandem
