#include <algorithm>
#include <cmath>
#include <utility>

#include "index/index_kinds.h"
#include "index/index_state.h"
#include "index/row_scan.h"
#include "index/vector_index.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

absl::Status CheckSearch(std::span<const float> query, const VectorSearch& search, const VectorIndexOptions& options) {
  if (search.k < 1) return absl::InvalidArgumentError(Concat("k ", search.k, ": must be at least 1"));
  RETURN_IF_ERROR(CheckParameters(search, options.kind));
  return CheckVectors(query, 1, options.dimensions);
}

// Offers all rows that may be found.
void ScanFindable(const ScoredQuery& query, const RowRange& rows, const Roaring& hidden, const Roaring64Map* only,
                  TopHits* top) {
  if (only == nullptr) {
    ScanRows(query, rows, hidden, top);
  } else {
    ScoreRows(query, rows, RowsWithLabels(rows, *only, hidden), top);
  }
}

// The sealed rows that are offered to `top`: those that the index finds, or all when it finds fewer than there may be
// (tombstones and filters can cut a graph), when that is no dearer and when it is asked for.
absl::Status SearchSealed(const IndexState& state, const ScoredQuery& query, const VectorSearch& search,
                          const Roaring& hidden, TopHits* top) {
  Findable findable{.rows = state.sealed->rows(),
                    .hidden = hidden,
                    .only = search.only,
                    .count = state.sealed_count() - static_cast<int64_t>(hidden.cardinality())};
  if (search.only != nullptr) {
    findable.count = std::min(findable.count, static_cast<int64_t>(search.only->cardinality()));
  }
  if (findable.count == 0) return absl::OkStatus();
  if (const RowFinder* const finder = state.sealed->finder(); finder != nullptr && !search.exact) {
    ASSIGN_OR_RETURN(const std::optional<std::vector<int64_t>> found, finder->Find(query.vector, search, findable));
    if (found.has_value() && static_cast<int64_t>(found->size()) >= std::min<int64_t>(search.k, findable.count)) {
      ScoreRows(query, findable.rows, *found, top);
      return absl::OkStatus();
    }
  }
  ScanFindable(query, findable.rows, hidden, search.only, top);
  return absl::OkStatus();
}

// Tombstones of one part and the excluded labels of a search.
Roaring WithExcluded(const IndexState& state, bool in_sealed, std::span<const int64_t> exclude) {
  Roaring hidden = in_sealed ? *state.sealed_hidden : *state.fresh_hidden;
  for (int64_t label : exclude) {
    const std::optional<IndexState::Place> place = state.Find(label);
    if (place.has_value() && place->in_sealed == in_sealed) hidden.add(place->position);
  }
  return hidden;
}

int64_t CommonLabels(const std::vector<ScoredLabel>& a, const std::vector<ScoredLabel>& b) {
  std::vector<int64_t> labels;
  for (const ScoredLabel& hit : a) labels.push_back(hit.label);
  std::sort(labels.begin(), labels.end());
  return std::count_if(b.begin(), b.end(), [&](const ScoredLabel& hit) {
    return std::binary_search(labels.begin(), labels.end(), hit.label);
  });
}

}  // namespace

std::optional<IndexState::Place> IndexState::Find(int64_t label) const {
  if (sealed != nullptr) {
    if (const std::optional<uint32_t> row = sealed->RowOf(label); row.has_value()) {
      if (sealed_hidden->contains(*row)) return std::nullopt;
      return Place{true, *row};
    }
  }
  const std::optional<uint32_t> position = fresh.PositionOf(label);
  if (!position.has_value() || fresh_hidden->contains(*position)) return std::nullopt;
  return Place{false, *position};
}

void IndexState::Hide(std::span<const int64_t> labels) {
  auto sealed_copy = std::make_shared<Roaring>(*sealed_hidden);
  auto fresh_copy = std::make_shared<Roaring>(*fresh_hidden);
  for (int64_t label : labels) {
    if (const std::optional<Place> place = Find(label); place.has_value()) {
      (place->in_sealed ? *sealed_copy : *fresh_copy).add(place->position);
    }
  }
  sealed_hidden = std::move(sealed_copy);
  fresh_hidden = std::move(fresh_copy);
}

void Normalize(std::span<float> vector) {
  double squares = 0;
  for (float value : vector) squares += double{value} * value;
  if (squares == 0) return;
  const double scale = 1 / std::sqrt(squares);
  for (float& value : vector) value = static_cast<float>(value * scale);
}

