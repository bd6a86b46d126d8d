#pragma once
// The one thread that owns torch in tandemd. Callers' texts are tokenised on the caller's thread, cut into chunks,
// and batched across calls by token budget: interactive work first. Bulk work goes in chunks, smaller ones while
// interactive work comes, and interactive work that comes meanwhile is done between two layers of a chunk: it waits for
// one layer, or, when interactive work has had much more of the time than bulk work, for some 60 ms. No wait is added
// when the queue is empty: a batch is what is there when the thread is free.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/encoder/encoder.h"

namespace tandem {

enum class EmbeddingPriority { kInteractive, kBulk };

struct EmbeddingQueueOptions {
  // Tokens of one forward pass: of interactive work, of bulk work, and of bulk work while interactive work comes. On 2
  // cores a layer of a 22M-parameter model takes 9 ms for 256 tokens; more than 1024 make no token cheaper.
  int interactive_tokens = 1024;
  int bulk_tokens = 1024;
  int bulk_tokens_beside_interactive = 256;
  // Interactive texts; above it calls get RESOURCE_EXHAUSTED with a retry delay. Bulk callers wait.
  int max_queued_texts = 65536;
  int threads = 2;  // Intra-op threads of torch.
};

struct EmbeddedTexts {
  std::vector<float> vectors;     // texts x dimensions, row-major.
  std::vector<int> token_counts;  // Before truncation.
  std::vector<bool> truncated;
};

class EmbeddingQueue {
 public:
  explicit EmbeddingQueue(const EmbeddingQueueOptions& options);
  ~EmbeddingQueue();  // Calls still waiting get UNAVAILABLE.

  // Blocks the calling thread. Texts of one call keep their order. DEADLINE_EXCEEDED when `deadline` passes before the
  // work starts. Thread-safe.
  absl::StatusOr<EmbeddedTexts> Embed(std::shared_ptr<const Encoder> encoder, std::span<const std::string> texts,
                                      InputRole role, EmbeddingPriority priority, absl::Time deadline);

 private:
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

}  // namespace tandem
