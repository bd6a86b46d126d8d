#pragma once
// The FAISS index of a sealed directory, opened: finds the rows that are about the best for a query, to be scored by
// their vectors. For kHnsw its links are mmapped and walked over the vectors of vectors.f32, so that nothing is in
// memory twice (the copy inside index.faiss, which makes that file complete for other programs, is read only while its
// checksum is verified); for the other kinds the codes and lists of index.faiss are mmapped. Immutable and thread-safe.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include <roaring/roaring.hh>
#include <roaring/roaring64map.hh>

#include "absl/status/statusor.h"
#include "index/row_scan.h"
#include "index/sealed_format.h"

namespace faiss {
struct Index;
struct IndexHNSW;
struct IndexIVF;
}  // namespace faiss

namespace tandem {

// What a search may find.
struct Findable {
  RowRange rows;
  const Roaring& hidden;
  const Roaring64Map* only;  // nullptr: every label.
  int64_t count;             // Rows that are left, or more: labels of `only` that the index does not have count, too.
  bool Contains(int64_t row) const;
};

class RowFinder {
 public:
  // `vectors`: those of vectors.f32, which outlive this. DATA_LOSS when the file is not the index of the manifest.
  // REQUIRES: the manifest's kind is not kFlat and its count is above 0.
  static absl::StatusOr<std::unique_ptr<const RowFinder>> Open(const std::filesystem::path& path,
                                                               const SealedManifest& manifest,
                                                               std::string_view vectors);
  ~RowFinder();

  int64_t memory_bytes() const { return memory_bytes_; }  // Without vectors.f32.

  // In no order; at least min(k, findable.count) rows, or fewer when they were not found. nullopt: to score all that is
  // findable is no dearer than to look for the best.
  absl::StatusOr<std::optional<std::vector<int64_t>>> Find(std::span<const float> query, const VectorSearch& search,
                                                           const Findable& findable) const;

 private:
  using Rows = std::optional<std::vector<int64_t>>;
  explicit RowFinder(const VectorIndexOptions& options);

  Rows WalkGraph(std::span<const float> query, const VectorSearch& search, const Findable& findable) const;
  Rows ProbeLists(std::span<const float> query, int64_t candidates, const VectorSearch& search,
                  const Findable& findable) const;
  Rows ScanCodes(std::span<const float> query, int64_t candidates, const Findable& findable) const;
  std::vector<int64_t> SearchLists(std::span<const float> query, std::span<const int64_t> cells,
                                   std::span<const float> cell_distances, int64_t candidates,
                                   const Findable& findable) const;

  const VectorIndexOptions options_;
  std::unique_ptr<faiss::Index> index_;
  const faiss::IndexHNSW* graph_ = nullptr;  // index_, by its kind.
  const faiss::IndexIVF* lists_ = nullptr;
  int64_t memory_bytes_ = 0;
};

}  // namespace tandem
