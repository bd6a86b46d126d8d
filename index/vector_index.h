#pragma once
// One release's vectors: a sealed part (an immutable FAISS index with its raw vectors, on disk), a fresh part (flat, in
// memory, everything after the seal) and tombstones. A vector is known by its label, an int64 that only grows: the
// commit of its document version. Scores are "higher is better" under every metric. Whatever the kind, it finds
// candidates only: a hit's score is that of its vector itself, so that kinds differ in which hits they miss, not in
// scores.
//
// Threads: one writer (Apply, AdoptSealed) and any number of readers. A reader takes a Snapshot and keeps it as long as
// it likes; it sees exactly the state at snapshot.commit() while the writer goes on. No lock is held during a search.
//
// A sealed directory: index.faiss (FAISS's own format), labels.i64 (little-endian, ascending), vectors.f32 (row-major,
// same order, mmapped), manifest.json {format, commit, count, dimensions, metric, options, crc32c of each file}. The
// rows are in label order, so FAISS's id i is labels[i].

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <roaring/roaring64map.hh>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

// kCosine: vectors and queries are brought to length 1 here. kEuclidean: a score is minus the distance.
enum class VectorMetric { kCosine, kInnerProduct, kEuclidean };

enum class VectorIndexKind {
  kFlat,             // Every vector is scored.
  kHnsw,             // A graph over the vectors (Malkov and Yashunin 2018).
  kIvfFlat,          // k-means cells, of which a search scans some (Sivic and Zisserman 2003).
  kIvfPq,            // The same over product-quantised residuals (Jegou, Douze and Schmid 2011).
  kScalarQuantized,  // Every code is scored: a byte or a half-precision float a dimension.
  kBinary,           // Every code is scored by Hamming distance: a bit a dimension, its sign.
};

enum class ScalarCode { kInt8, kFloat16 };  // kInt8: 256 steps between a dimension's lowest and highest value.

struct VectorIndexOptions {
  int dimensions = 0;  // 1..65536
  VectorMetric metric = VectorMetric::kCosine;
  VectorIndexKind kind = VectorIndexKind::kFlat;
  int hnsw_m = 16;                 // 4..128
  int hnsw_ef_construction = 100;  // 8..2000
  int hnsw_ef_search = 64;         // 1..10000, default of a search
  // 1..65536; 0: at each seal 4 times the square root of the number of vectors. Never so many that fewer than 39
  // vectors are left for each, below which k-means cells mean little: a small index has fewer, an index of 38 vectors
  // one.
  int ivf_lists = 0;
  int ivf_nprobe = 0;        // 1..65536, default of a search; 0: a sixteenth of the lists, at least 8.
  int pq_subquantizers = 0;  // Bytes of a code, a divisor of dimensions; 0: the divisor nearest to a quarter of them.
  ScalarCode scalar_code = ScalarCode::kInt8;
  // 1..1000, default of a search: candidates for each hit of a kind that scores codes; 0: the kind's own, 10 for
  // kIvfPq, 4 for kScalarQuantized, 20 for kBinary.
  int rerank_factor = 0;
  absl::Status Validate() const;
};

// About what IndexSnapshot::memory_bytes will be of an index that holds so many vectors, sealed and without tombstones.
int64_t EstimateIndexBytes(const VectorIndexOptions& options, int64_t vectors);

struct ScoredLabel {
  int64_t label = 0;
  float score = 0;
};

struct VectorSearch {
  int k = 10;
  std::optional<float> min_score;
  // Instead of the options. INVALID_ARGUMENT with the name as field path where the index's kind has no such parameter.
  std::optional<int> ef_search, nprobe, rerank_factor;
  bool exact = false;            // Scan all vectors whatever the kind: the reference that recall is measured against.
  std::vector<int64_t> exclude;  // Labels that are not to be found.
  // The only labels that may be found, whether the index has them or not; nullptr: all. Must outlive the call.
  const Roaring64Map* only = nullptr;
};

class IndexSnapshot {
 public:
  ~IndexSnapshot();
  int64_t commit() const;
  int64_t size() const;  // Vectors that a search can find.
  int dimensions() const;
  int64_t fresh_count() const;
  int64_t tombstone_count() const;
  // What searches keep reading: of the sealed part the mapped labels, the vectors (kFlat, kHnsw) with the graph's links
  // or the codes and lists that stand for them (other kinds, which read single vectors only, to score their
  // candidates), the fresh rows and the tombstones.
  int64_t memory_bytes() const;

  // Best first; ties by smaller label. `query` has `dimensions` floats, all finite; a zero vector is allowed. One
  // thread. Whatever the kind never fewer than min(k, n) hits, n the vectors that `only` and `exclude` leave, unless
  // min_score cuts.
  absl::StatusOr<std::vector<ScoredLabel>> Search(std::span<const float> query, const VectorSearch& search) const;

  // The stored vector, alive as long as the snapshot; nullopt when a search cannot find the label.
  std::optional<std::span<const float>> Vector(int64_t label) const;

 private:
  friend class VectorIndex;
  struct Rep;
  explicit IndexSnapshot(std::shared_ptr<const Rep> rep);
  std::shared_ptr<const Rep> rep_;
};

class VectorIndex {
 public:
  static absl::StatusOr<std::unique_ptr<VectorIndex>> Create(const VectorIndexOptions& options);
  // Checks sizes and checksums; DATA_LOSS names the file that is damaged.
  static absl::StatusOr<std::unique_ptr<VectorIndex>> Open(const std::filesystem::path& sealed_directory);
  ~VectorIndex();

  const VectorIndexOptions& options() const;
  std::shared_ptr<const IndexSnapshot> snapshot() const;

  // Adds labels.size() vectors (row-major; labels ascending, above all before; finite values), removes `removed`
  // (labels that are not there are passed over: they were never embedded) and becomes visible as one step with
  // `commit`, which is not below any label nor the last commit.
  absl::Status Apply(int64_t commit, std::span<const int64_t> labels, std::span<const float> vectors,
                     std::span<const int64_t> removed);

  // Builds the sealed form of a snapshot's live vectors in `directory` (exists, empty; files are not fsynced: publish
  // it). Long work that needs no lock: readers and the writer go on. `threads` for what FAISS and its BLAS do. The same
  // vectors and one thread give the same files: seeds are fixed.
  static absl::Status WriteSealed(const IndexSnapshot& snapshot, const VectorIndexOptions& options,
                                  const std::filesystem::path& directory, int threads);

  // Opens a directory that WriteSealed made of an earlier snapshot of this index and puts it in place of everything up
  // to its commit; what Apply brought after that commit stays. Tombstones since are carried over.
  absl::Status AdoptSealed(const std::filesystem::path& directory);

 private:
  struct Rep;
  explicit VectorIndex(std::unique_ptr<Rep> rep);
  std::unique_ptr<Rep> rep_;
};

// Mean over queries of |approximate top k intersect exact top k| / min(k, size). `queries` row-major.
absl::StatusOr<double> MeasureRecall(const IndexSnapshot& snapshot, std::span<const float> queries, int k);

}  // namespace tandem
