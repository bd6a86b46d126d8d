#include "index/row_scan.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "index/kernels.h"

namespace tandem {
namespace {

// The first of labels[from .. count) that is not below `label`. Both are walked upwards, so the wanted place is mostly
// near: steps that double, then halving.
uint32_t Gallop(const int64_t* labels, uint32_t from, uint32_t count, int64_t label) {
  uint64_t step = 1, low = from;
  while (low + step < count && labels[low + step] < label) {
    low += step;
    step *= 2;
  }
  const int64_t* const last = labels + std::min<uint64_t>(low + step, count);
  return static_cast<uint32_t>(std::lower_bound(labels + low, last, label) - labels);
}

}  // namespace

void TopHits::Keep(int64_t label, float score) {
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
  if (!heap_.empty()) worst_ = heap_.front();
}

std::vector<ScoredLabel> TopHits::TakeBestFirst() {
  std::sort(heap_.begin(), heap_.end(), Better);
  return std::move(heap_);
}

float ScoredQuery::Score(const float* row) const {
  switch (metric) {
    case VectorMetric::kCosine:
    case VectorMetric::kInnerProduct:
      return InnerProduct(vector.data(), row, vector.size());
    case VectorMetric::kEuclidean:
      return 0.0f - std::sqrt(SquaredDistance(vector.data(), row, vector.size()));  // Never -0.
  }
  return 0;
}

// One row at a time: rows of a few kilobytes read one after the other are what the CPU's prefetching is made for. Four
// at once took 2.5 times as long on vectors that are not in the cache.
void ScanRows(const ScoredQuery& query, const RowRange& rows, const Roaring& hidden, TopHits* top) {
  VisitRuns(rows, hidden, [&](uint32_t first, uint32_t last) {
    const float* vector = rows.vectors + size_t{first} * query.vector.size();
    for (uint32_t row = first; row < last; ++row, vector += query.vector.size()) {
      Prefetch(vector + kPrefetchBytes / sizeof(float), query.vector.size_bytes());
      top->Offer(rows.labels[row], query.Score(vector));
    }
  });
}

std::vector<int64_t> RowsWithLabels(const RowRange& rows, const Roaring64Map& labels, const Roaring& hidden) {
  std::vector<int64_t> found;
  if (rows.count == 0 || labels.isEmpty()) return found;
  auto label = labels.begin();
  const auto end = labels.end();
  if (!label.move(static_cast<uint64_t>(rows.labels[0]))) return found;
  for (uint32_t row = 0; label != end; ++label) {
    const auto wanted = static_cast<int64_t>(*label);
    row = Gallop(rows.labels, row, rows.count, wanted);
    if (row == rows.count) break;
    if (rows.labels[row] == wanted && !hidden.contains(rows.first_position + row)) found.push_back(row);
  }
  return found;
}

void ScoreRows(const ScoredQuery& query, const RowRange& rows, std::span<const int64_t> indexes, TopHits* top) {
  const auto vector = [&](size_t i) { return rows.vectors + static_cast<size_t>(indexes[i]) * query.vector.size(); };
  for (size_t i = 0; i < indexes.size(); ++i) {
    if (i + 2 < indexes.size()) Prefetch(vector(i + 2), query.vector.size_bytes());
    top->Offer(rows.labels[indexes[i]], query.Score(vector(i)));
  }
}

}  // namespace tandem
