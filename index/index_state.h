#pragma once
// What a snapshot shows, and the one place that knows how sealed part, fresh part and tombstones make one index.
// Immutable once published; a VectorIndex makes the next state from a copy.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <roaring/roaring.hh>

#include "index/fresh_rows.h"
#include "index/sealed_segment.h"
#include "index/vector_index.h"

namespace tandem {

struct IndexState {
  explicit IndexState(const VectorIndexOptions& options) : options(options), fresh(options.dimensions) {}

  VectorIndexOptions options;
  int64_t commit = 0;
  std::shared_ptr<const SealedSegment> sealed;  // nullptr before the first seal.
  FreshRows fresh;
  // Tombstones: positions in the sealed and in the fresh part. Never nullptr; copied before they change.
  std::shared_ptr<const Roaring> sealed_hidden = std::make_shared<Roaring>();
  std::shared_ptr<const Roaring> fresh_hidden = std::make_shared<Roaring>();

  uint32_t sealed_count() const { return sealed == nullptr ? 0 : sealed->count(); }
  uint32_t live_sealed() const { return sealed_count() - static_cast<uint32_t>(sealed_hidden->cardinality()); }
  uint32_t live_fresh() const { return fresh.size() - static_cast<uint32_t>(fresh_hidden->cardinality()); }
  int64_t size() const { return int64_t{live_sealed()} + live_fresh(); }

  // Where a label's row lies; nullopt when there is none or it is hidden.
  struct Place {
    bool in_sealed;
    uint32_t position;
  };
  std::optional<Place> Find(int64_t label) const;

  // Hides the rows of these labels; the others are passed over.
  void Hide(std::span<const int64_t> labels);
};

struct IndexSnapshot::Rep {
  IndexState state;
};

// Brings a vector to length 1; a zero vector stays.
void Normalize(std::span<float> vector);

// OK when `vectors` is `rows` vectors of `dimensions` finite floats.
absl::Status CheckVectors(std::span<const float> vectors, size_t rows, int dimensions);

}  // namespace tandem
