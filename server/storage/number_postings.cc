#include "server/storage/number_postings.h"

#include <algorithm>
#include <iterator>
#include <limits>

namespace tandem {
namespace {

constexpr size_t kBlock = 4096;
// The tail is sorted in when it has a block and an eighth of the sorted pairs: each pair is moved about eight times
// in all while an index grows, and a range looks at few unsorted pairs beside its bitmaps.
constexpr size_t kTailPart = 8;

}  // namespace

void NumberPostings::Add(int64_t key, int64_t label) {
  tail_.push_back({key, label});
  SortIfDue();
}

void NumberPostings::Remove(int64_t label) {
  removed_.add(static_cast<uint64_t>(label));
  SortIfDue();
}

void NumberPostings::SortIfDue() {
  const size_t limit = std::max(kBlock, sorted_.size() / kTailPart);
  // Counting removed labels walks their bitmap: only when it may have grown enough.
  if (tail_.size() < limit && (removed_.isEmpty() || removed_.cardinality() < limit)) return;
  const auto gone = [&](const Pair& pair) { return removed_.contains(static_cast<uint64_t>(pair.label)); };
  std::erase_if(tail_, gone);
  std::erase_if(sorted_, gone);
  std::sort(tail_.begin(), tail_.end());
  std::vector<Pair> merged;
  merged.reserve(sorted_.size() + tail_.size());
  std::merge(sorted_.begin(), sorted_.end(), tail_.begin(), tail_.end(), std::back_inserter(merged));
  sorted_ = std::move(merged);
  tail_.clear();
  removed_ = Roaring64Map();
  blocks_.clear();
  for (size_t i = 0; i < sorted_.size(); ++i) {
    if (i % kBlock == 0) blocks_.emplace_back();
    blocks_.back().add(static_cast<uint64_t>(sorted_[i].label));
  }
}

Roaring64Map NumberPostings::InRange(int64_t least, int64_t most) const {
  Roaring64Map found;
  if (least > most) return found;
  const auto first = std::lower_bound(sorted_.begin(), sorted_.end(), Pair{least, 0});
  const auto last =
      std::upper_bound(first, sorted_.end(), Pair{most, std::numeric_limits<int64_t>::max()}) - sorted_.begin();
  for (size_t i = first - sorted_.begin(); i < static_cast<size_t>(last);) {
    if (i % kBlock == 0 && i + kBlock <= static_cast<size_t>(last)) {
      found |= blocks_[i / kBlock];
      i += kBlock;
    } else {
      found.add(static_cast<uint64_t>(sorted_[i++].label));
    }
  }
  for (const Pair& pair : tail_) {
    if (pair.key >= least && pair.key <= most) found.add(static_cast<uint64_t>(pair.label));
  }
  return found;
}

}  // namespace tandem
