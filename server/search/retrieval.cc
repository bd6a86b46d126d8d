#include "server/search/retrieval.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include <roaring/roaring64map.hh>

#include "absl/time/clock.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/search/diversity.h"

namespace tandem {
namespace {

constexpr size_t kCandidates = 100;  // Of each half, and of diversity.

// Of two stored vectors, as a search for one would score the other.
float Similarity(VectorMetric metric, std::span<const float> a, std::span<const float> b) {
  switch (metric) {
    case VectorMetric::kCosine:
    case VectorMetric::kInnerProduct:
      return std::inner_product(a.begin(), a.end(), b.begin(), 0.0f);
    case VectorMetric::kEuclidean: {
      const auto squared = [](float x, float y) { return (x - y) * (x - y); };
      return -std::sqrt(std::inner_product(a.begin(), a.end(), b.begin(), 0.0f, std::plus<>(), squared));
    }
  }
  return 0;
}

float Cosine(std::span<const float> a, std::span<const float> b) {
  const float lengths = std::sqrt(std::inner_product(a.begin(), a.end(), a.begin(), 0.0f) *
                                  std::inner_product(b.begin(), b.end(), b.begin(), 0.0f));
  return lengths == 0 ? 0 : std::inner_product(a.begin(), a.end(), b.begin(), 0.0f) / lengths;
}

std::optional<int> PlaceOf(const DocumentStoreOptions& collection, const std::string& field) {
  for (size_t i = 0; i < collection.fields.size(); ++i) {
    if (collection.fields[i].name == field) return static_cast<int>(i);
  }
  return std::nullopt;
}

// One query's search: what Retrieval has, and the labels that its filter leaves.
class Search {
 public:
  explicit Search(const Retrieval& retrieval) : at_(retrieval), query_(retrieval.query) {}

  absl::StatusOr<std::vector<FoundHit>> Run();

 private:
  absl::StatusOr<std::vector<FoundHit>> Ranked(size_t k);
  absl::StatusOr<std::vector<FoundHit>> Vectors(size_t k);
  absl::StatusOr<DocumentStore::KeywordHits> Words(size_t k);
  absl::StatusOr<std::vector<FoundHit>> Hybrid(size_t k);
  absl::StatusOr<std::vector<FoundHit>> Diverse(size_t k);
  absl::StatusOr<std::vector<FoundHit>> Grouped(size_t k);
  absl::Status ReadGroups(const std::vector<FoundHit>& hits, int place);

