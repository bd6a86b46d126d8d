#include "server/release/known_vectors.h"

#include <utility>

namespace tandem {

KnownVectors::KnownVectors(std::shared_ptr<const IndexSnapshot> own, Snapshots others)
    : own_(std::move(own)), others_(std::move(others)) {}

// Between two of the same text there may be more of them that the index never sees, being superseded at once.
void KnownVectors::Add(const DocumentVersion& version) {
  if (!version.same_text) return;
  const auto before = labels_.find(version.previous);
  labels_[version.commit] = before == labels_.end() ? version.previous : before->second;
}

std::optional<std::span<const float>> KnownVectors::Find(int64_t commit) const {
  if (const auto label = labels_.find(commit); label != labels_.end()) {
    if (const auto vector = own_->Vector(label->second)) return vector;
  }
  for (const std::shared_ptr<const IndexSnapshot>& other : others_) {
    if (const auto vector = other->Vector(commit)) return vector;
  }
  return std::nullopt;
}

}  // namespace tandem
