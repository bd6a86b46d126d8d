#pragma once
// Vectors since the last seal: a view of append-only chunks in memory. Copying a view is cheap and gives a snapshot:
// rows that a view shows never change, and the writer only fills rows that no view shows yet.
//
// Threads: any number of views may be read while the writer appends to the newest one; handing a view to another
// thread needs the usual synchronisation (VectorIndex publishes under its mutex).

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "index/row_scan.h"

namespace tandem {

class FreshRows {
 public:
  explicit FreshRows(int dimensions);

  // Positions of rows are begin() .. end() - 1, ascending by label.
  uint32_t begin() const { return begin_; }
  uint32_t end() const { return end_; }
  uint32_t size() const { return end_ - begin_; }
  int64_t memory_bytes() const;  // Of the rows that its chunks hold, from before begin() on.
  int64_t label(uint32_t position) const;
  std::span<const float> vector(uint32_t position) const;
  std::optional<uint32_t> PositionOf(int64_t label) const;
  // First position whose label is above `label`.
  uint32_t PositionAfter(int64_t label) const;

  // The rows as contiguous ranges, in order.
  std::vector<RowRange> Ranges() const;

  // Adds a row and returns its floats to be filled in. Only on the newest view, by the writer.
  // REQUIRES: `label` above all others.
  std::span<float> Append(int64_t label);

  // A view without the first rows, up to and with label `up_to`. Positions move down by the result's `dropped`.
  struct Shortened;
  Shortened WithoutFirst(int64_t up_to) const;

 private:
  struct Chunk;
  int dimensions_;
  uint32_t rows_per_chunk_;
  std::vector<std::shared_ptr<Chunk>> chunks_;  // All full but the last; position p lies in chunk p / rows_per_chunk_.
  uint32_t begin_ = 0, end_ = 0;
};

struct FreshRows::Shortened {
  FreshRows rows;
  uint32_t dropped;
};

}  // namespace tandem