absl::Status CheckVectors(std::span<const float> vectors, size_t rows, int dimensions) {
  if (vectors.size() != rows * dimensions) {
    return absl::InvalidArgumentError(Concat(vectors.size(), " floats: must be ", rows, " x ", dimensions));
  }
  const auto odd = std::find_if_not(vectors.begin(), vectors.end(), [](float value) { return std::isfinite(value); });
  if (odd != vectors.end()) {
    const size_t at = odd - vectors.begin();
    return absl::InvalidArgumentError(
        Concat("vector ", at / dimensions, ", value ", at % dimensions, " is ", *odd, ": must be finite"));
  }
  return absl::OkStatus();
}

IndexSnapshot::IndexSnapshot(std::shared_ptr<const Rep> rep) : rep_(std::move(rep)) {}
IndexSnapshot::~IndexSnapshot() = default;

int64_t IndexSnapshot::commit() const { return rep_->state.commit; }
int64_t IndexSnapshot::size() const { return rep_->state.size(); }
int IndexSnapshot::dimensions() const { return rep_->state.options.dimensions; }
int64_t IndexSnapshot::fresh_count() const { return rep_->state.fresh.size(); }
int64_t IndexSnapshot::tombstone_count() const {
  return static_cast<int64_t>(rep_->state.sealed_hidden->cardinality() + rep_->state.fresh_hidden->cardinality());
}

int64_t IndexSnapshot::memory_bytes() const {
  const IndexState& state = rep_->state;
  return (state.sealed == nullptr ? 0 : state.sealed->memory_bytes()) + state.fresh.memory_bytes() +
         static_cast<int64_t>(state.sealed_hidden->getSizeInBytes() + state.fresh_hidden->getSizeInBytes());
}

absl::StatusOr<std::vector<ScoredLabel>> IndexSnapshot::Search(std::span<const float> query,
                                                               const VectorSearch& search) const {
  RETURN_IF_ERROR(CheckSearch(query, search, rep_->state.options));
  std::vector<float> prepared(query.begin(), query.end());
  if (rep_->state.options.metric == VectorMetric::kCosine) Normalize(prepared);

  std::optional<Roaring> sealed_hidden, fresh_hidden;
  if (!search.exclude.empty()) {
    sealed_hidden = WithExcluded(rep_->state, /*in_sealed=*/true, search.exclude);
    fresh_hidden = WithExcluded(rep_->state, /*in_sealed=*/false, search.exclude);
  }
  const ScoredQuery scored{.vector = prepared, .metric = rep_->state.options.metric};
  TopHits top(static_cast<size_t>(std::min<int64_t>(search.k, rep_->state.size())));
  if (rep_->state.sealed != nullptr) {
    RETURN_IF_ERROR(
        SearchSealed(rep_->state, scored, search, sealed_hidden ? *sealed_hidden : *rep_->state.sealed_hidden, &top));
  }
  for (const RowRange& range : rep_->state.fresh.Ranges()) {
    ScanFindable(scored, range, fresh_hidden ? *fresh_hidden : *rep_->state.fresh_hidden, search.only, &top);
  }
  std::vector<ScoredLabel> hits = top.TakeBestFirst();
  if (search.min_score.has_value()) {
    std::erase_if(hits, [&](const ScoredLabel& hit) { return hit.score < *search.min_score; });
  }
  return hits;
}

std::optional<std::span<const float>> IndexSnapshot::Vector(int64_t label) const {
  const std::optional<IndexState::Place> place = rep_->state.Find(label);
  if (!place.has_value()) return std::nullopt;
  return place->in_sealed ? rep_->state.sealed->vector(place->position) : rep_->state.fresh.vector(place->position);
}

absl::StatusOr<double> MeasureRecall(const IndexSnapshot& snapshot, std::span<const float> queries, int k) {
  const size_t dimensions = static_cast<size_t>(snapshot.dimensions());
  if (queries.empty() || queries.size() % dimensions != 0) {
    return absl::InvalidArgumentError(
        Concat(queries.size(), " floats: must be one or more queries of ", dimensions, " floats"));
  }
  if (snapshot.size() == 0) return 1.0;
  const size_t count = queries.size() / dimensions;
  double sum = 0;
  for (size_t i = 0; i < count; ++i) {
    const std::span<const float> query = queries.subspan(i * dimensions, dimensions);
    ASSIGN_OR_RETURN(const std::vector<ScoredLabel> found, snapshot.Search(query, {.k = k}));
    ASSIGN_OR_RETURN(const std::vector<ScoredLabel> exact, snapshot.Search(query, {.k = k, .exact = true}));
    sum += static_cast<double>(CommonLabels(found, exact)) / exact.size();
  }
  return sum / count;
}

}  // namespace tandem
