#pragma once
// Which labels have a number in a range: pairs of key and label in key order, with a bitmap of the labels of each block
// of 4,096 pairs, so that a range is a few bitmaps and two cut blocks. What was added since the last sorting stands in
// a short unsorted tail that every range looks through. 1,000,000 pairs take about 25 MB; a range over half of them
// takes about a millisecond.
//
// Not thread-safe: FieldIndex locks.

#include <cstdint>
#include <vector>

#include <roaring/roaring64map.hh>

namespace tandem {

class NumberPostings {
 public:
  void Add(int64_t key, int64_t label);
  // Ends all pairs of the label; InRange may give it until the next sorting.
  void Remove(int64_t label);

  // Labels with a key in [least, most].
  Roaring64Map InRange(int64_t least, int64_t most) const;

 private:
  struct Pair {
    int64_t key, label;
    auto operator<=>(const Pair&) const = default;
  };
  void SortIfDue();

  std::vector<Pair> sorted_, tail_;
  std::vector<Roaring64Map> blocks_;  // Of sorted_, in order.
  Roaring64Map removed_;
};

}  // namespace tandem
