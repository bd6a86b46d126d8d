#pragma once
// Exact scoring of rows of vectors with FAISS's kernels. A score depends on the two vectors only, not on where the row
// lies or what is scored beside it, so that equal vectors tie and ties fall to the smaller label in every part of an
// index.

#include <cstdint>
#include <span>
#include <vector>

#include <roaring/roaring.hh>
#include <roaring/roaring64map.hh>

#include "index/vector_index.h"

namespace tandem {

// Orders hits: higher scores first, then smaller labels.
inline bool Better(const ScoredLabel& a, const ScoredLabel& b) {
  return a.score > b.score || (a.score == b.score && a.label < b.label);
}

// The best `k` of the hits offered.
class TopHits {
 public:
  explicit TopHits(size_t k) : k_(k) { heap_.reserve(k); }
  void Offer(int64_t label, float score);
  std::vector<ScoredLabel> TakeBestFirst();

 private:
  const size_t k_;
  std::vector<ScoredLabel> heap_;  // The worst of the best on top.
};

// A run of rows: row i has position first_position + i, labels[i] and the `dimensions` floats at vectors + i *
// dimensions.
struct RowRange {
  const float* vectors = nullptr;
  const int64_t* labels = nullptr;
  uint32_t first_position = 0;
  uint32_t count = 0;
};

// Offers every row whose position is not in `hidden` (nullptr: none is).
void ScanRows(std::span<const float> query, const RowRange& rows, const Roaring* hidden, TopHits* top);

// The rows (from the range's first) whose label is in `labels` and whose position is not in `hidden`, ascending.
std::vector<int64_t> RowsWithLabels(const RowRange& rows, const Roaring64Map& labels, const Roaring& hidden);

// Offers the rows at `indexes` (from the range's first row).
void ScoreRows(std::span<const float> query, const RowRange& rows, std::span<const int64_t> indexes, TopHits* top);

}  // namespace tandem
