#include "server/training/text_embeddings.h"

#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

// Tokens of one forward pass: enough to keep the matrix products busy, small enough for caches and for quick stops.
constexpr int64_t kChunkTokens = 4096;

}  // namespace

absl::StatusOr<torch::Tensor> EmbedWithoutDropout(TextModel& model, std::span<const TokenizedText* const> texts,
                                                  std::string_view kind,
                                                  const std::function<absl::Status(int64_t, int64_t)>& proceed) {
  const torch::NoGradGuard no_grad;
  torch::Tensor all;
  for (size_t begin = 0; begin < texts.size();) {
    int64_t count_tokens = 0;
    size_t end = begin;
    while (end < texts.size() && (end == begin || count_tokens < kChunkTokens)) {
      count_tokens += static_cast<int64_t>(texts[end++]->ids.size());
    }
    const torch::Tensor chunk = model.Forward(Pack(texts.subspan(begin, end - begin)), nullptr).to(torch::kFloat32);
    if (!all.defined()) all = torch::empty({static_cast<int64_t>(texts.size()), chunk.size(1)}, torch::kFloat32);
    all.narrow(0, static_cast<int64_t>(begin), chunk.size(0)).copy_(chunk);
    begin = end;
    RETURN_IF_ERROR(proceed(static_cast<int64_t>(end), static_cast<int64_t>(texts.size())));
  }
  if (all.isfinite().all().item<bool>()) return all;
  return absl::FailedPreconditionError(Concat("an embedding of a ", kind, " text is not finite"));
}

}  // namespace tandem
