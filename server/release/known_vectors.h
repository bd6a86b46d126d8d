#pragma once
// The vectors of document versions that need no embedding, as far as they are in memory: a version with the text of the
// one before it has the vector that this index holds for that one, and any version has the one that another index of
// the same encoder holds for it. For one step of a follower; not thread-safe.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "index/vector_index.h"
#include "server/storage/records.h"

namespace tandem {

class KnownVectors {
 public:
  using Snapshots = std::vector<std::shared_ptr<const IndexSnapshot>>;

  KnownVectors(std::shared_ptr<const IndexSnapshot> own, Snapshots others);

  // Tells of the next version of the log after the state of the own index.
  void Add(const DocumentVersion& version);
  // The vector of the version of this commit, which was told of. Alive as long as this.
  std::optional<std::span<const float>> Find(int64_t commit) const;

 private:
  const std::shared_ptr<const IndexSnapshot> own_;
  const Snapshots others_;
  // Of versions whose text is not new: the label under which the own index may have its vector.
  std::unordered_map<int64_t, int64_t> labels_;
};

}  // namespace tandem
