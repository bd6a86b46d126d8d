#pragma once
// Encoders by directory, loaded on demand, dropped by least use when their memory would exceed the budget. An encoder
// that a release or call still holds is not dropped. Thread-safe; loading one model does not block the others.

#include <cstdint>
#include <filesystem>
#include <memory>

#include "absl/status/statusor.h"
#include "server/encoder/encoder.h"

namespace tandem {

class ModelCache {
 public:
  explicit ModelCache(int64_t memory_budget_bytes);
  ~ModelCache();

  // RESOURCE_EXHAUSTED with the numbers when the model does not fit beside those in use.
  absl::StatusOr<std::shared_ptr<const Encoder>> Get(const std::filesystem::path& directory);
  // The files of the directory are gone: what Get gives from now on is read from it anew. Calls that hold the encoder,
  // or that load it now, keep it, but its memory no longer counts.
  void Forget(const std::filesystem::path& directory);
  int64_t used_bytes() const;

 private:
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

}  // namespace tandem
