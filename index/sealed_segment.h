#pragma once
// The sealed part of an index, opened: labels and vectors mmapped, and what finds candidates among them. Immutable and
// thread-safe.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "index/mapped_file.h"
#include "index/row_finder.h"
#include "index/row_scan.h"
#include "index/sealed_format.h"

namespace tandem {

class SealedSegment {
 public:
  // DATA_LOSS names the file that is missing or damaged.
  static absl::StatusOr<std::shared_ptr<const SealedSegment>> Open(const std::filesystem::path& directory);
  ~SealedSegment();

  int64_t commit() const { return manifest_.commit; }
  uint32_t count() const { return static_cast<uint32_t>(manifest_.count); }
  const VectorIndexOptions& options() const { return manifest_.options; }
  int64_t memory_bytes() const;  // IndexSnapshot::memory_bytes says of what.

  // Rows 0 .. count() - 1 in label order; their positions are their numbers.
  RowRange rows() const;
  std::span<const float> vector(uint32_t row) const;
  std::optional<uint32_t> RowOf(int64_t label) const;

  // nullptr for kFlat and when there are no rows: all rows are to be scored.
  const RowFinder* finder() const { return finder_.get(); }

 private:
  explicit SealedSegment(const SealedManifest& manifest);
  const SealedManifest manifest_;
  std::unique_ptr<const MappedFile> labels_, vectors_;
  std::unique_ptr<const RowFinder> finder_;
};

}  // namespace tandem
