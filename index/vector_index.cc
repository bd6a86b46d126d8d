#include "index/vector_index.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "index/index_state.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

absl::Status CheckLabels(std::span<const int64_t> labels, int64_t last_commit, int64_t commit) {
  if (commit < last_commit) {
    return absl::InvalidArgumentError(Concat("commit ", commit, ": must be at least the last one, ", last_commit));
  }
  int64_t before = last_commit;
  for (int64_t label : labels) {
    if (label <= before || label > commit) {
      return absl::InvalidArgumentError(
          Concat("label ", label, ": must be above ", before, " and at most commit ", commit));
    }
    before = label;
  }
  return absl::OkStatus();
}

absl::Status CheckSameIndex(const VectorIndexOptions& own, const VectorIndexOptions& other) {
  if (own.dimensions == other.dimensions && own.metric == other.metric && own.kind == other.kind) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError("the sealed directory has another dimension, metric or kind than the index");
}

// Rows of `sealed` that `state` no longer shows: their documents were replaced or deleted since that snapshot.
Roaring HiddenSince(const IndexState& state, const SealedSegment& sealed) {
  Roaring hidden;
  const auto hide = [&](int64_t label) {
    if (const std::optional<uint32_t> row = sealed.RowOf(label); row.has_value()) hidden.add(*row);
  };
  for (uint32_t row : *state.sealed_hidden) hide(state.sealed->rows().labels[row]);
  for (uint32_t position : *state.fresh_hidden) hide(state.fresh.label(position));
  return hidden;
}

Roaring HiddenAfter(const FreshRows::Shortened& shortened, const Roaring& hidden) {
  Roaring rest;
  for (uint32_t position : hidden) {
    if (position >= shortened.dropped + shortened.rows.begin()) rest.add(position - shortened.dropped);
  }
  return rest;
}

}  // namespace

struct VectorIndex::Rep {
  using Snapshot = IndexSnapshot::Rep;

  explicit Rep(IndexState first)
      : options(first.options), current(std::make_shared<const Snapshot>(Snapshot{std::move(first)})) {}

  std::shared_ptr<const Snapshot> Current() const {
    absl::MutexLock lock(&mutex);
    return current;
  }
  void Publish(IndexState next) {
    auto published = std::make_shared<const Snapshot>(Snapshot{std::move(next)});
    absl::MutexLock lock(&mutex);
    current.swap(published);  // Declared first, so the old state is released after the lock.
  }

  const VectorIndexOptions options;
  mutable absl::Mutex mutex;  // Held for a pointer copy only.
  std::shared_ptr<const Snapshot> current ABSL_GUARDED_BY(mutex);
};

VectorIndex::VectorIndex(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
VectorIndex::~VectorIndex() = default;

absl::StatusOr<std::unique_ptr<VectorIndex>> VectorIndex::Create(const VectorIndexOptions& options) {
  RETURN_IF_ERROR(options.Validate());
  return std::unique_ptr<VectorIndex>(new VectorIndex(std::make_unique<Rep>(IndexState(options))));
}

absl::StatusOr<std::unique_ptr<VectorIndex>> VectorIndex::Open(const std::filesystem::path& sealed_directory) {
  ASSIGN_OR_RETURN(std::shared_ptr<const SealedSegment> sealed, SealedSegment::Open(sealed_directory));
  IndexState state(sealed->options());
  state.commit = sealed->commit();
  state.sealed = std::move(sealed);
  return std::unique_ptr<VectorIndex>(new VectorIndex(std::make_unique<Rep>(std::move(state))));
}

const VectorIndexOptions& VectorIndex::options() const { return rep_->options; }

std::shared_ptr<const IndexSnapshot> VectorIndex::snapshot() const {
  return std::shared_ptr<const IndexSnapshot>(new IndexSnapshot(rep_->Current()));
}

absl::Status VectorIndex::Apply(int64_t commit, std::span<const int64_t> labels, std::span<const float> vectors,
                                std::span<const int64_t> removed) {
  const std::shared_ptr<const IndexSnapshot::Rep> snapshot = rep_->Current();
  const IndexState& current = snapshot->state;
  const size_t dimensions = static_cast<size_t>(rep_->options.dimensions);
  RETURN_IF_ERROR(CheckLabels(labels, current.commit, commit));
  RETURN_IF_ERROR(CheckVectors(vectors, labels.size(), rep_->options.dimensions));
  const int64_t rows = int64_t{current.sealed_count()} + current.fresh.size() + static_cast<int64_t>(labels.size());
  if (rows > std::numeric_limits<int32_t>::max()) {
    return absl::ResourceExhaustedError("index: more than 2,147,483,647 vectors");
  }
  IndexState next = current;
  for (size_t i = 0; i < labels.size(); ++i) {
    const std::span<float> row = next.fresh.Append(labels[i]);
    std::copy_n(&vectors[i * dimensions], dimensions, row.begin());
    if (rep_->options.metric == VectorMetric::kCosine) Normalize(row);
  }
  if (!removed.empty()) next.Hide(removed);
  next.commit = commit;
  rep_->Publish(std::move(next));
  return absl::OkStatus();
}

absl::Status VectorIndex::AdoptSealed(const std::filesystem::path& directory) {
  ASSIGN_OR_RETURN(std::shared_ptr<const SealedSegment> sealed, SealedSegment::Open(directory));
  RETURN_IF_ERROR(CheckSameIndex(rep_->options, sealed->options()));
  const std::shared_ptr<const IndexSnapshot::Rep> snapshot = rep_->Current();
  const IndexState& current = snapshot->state;
  const int64_t lowest = current.sealed == nullptr ? 0 : current.sealed->commit();
  if (sealed->commit() < lowest || sealed->commit() > current.commit) {
    return absl::FailedPreconditionError(Concat("commit ", sealed->commit(), " of ", directory.string(),
                                                ": must be in [", lowest, ", ", current.commit, "]"));
  }
  IndexState next = current;
  FreshRows::Shortened shortened = current.fresh.WithoutFirst(sealed->commit());
  next.fresh_hidden = std::make_shared<Roaring>(HiddenAfter(shortened, *current.fresh_hidden));
  next.fresh = std::move(shortened.rows);
  next.sealed_hidden = std::make_shared<Roaring>(HiddenSince(current, *sealed));
  next.sealed = std::move(sealed);
  if (next.size() != current.size()) {
    return absl::FailedPreconditionError(Concat(directory.string(), ": would change the number of vectors from ",
                                                current.size(), " to ", next.size(),
                                                ": it was not made of this index"));
  }
  rep_->Publish(std::move(next));
  return absl::OkStatus();
}

}  // namespace tandem
