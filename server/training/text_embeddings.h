#pragma once
// [torch] Embeddings of many texts, in forward passes of a bounded number of tokens. Throws c10::Error.

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

#include <torch/torch.h>

#include "absl/status/statusor.h"
#include "server/encoder/text_model.h"

namespace tandem {

// float32 [texts, dimensions], without dropout and without autograd, text by text. `proceed` is called after each pass
// with the counts of texts done and of all; a status that is not OK ends the work and is returned. FAILED_PRECONDITION
// when an embedding is not finite, of a "<kind> text" then. REQUIRES: at least one text.
absl::StatusOr<torch::Tensor> EmbedWithoutDropout(TextModel& model, std::span<const TokenizedText* const> texts,
                                                  std::string_view kind,
                                                  const std::function<absl::Status(int64_t, int64_t)>& proceed);

}  // namespace tandem
