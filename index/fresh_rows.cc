#include "index/fresh_rows.h"

#include <algorithm>

namespace tandem {
namespace {

// About a megabyte a chunk: few allocations, and a small index pays for the pages that it touches only.
constexpr int64_t kChunkBytes = 1 << 20;

}  // namespace

struct FreshRows::Chunk {
  Chunk(uint32_t rows, int dimensions)
      : labels(new int64_t[rows]), vectors(new float[static_cast<size_t>(rows) * dimensions]) {}
  const std::unique_ptr<int64_t[]> labels;
  const std::unique_ptr<float[]> vectors;
};

FreshRows::FreshRows(int dimensions)
    : dimensions_(dimensions),
      rows_per_chunk_(std::clamp<int64_t>(kChunkBytes / (int64_t{dimensions} * sizeof(float)), 16, 4096)) {}

int64_t FreshRows::memory_bytes() const { return int64_t{end_} * (8 + 4 * int64_t{dimensions_}); }

int64_t FreshRows::label(uint32_t position) const {
  return chunks_[position / rows_per_chunk_]->labels[position % rows_per_chunk_];
}

std::span<const float> FreshRows::vector(uint32_t position) const {
  const Chunk& chunk = *chunks_[position / rows_per_chunk_];
  return {&chunk.vectors[static_cast<size_t>(position % rows_per_chunk_) * dimensions_],
          static_cast<size_t>(dimensions_)};
}

uint32_t FreshRows::PositionAfter(int64_t label_before) const {
  uint32_t low = begin_, high = end_;
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    if (label(middle) <= label_before) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

std::optional<uint32_t> FreshRows::PositionOf(int64_t wanted) const {
  const uint32_t after = PositionAfter(wanted);
  if (after == begin_ || label(after - 1) != wanted) return std::nullopt;
  return after - 1;
}

std::vector<RowRange> FreshRows::Ranges() const {
  std::vector<RowRange> ranges;
  for (uint32_t first = begin_; first < end_;) {
    const uint32_t row = first % rows_per_chunk_;
    const uint32_t count = std::min(rows_per_chunk_ - row, end_ - first);
    const Chunk& chunk = *chunks_[first / rows_per_chunk_];
    ranges.push_back({.vectors = &chunk.vectors[static_cast<size_t>(row) * dimensions_],
                      .labels = &chunk.labels[row],
                      .first_position = first,
                      .count = count});
    first += count;
  }
  return ranges;
}

std::span<float> FreshRows::Append(int64_t label) {
  if (end_ == chunks_.size() * rows_per_chunk_)
    chunks_.push_back(std::make_shared<Chunk>(rows_per_chunk_, dimensions_));
  Chunk& chunk = *chunks_[end_ / rows_per_chunk_];
  const uint32_t row = end_ % rows_per_chunk_;
  chunk.labels[row] = label;
  ++end_;
  return {&chunk.vectors[static_cast<size_t>(row) * dimensions_], static_cast<size_t>(dimensions_)};
}

FreshRows::Shortened FreshRows::WithoutFirst(int64_t up_to) const {
  FreshRows rest = *this;
  rest.begin_ = PositionAfter(up_to);
  const uint32_t whole_chunks = rest.begin_ / rows_per_chunk_;
  const uint32_t dropped = whole_chunks * rows_per_chunk_;
  rest.chunks_.erase(rest.chunks_.begin(), rest.chunks_.begin() + whole_chunks);
  rest.begin_ -= dropped;
  rest.end_ -= dropped;
  return {std::move(rest), dropped};
}

}  // namespace tandem
