#pragma once
// Encoders by directory, loaded on demand. Their memory is reserved in the budget while they are loaded or loading, and
// the cache is one of its evictors: the encoder that was used least lately and that no release or call holds leaves
// first. Thread-safe; loading one model does not block the others.

#include <cstdint>
#include <filesystem>
#include <memory>

#include "absl/status/statusor.h"
#include "server/base/memory_budget.h"
#include "server/encoder/encoder.h"

namespace tandem {

class ModelCache {
 public:
  // The budget outlives the cache and every encoder that Get gave.
  explicit ModelCache(MemoryBudget* budget);
  ~ModelCache();

  // RESOURCE_EXHAUSTED with the numbers when the model does not fit beside what is in use. The budget knows it by the
  // last two parts of the directory: models/<model>/revisions/<revision>. REQUIRES: the caller holds no lock that an
  // evictor of the budget takes.
  absl::StatusOr<std::shared_ptr<const Encoder>> Get(const std::filesystem::path& directory,
                                                     Admission admission = Admission::kIfItFits);
  // The files of the directory are gone: what Get gives from now on is read from it anew. Calls that hold the encoder,
  // or that load it now, keep it, and its memory counts until they let go of it.
  void Forget(const std::filesystem::path& directory);
  int64_t used_bytes() const;  // Of encoders that Get would give without loading, or that are loading.

 private:
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

}  // namespace tandem
