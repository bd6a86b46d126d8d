#pragma once
// The sealed part of an index, opened: labels and vectors mmapped, and for kHnsw the graph (its links mmapped too,
// walked over the vectors of vectors.f32, so that nothing is in memory twice; the copy inside index.faiss, which makes
// that file complete for other programs, is read only while its checksum is verified). Immutable and thread-safe.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <roaring/roaring.hh>

#include "absl/status/statusor.h"
#include "index/mapped_file.h"
#include "index/row_scan.h"
#include "index/sealed_format.h"

namespace faiss {
struct IndexHNSW;
}

namespace tandem {

class SealedSegment {
 public:
  // DATA_LOSS names the file that is missing or damaged.
  static absl::StatusOr<std::shared_ptr<const SealedSegment>> Open(const std::filesystem::path& directory);
  ~SealedSegment();

  int64_t commit() const { return manifest_.commit; }
  uint32_t count() const { return static_cast<uint32_t>(manifest_.count); }
  const VectorIndexOptions& options() const { return manifest_.options; }
  int64_t memory_bytes() const;  // Of the mapped labels, vectors and graph links.

  // Rows 0 .. count() - 1 in label order; their positions are their numbers.
  RowRange rows() const;
  std::span<const float> vector(uint32_t row) const;
  std::optional<uint32_t> RowOf(int64_t label) const;

  // kHnsw: about the best k rows that are not hidden and whose label is in `only` (nullptr: any), in no order; may be
  // fewer. `query` as the metric wants it.
  absl::StatusOr<std::vector<int64_t>> WalkGraph(std::span<const float> query, int k, int ef, const Roaring& hidden,
                                                 const Roaring64Map* only) const;

 private:
  explicit SealedSegment(const SealedManifest& manifest);
  const SealedManifest manifest_;
  std::unique_ptr<const MappedFile> labels_, vectors_;
  std::unique_ptr<faiss::IndexHNSW> graph_;  // kHnsw only.
  int64_t graph_bytes_ = 0;                  // Of graph_, without the vectors.
};

}  // namespace tandem
