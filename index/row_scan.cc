#include "index/row_scan.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include <faiss/utils/distances.h>

namespace tandem {
namespace {

// Scores rows four at a time, which is what the kernel does best: it loads the query once for four rows. An incomplete
// four is filled up with its first row, so that every score comes from the same kernel.
class BatchOfFour {
 public:
  BatchOfFour(std::span<const float> query, const RowRange& rows, TopHits* top)
      : query_(query), rows_(rows), top_(top) {}

  void Add(uint32_t row) {
    pending_[count_++] = row;
    if (count_ == 4) Flush();
  }

  void Flush() {
    if (count_ == 0) return;
    for (int i = count_; i < 4; ++i) pending_[i] = pending_[0];
    float scores[4];
    const size_t d = query_.size();
    const float* base = rows_.vectors;
    faiss::fvec_inner_product_batch_4(query_.data(), base + pending_[0] * d, base + pending_[1] * d,
                                      base + pending_[2] * d, base + pending_[3] * d, d, scores[0], scores[1],
                                      scores[2], scores[3]);
    for (int i = 0; i < count_; ++i) top_->Offer(rows_.labels[pending_[i]], scores[i]);
    count_ = 0;
  }

 private:
  const std::span<const float> query_;
  const RowRange& rows_;
  TopHits* const top_;
  size_t pending_[4] = {};
  int count_ = 0;
};

}  // namespace

void TopHits::Offer(int64_t label, float score) {
  // Finite vectors of great length can give infinity minus infinity.
  if (std::isnan(score)) score = -std::numeric_limits<float>::infinity();
  const ScoredLabel hit{label, score};
  if (heap_.size() < k_) {
    heap_.push_back(hit);
    std::push_heap(heap_.begin(), heap_.end(), Better);
  } else if (k_ > 0 && Better(hit, heap_.front())) {
    std::pop_heap(heap_.begin(), heap_.end(), Better);
    heap_.back() = hit;
    std::push_heap(heap_.begin(), heap_.end(), Better);
  }
}

std::vector<ScoredLabel> TopHits::TakeBestFirst() {
  std::sort(heap_.begin(), heap_.end(), Better);
  return std::move(heap_);
}

void ScanRows(std::span<const float> query, const RowRange& rows, const Roaring* hidden, TopHits* top) {
  BatchOfFour batch(query, rows, top);
  const uint64_t end = uint64_t{rows.first_position} + rows.count;
  uint64_t position = rows.first_position;
  if (hidden != nullptr && !hidden->isEmpty()) {
    auto it = hidden->begin();
    it.equalorlarger(rows.first_position);
    for (; it != hidden->end() && *it < end; ++it) {
      for (; position < *it; ++position) batch.Add(position - rows.first_position);
      position = uint64_t{*it} + 1;
    }
  }
  for (; position < end; ++position) batch.Add(position - rows.first_position);
  batch.Flush();
}

void ScoreRows(std::span<const float> query, const RowRange& rows, std::span<const int64_t> indexes, TopHits* top) {
  BatchOfFour batch(query, rows, top);
  for (int64_t index : indexes) batch.Add(static_cast<uint32_t>(index));
  batch.Flush();
}

}  // namespace tandem
