#pragma once
// Exact scoring of rows of vectors. A score depends on the two vectors only, not on where the row lies or what is
// scored beside it, so that equal vectors tie and ties fall to the smaller label in every part of an index.

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
  void Offer(int64_t label, float score) {
    // Almost all of a scan's. What is not a number compares as neither, and is looked at more closely.
    if (heap_.size() == k_ && (score < worst_.score || (score == worst_.score && label > worst_.label))) return;
    Keep(label, score);
  }
  std::vector<ScoredLabel> TakeBestFirst();

 private:
  void Keep(int64_t label, float score);
  const size_t k_;
  ScoredLabel worst_;              // Of the best; means something once there are k.
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

// A query as the metric wants it, and what a row scores for it.
struct ScoredQuery {
  std::span<const float> vector;
  VectorMetric metric = VectorMetric::kInnerProduct;  // kCosine: of vectors that have length 1.
  float Score(const float* row) const;
};

// Calls `visit(first, last)` for every run of rows (from the range's first, without `last`) whose positions are not in
// `hidden`, ascending; no run is empty.
template <typename Visit>
void VisitRuns(const RowRange& rows, const Roaring& hidden, Visit&& visit) {
  const uint64_t end = uint64_t{rows.first_position} + rows.count;
  uint64_t position = rows.first_position;
  const auto visit_up_to = [&](uint64_t stop) {
    if (position == stop) return;
    visit(static_cast<uint32_t>(position - rows.first_position), static_cast<uint32_t>(stop - rows.first_position));
  };
  if (!hidden.isEmpty()) {
    auto it = hidden.begin();
    it.equalorlarger(rows.first_position);
    for (; it != hidden.end() && *it < end; ++it) {
      visit_up_to(*it);
      position = uint64_t{*it} + 1;
    }
  }
  visit_up_to(end);
}

// Offers every row whose position is not in `hidden`.
void ScanRows(const ScoredQuery& query, const RowRange& rows, const Roaring& hidden, TopHits* top);

// The rows (from the range's first) whose label is in `labels` and whose position is not in `hidden`, ascending.
std::vector<int64_t> RowsWithLabels(const RowRange& rows, const Roaring64Map& labels, const Roaring& hidden);

// Offers the rows at `indexes` (from the range's first row).
void ScoreRows(const ScoredQuery& query, const RowRange& rows, std::span<const int64_t> indexes, TopHits* top);

}  // namespace tandem