  const Retrieval& at_;
  const SearchQuery& query_;
  std::optional<Roaring64Map> only_;
  std::unordered_map<int64_t, std::string> groups_;  // First value of the field by label; empty when there is none.
};

absl::StatusOr<std::vector<FoundHit>> Search::Run() {
  if (query_.filter) {
    ASSIGN_OR_RETURN(only_, at_.documents.Match(*query_.filter, at_.snapshot.commit()));
  }
  const size_t wanted = static_cast<size_t>(query_.offset) + static_cast<size_t>(query_.top_k);
  ASSIGN_OR_RETURN(std::vector<FoundHit> hits, query_.group_by ? Grouped(wanted) : Ranked(wanted));
  hits.erase(hits.begin(), hits.begin() + std::min<ptrdiff_t>(query_.offset, std::ssize(hits)));
  return hits;
}

// The best k, in their order.
absl::StatusOr<std::vector<FoundHit>> Search::Ranked(size_t k) {
  std::vector<FoundHit> hits;
  switch (query_.mode) {
    case SearchMode::kVector:
      if (query_.diversity) return Diverse(k);
      return Vectors(k);
    case SearchMode::kKeyword: {
      ASSIGN_OR_RETURN(const DocumentStore::KeywordHits words, Words(k));
      for (const DocumentStore::KeywordHit& hit : words.hits) {
        hits.push_back({.label = hit.commit, .score = static_cast<float>(hit.score)});
      }
      break;
    }
    case SearchMode::kHybrid: {
      ASSIGN_OR_RETURN(hits, Hybrid(k));
      break;
    }
  }
  if (query_.min_score) std::erase_if(hits, [&](const FoundHit& hit) { return hit.score < *query_.min_score; });
  return hits;
}

absl::StatusOr<std::vector<FoundHit>> Search::Vectors(size_t k) {
  const VectorSearch search{.k = static_cast<int>(k),
                            .min_score = query_.mode == SearchMode::kVector ? query_.min_score : std::nullopt,
                            .ef_search = query_.ef_search,
                            .nprobe = query_.nprobe,
                            .rerank_factor = query_.rerank_factor,
                            .exact = query_.exact,
                            .exclude = at_.exclude,
                            .only = only_ ? &*only_ : nullptr};
  ASSIGN_OR_RETURN(const std::vector<ScoredLabel> found, at_.snapshot.Search(at_.vector, search));
  std::vector<FoundHit> hits;
  for (const ScoredLabel& hit : found) hits.push_back({.label = hit.label, .score = hit.score});
  return hits;
}

absl::StatusOr<DocumentStore::KeywordHits> Search::Words(size_t k) {
  const auto shown = [&](int64_t label) {
    return (!only_ || only_->contains(static_cast<uint64_t>(label))) && at_.snapshot.Vector(label).has_value();
  };
  return at_.documents.SearchWords(std::get<TextQuery>(query_.query).text, k, shown, at_.deadline);
}

absl::StatusOr<std::vector<FoundHit>> Search::Hybrid(size_t k) {
  const size_t candidates = std::max(k, static_cast<size_t>(query_.hybrid.candidates.value_or(kCandidates)));
  ASSIGN_OR_RETURN(const std::vector<FoundHit> near, Vectors(candidates));
  ASSIGN_OR_RETURN(const DocumentStore::KeywordHits words, Words(candidates));
  std::vector<ScoredLabel> vectors;
  std::vector<float> cosines;
  for (const FoundHit& hit : near) {
    vectors.push_back({hit.label, hit.score});
    cosines.push_back(at_.metric == VectorMetric::kCosine ? hit.score
                                                          : Cosine(at_.vector, at_.snapshot.Vector(hit.label).value()));
  }
  std::vector<FoundHit> hits = Fuse(vectors, cosines, words, query_.hybrid.fusion);
  if (hits.size() > k) hits.resize(k);
  return hits;
}

absl::StatusOr<std::vector<FoundHit>> Search::Diverse(size_t k) {
  const size_t count = std::max(k, static_cast<size_t>(query_.diversity->candidates.value_or(kCandidates)));
  ASSIGN_OR_RETURN(const std::vector<FoundHit> candidates, Vectors(count));
  std::vector<std::span<const float>> vectors;
  for (const FoundHit& hit : candidates) vectors.push_back(at_.snapshot.Vector(hit.label).value());
  std::vector<FoundHit> taken = TakeDiverse(
      candidates, k, query_.diversity->lambda,
      [&](size_t a, size_t b) { return Similarity(at_.metric, vectors[a], vectors[b]); }, at_.deadline);
  if (absl::Now() < at_.deadline) return taken;
  return absl::DeadlineExceededError("search: the deadline passed while hits were made diverse");
}

absl::Status Search::ReadGroups(const std::vector<FoundHit>& hits, int place) {
  std::vector<int64_t> labels;
  for (const FoundHit& hit : hits) {
    if (!groups_.contains(hit.label)) labels.push_back(hit.label);
  }
  ASSIGN_OR_RETURN(std::vector<std::string> values, at_.documents.FirstValues(labels, place));
  for (size_t i = 0; i < labels.size(); ++i) groups_[labels[i]] = std::move(values[i]);
  return absl::OkStatus();
}

// Asks for more and more hits until enough are left when each group has given its share.
absl::StatusOr<std::vector<FoundHit>> Search::Grouped(size_t wanted) {
  const int place = *PlaceOf(at_.documents.options(), query_.group_by->field);
  for (size_t k = std::max<size_t>(100, wanted * 2);; k *= 4) {
    if (absl::Now() >= at_.deadline) return absl::DeadlineExceededError("search: the deadline passed while grouping");
    const size_t all = static_cast<size_t>(std::max<int64_t>(1, at_.snapshot.size()));
    ASSIGN_OR_RETURN(const std::vector<FoundHit> hits, Ranked(std::min(k, all)));
    RETURN_IF_ERROR(ReadGroups(hits, place));
    std::vector<FoundHit> left;
    std::unordered_map<std::string, int> taken;
    for (const FoundHit& hit : hits) {
      if (left.size() == wanted) break;
      const std::string& group = groups_[hit.label];
      if (group.empty() || ++taken[group] <= query_.group_by->size) left.push_back(hit);
    }
    // A list shorter than it was asked to be is all that there is: also of hits above min_score.
    if (left.size() == wanted || k >= all || hits.size() < k) return left;
  }
}

}  // namespace

absl::Status CheckAskable(const DocumentStoreOptions& collection, const SearchQuery& query) {
  if (query.filter) RETURN_IF_ERROR(CheckFilter(collection.fields, *query.filter, "filter"));
  if (query.group_by && !PlaceOf(collection, query.group_by->field)) {
    return InvalidField("group_by.field",
                        Concat("\"", query.group_by->field, "\": the collection declares no such filterable field"));
  }
  if (query.mode == SearchMode::kVector || collection.keyword_index) return absl::OkStatus();
  return absl::FailedPreconditionError(
      Concat(query.mode == SearchMode::kKeyword ? "by_keyword" : "hybrid", ": the collection has no keyword index"));
}

absl::StatusOr<std::vector<FoundHit>> Retrieve(const Retrieval& retrieval) { return Search(retrieval).Run(); }

}  // namespace tandem
