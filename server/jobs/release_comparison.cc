#include "server/jobs/release_comparison.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "server/base/object_reader.h"
#include "server/base/query_changes.h"
#include "server/base/status.h"

namespace tandem {
namespace {

using nlohmann::json;

constexpr int kMetricHits = 10;

using Hits = std::span<const RetrievedDocument>;

// Of `hits`, those that are not among `others`.
std::vector<std::string> OnlyIn(Hits hits, Hits others) {
  std::unordered_set<std::string_view> there;
  for (const RetrievedDocument& other : others) there.insert(other.id);
  std::vector<std::string> only;
  for (const RetrievedDocument& hit : hits) {
    if (!there.contains(hit.id)) only.push_back(hit.id);
  }
  return only;
}

// Two that find nothing agree.
double Overlap(size_t first, size_t second, size_t only_first) {
  if (first == 0) return second == 0 ? 1 : 0;
  return static_cast<double>(first - only_first) / static_cast<double>(first);
}

PairedDifference Difference(const std::vector<QueryMetrics>& first, const std::vector<QueryMetrics>& second,
                            double QueryMetrics::*metric) {
  std::vector<double> a, b;
  for (const QueryMetrics& query : second) a.push_back(query.*metric);
  for (const QueryMetrics& query : first) b.push_back(query.*metric);
  return PairedBootstrap(a, b);
}

json ToJson(const ReleaseComparison::Side& side) {
  json out = {{"release", side.release}, {"commit", side.commit}};
  if (!side.metrics) return out;
  out["metrics"] = {side.metrics->ndcg_at_10, side.metrics->recall_at_10, side.metrics->mrr_at_10,
                    side.metrics->recall_at_1};
  return out;
}

absl::Status FromJson(const json* from, int queries, ReleaseComparison::Side* side) {
  if (from == nullptr) return absl::InvalidArgumentError("comparison of releases: a side is missing");
  std::optional<std::array<double, 4>> metrics;
  ObjectReader reader("side of a comparison", *from);
  reader.Read("release", side->release);
  reader.Read("commit", side->commit);
  reader.Read("metrics", metrics);
  if (metrics) {
    side->metrics = RetrievalMetrics{.ndcg_at_10 = (*metrics)[0],
                                     .recall_at_10 = (*metrics)[1],
                                     .mrr_at_10 = (*metrics)[2],
                                     .recall_at_1 = (*metrics)[3],
                                     .queries = queries,
                                     .map = std::nullopt};
  }
  return reader.Finish();
}

json ToJson(const ReleaseComparison::Query& query) {
  json out = {{"text", query.text},
              {"overlap", query.overlap},
              {"only_first", query.only_first},
              {"only_second", query.only_second}};
  if (query.first_ndcg) out["first_ndcg"] = *query.first_ndcg;
  if (query.second_ndcg) out["second_ndcg"] = *query.second_ndcg;
  return out;
}

absl::StatusOr<ReleaseComparison::Query> QueryFromJson(const json& from) {
  ReleaseComparison::Query query;
  ObjectReader reader("query of a comparison", from);
  reader.Read("text", query.text);
  reader.Read("overlap", query.overlap);
  reader.Read("first_ndcg", query.first_ndcg);
  reader.Read("second_ndcg", query.second_ndcg);
  reader.Read("only_first", query.only_first);
  reader.Read("only_second", query.only_second);
  RETURN_IF_ERROR(reader.Finish());
  return query;
}

void AddDifference(const char* key, const std::optional<PairedDifference>& difference, json* out) {
  if (difference) (*out)[key] = {difference->mean, difference->lower, difference->upper};
}

void ReadDifference(const char* key, ObjectReader& reader, std::optional<PairedDifference>* difference) {
  std::optional<std::array<double, 3>> values;
  reader.Read(key, values);
  if (values) *difference = PairedDifference{(*values)[0], (*values)[1], (*values)[2]};
}

}  // namespace

json ToJson(const ReleaseComparison& comparison) {
  json out = {{"first", ToJson(comparison.first)},       {"second", ToJson(comparison.second)},
              {"queries", comparison.queries},           {"top_k", comparison.top_k},
              {"overlap_at_k", comparison.overlap_at_k}, {"changed", json::array()}};
  AddDifference("ndcg", comparison.ndcg, &out);
  AddDifference("recall", comparison.recall, &out);
  AddDifference("mrr", comparison.mrr, &out);
  for (const ReleaseComparison::Query& query : comparison.changed) out["changed"].push_back(ToJson(query));
  return out;
}

absl::StatusOr<ReleaseComparison> ReleaseComparisonFromJson(const json& from) {
  ReleaseComparison comparison;
  ObjectReader reader("comparison of releases", from);
  reader.Read("queries", comparison.queries);
  reader.Read("top_k", comparison.top_k);
  reader.Read("overlap_at_k", comparison.overlap_at_k);
  ReadDifference("ndcg", reader, &comparison.ndcg);
  ReadDifference("recall", reader, &comparison.recall);
  ReadDifference("mrr", reader, &comparison.mrr);
  const json* const first = reader.Find("first");
  const json* const second = reader.Find("second");
  const json* const changed = reader.Find("changed");
  RETURN_IF_ERROR(reader.Finish());
  RETURN_IF_ERROR(FromJson(first, comparison.queries, &comparison.first));
  RETURN_IF_ERROR(FromJson(second, comparison.queries, &comparison.second));
  if (changed == nullptr || !changed->is_array()) {
    return absl::InvalidArgumentError("comparison of releases: no list \"changed\"");
  }
  for (const json& query : *changed) {
    ASSIGN_OR_RETURN(comparison.changed.emplace_back(), QueryFromJson(query));
  }
  return comparison;
}

int ReleaseComparer::hits() const { return judged_ ? std::max(top_k_, kMetricHits) : top_k_; }

void ReleaseComparer::Add(const EvaluationQuery& query, Hits first, Hits second) {
  const auto top = [this](Hits hits) { return hits.first(std::min(hits.size(), static_cast<size_t>(top_k_))); };
  Changed changed;
  changed.query.text = CutText(query.text, kMostQueryChangeBytes);
  changed.query.only_first = OnlyIn(top(first), top(second));
  changed.query.only_second = OnlyIn(top(second), top(first));
  changed.query.overlap = Overlap(top(first).size(), top(second).size(), changed.query.only_first.size());
  changed.size = 1 - changed.query.overlap;
  ++queries_;
  overlaps_ += changed.query.overlap;
  if (judged_) Judged(query, first, second, &changed);
  if (changed.size <= 0) return;
  for (std::vector<std::string>* const only : {&changed.query.only_first, &changed.query.only_second}) {
    if (only->size() > kMostDifferentDocuments) only->resize(kMostDifferentDocuments);
  }
  changed_.push_back(std::move(changed));
  if (changed_.size() >= 2 * kMostChangedQueries) KeepMostChanged();
}

void ReleaseComparer::Judged(const EvaluationQuery& query, Hits first, Hits second, Changed* changed) {
  first_.push_back(Judge(query, first));
  second_.push_back(Judge(query, second));
  changed->query.first_ndcg = first_.back().ndcg_at_10;
  changed->query.second_ndcg = second_.back().ndcg_at_10;
  changed->size = std::abs(second_.back().ndcg_at_10 - first_.back().ndcg_at_10);
}

void ReleaseComparer::KeepMostChanged() {
  std::stable_sort(changed_.begin(), changed_.end(),
                   [](const Changed& a, const Changed& b) { return a.size > b.size; });
  if (changed_.size() > kMostChangedQueries) changed_.resize(kMostChangedQueries);
}

ReleaseComparison ReleaseComparer::Finish() {
  ReleaseComparison comparison;
  comparison.queries = queries_;
  comparison.top_k = top_k_;
  if (queries_ > 0) comparison.overlap_at_k = overlaps_ / queries_;
  KeepMostChanged();
  for (Changed& changed : changed_) comparison.changed.push_back(std::move(changed.query));
  if (!judged_ || queries_ == 0) return comparison;
  comparison.first.metrics = Average(first_);
  comparison.second.metrics = Average(second_);
  comparison.ndcg = Difference(first_, second_, &QueryMetrics::ndcg_at_10);
  comparison.recall = Difference(first_, second_, &QueryMetrics::recall_at_10);
  comparison.mrr = Difference(first_, second_, &QueryMetrics::mrr_at_10);
  return comparison;
}

}  // namespace tandem
