// Filtered search against the most obvious means: every document is tested and scored. 10,000 random filters and
// queries, of which each is asked of an exact index and of HNSW, half of them at a commit that the collection has left.
#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "index/vector_index.h"
#include "server/base/files.h"
#include "server/base/strings.h"
#include "server/search/retrieval.h"
#include "tests/support/temporary_directory.h"

namespace tandem {
namespace {

constexpr int kDocuments = 12'000;
constexpr int kDimensions = 8;
constexpr int kCases = 10'000;
constexpr double kRecallFloor = 0.95;
constexpr int64_t kDay = int64_t{86'400} * 1'000'000;

struct Doc {
  std::string id;
  std::vector<std::string> tags;  // Field "about.tags".
  std::optional<int64_t> rank;
  std::optional<double> price;
  std::optional<bool> sold;
  std::optional<int64_t> day;  // Since 1970.
  std::vector<float> vector;

  std::string Payload() const {
    std::string json = "{\"other\":[1,{}],\"about\":{\"tags\":[";
    for (size_t i = 0; i < tags.size(); ++i) json += Concat(i > 0 ? "," : "", "\"", tags[i], "\"");
    json += "]}";
    if (rank) json += Concat(",\"rank\":", *rank);
    if (price) json += absl::StrFormat(",\"price\":%.17g", *price);
    if (sold) json += Concat(",\"sold\":", *sold ? "true" : "false");
    if (day)
      json +=
          Concat(",\"time\":\"",
                 absl::FormatTime(absl::RFC3339_full, absl::FromUnixMicros(*day * kDay), absl::UTCTimeZone()), "\"");
    return json + "}";
  }
};

// Whether a document has what a condition asks for.
bool Holds(const Filter& filter, const Doc& doc);

bool IsOne(const FilterValue& value, const std::string& field, const Doc& doc) {
  if (field == "about.tags") {
    return std::count(doc.tags.begin(), doc.tags.end(), std::get<std::string>(value)) > 0;
  }
  if (field == "rank") return doc.rank && *doc.rank == std::get<int64_t>(value);
  if (field == "sold") return doc.sold && *doc.sold == std::get<bool>(value);
  return doc.day && *doc.day * kDay == std::get<FilterTime>(value).micros;
}

bool HasAny(const std::string& field, const Doc& doc) {
  if (field == "about.tags") return !doc.tags.empty();
  if (field == "rank") return doc.rank.has_value();
  if (field == "price") return doc.price.has_value();
  if (field == "sold") return doc.sold.has_value();
  return doc.day.has_value();
}

bool Holds(const FieldCondition& condition, const Doc& doc) {
  if (const auto* equals = std::get_if<EqualsTest>(&condition.test)) return IsOne(equals->value, condition.field, doc);
  if (const auto* any = std::get_if<AnyOfTest>(&condition.test)) {
    return std::any_of(any->values.begin(), any->values.end(),
                       [&](const FilterValue& value) { return IsOne(value, condition.field, doc); });
  }
  if (const auto* range = std::get_if<NumberRangeTest>(&condition.test)) {
    if (!HasAny(condition.field, doc)) return false;
    const double value = condition.field == "rank" ? static_cast<double>(*doc.rank) : *doc.price;
    return !(range->greater_than && !(value > *range->greater_than)) &&
           !(range->at_least && !(value >= *range->at_least)) && !(range->less_than && !(value < *range->less_than)) &&
           !(range->at_most && !(value <= *range->at_most));
  }
  if (const auto* range = std::get_if<TimeRangeTest>(&condition.test)) {
    if (!doc.day) return false;
    const int64_t value = *doc.day * kDay;
    return !(range->after && !(value > *range->after)) && !(range->at_or_after && !(value >= *range->at_or_after)) &&
           !(range->before && !(value < *range->before)) && !(range->at_or_before && !(value <= *range->at_or_before));
  }
  return HasAny(condition.field, doc) == std::get<ExistsTest>(condition.test).exists;
}

bool Holds(const Condition& condition, const Doc& doc) {
  if (const auto* field = std::get_if<FieldCondition>(&condition.condition)) return Holds(*field, doc);
  if (const auto* ids = std::get_if<HasIdCondition>(&condition.condition)) {
    return std::count(ids->ids.begin(), ids->ids.end(), doc.id) > 0;
  }
  return Holds(std::get<Filter>(condition.condition), doc);
}

bool Holds(const Filter& filter, const Doc& doc) {
  const auto holds = [&](const Condition& condition) { return Holds(condition, doc); };
  return std::all_of(filter.must.begin(), filter.must.end(), holds) &&
         std::none_of(filter.must_not.begin(), filter.must_not.end(), holds) &&
         (filter.should.empty() || std::any_of(filter.should.begin(), filter.should.end(), holds));
}

class FilterOracleTest : public testing::Test {
 protected:
  int Below(int n) { return std::uniform_int_distribution<>(0, n - 1)(random_); }
  bool Chance(int percent) { return Below(100) < percent; }

  // Whole numbers, so that scores are exact in float and equal scores are frequent.
  std::vector<float> MakeVector() {
    std::vector<float> vector(kDimensions);
    for (float& value : vector) value = static_cast<float>(Below(15) - 7);
    return vector;
  }
  std::string MakeTag() { return Concat("t", Below(Chance(50) ? 5 : 500)); }
  Doc MakeDoc(int number) {
    Doc doc;
    doc.id = Concat("d", number);
    doc.vector = MakeVector();
    for (int i = Below(4); i > 0; --i) doc.tags.push_back(MakeTag());
    if (!Chance(10)) doc.rank = number * 2 - kDocuments;
    if (!Chance(10)) doc.price = (Below(20'001) - 10'000) / 64.0;
    if (!Chance(30)) doc.sold = Chance(50);
    if (!Chance(10)) doc.day = Below(4000);
    return doc;
  }

  void Write(const std::vector<Doc>& docs) {
    std::vector<DocumentInput> inputs;
    for (const Doc& doc : docs) inputs.push_back({doc.id, "text", doc.Payload()});
    int64_t label = store_->head();
    ASSERT_TRUE(store_->Upsert(inputs).ok());
    for (const Doc& doc : docs) {
      const auto old = labels_.find(doc.id);
      if (old != labels_.end()) live_.erase(old->second);
      live_[++label] = doc;
      labels_[doc.id] = label;
    }
  }
  void Delete(const std::vector<std::string>& ids) {
    ASSERT_TRUE(store_->Delete(ids).ok());
    for (const std::string& id : ids) live_.erase(labels_[id]);
  }
  // The index as it is now, from what it was after `since`.
  void Follow(VectorIndex* index, const std::map<int64_t, Doc>& before, int64_t since) {
    std::vector<int64_t> labels, removed;
    std::vector<float> vectors;
    for (const auto& [label, doc] : live_) {
      if (label <= since) continue;
      labels.push_back(label);
      vectors.insert(vectors.end(), doc.vector.begin(), doc.vector.end());
    }
    for (const auto& [label, doc] : before) {
      if (!live_.contains(label)) removed.push_back(label);
    }
    ASSERT_TRUE(index->Apply(store_->head(), labels, vectors, removed).ok());
  }

  FieldCondition MakeField() {
    switch (Below(7)) {
      case 0:
        return {"about.tags", EqualsTest{MakeTag()}};
      case 1: {
        AnyOfTest any;
        for (int i = 1 + Below(5); i > 0; --i) any.values.emplace_back(MakeTag());
        return {"about.tags", any};
      }
      case 2: {
        NumberRangeTest range;
        const double edge = (Below(24'000) - 12'000) / 64.0;
        (Chance(50) ? range.at_least : range.greater_than) = edge;
        if (Chance(50)) (Chance(50) ? range.at_most : range.less_than) = edge + Below(6000) / 64.0;
        return {"price", range};
      }
      case 3:
        return {"sold", EqualsTest{Chance(50)}};
      case 4: {
        TimeRangeTest range;
        const int64_t edge = Below(4000) * kDay;
        if (Chance(50)) {
          (Chance(50) ? range.after : range.at_or_after) = edge;
        } else {
          (Chance(50) ? range.before : range.at_or_before) = edge;
        }
        return {"time", range};
      }
      case 5: {
        static const char* const kFields[] = {"about.tags", "rank", "price", "sold", "time"};
        return {kFields[Below(5)], ExistsTest{Chance(70)}};
      }
      default:
        return MakeRank();
    }
  }
  // Widths from one document in 10,000 to all of them.
  FieldCondition MakeRank() {
    NumberRangeTest range;
    const double width = 2 * std::pow(10, std::uniform_real_distribution<>(0, 4.1)(random_));
    const double first = std::uniform_real_distribution<>(-kDocuments - width / 2, kDocuments)(random_);
    range.at_least = Chance(50) ? first : std::floor(first);
    range.less_than = first + width;
    return {"rank", range};
  }
  Condition MakeCondition(int depth) {
    if (depth < 3 && Chance(15)) return {MakeFilter(depth + 1)};
    if (Chance(10)) {
      HasIdCondition ids;
      for (int i = 1 + Below(40); i > 0; --i) ids.ids.push_back(Concat("d", Below(kDocuments + 50)));
      return {ids};
    }
    return {MakeField()};
  }
  Filter MakeFilter(int depth) {
    Filter filter;
    if (Chance(60)) filter.must.push_back({MakeRank()});
    if (Chance(30)) filter.must.push_back(MakeCondition(depth));
    if (Chance(25)) filter.must_not.push_back(MakeCondition(depth));
    if (Chance(25)) {
      for (int i = 1 + Below(3); i > 0; --i) filter.should.push_back(MakeCondition(depth));
    }
    return filter;
  }

  std::vector<FoundHit> Ask(const IndexSnapshot& snapshot, const SearchQuery& query, const std::vector<float>& vector) {
    const std::vector<int64_t> exclude;
    const auto hits = Retrieve({.snapshot = snapshot,
                                .metric = VectorMetric::kInnerProduct,
                                .documents = *store_,
                                .query = query,
                                .vector = vector,
                                .exclude = exclude,
                                .deadline = absl::InfiniteFuture()});
    EXPECT_TRUE(hits.ok()) << hits.status();
    return hits.value_or(std::vector<FoundHit>());
  }

  std::mt19937 random_{20261130};
  test::TemporaryDirectory data_;
  std::unique_ptr<DocumentStore> store_;
  std::map<int64_t, Doc> live_;  // By label.
  std::map<std::string, int64_t> labels_;
};

TEST_F(FilterOracleTest, TenThousandRandomFiltersFindWhatTestingEveryDocumentFinds) {
  store_ = DocumentStore::Open(data_.path() / "documents.db", {.fields = {{"about.tags", FieldType::kKeyword},
                                                                          {"rank", FieldType::kInteger},
                                                                          {"price", FieldType::kFloat},
                                                                          {"sold", FieldType::kBool},
                                                                          {"time", FieldType::kDatetime}}})
               .value();
  std::vector<Doc> docs;
  for (int i = 0; i < kDocuments; ++i) docs.push_back(MakeDoc(i));
  Write(docs);
  const VectorIndexOptions options{.dimensions = kDimensions, .metric = VectorMetric::kInnerProduct};
  VectorIndexOptions hnsw_options = options;
  hnsw_options.kind = VectorIndexKind::kHnsw;
  const auto exact = VectorIndex::Create(options).value();
  const auto hnsw = VectorIndex::Create(hnsw_options).value();
  for (VectorIndex* index : {exact.get(), hnsw.get()}) Follow(index, {}, 0);
  const auto sealed = data_.path() / "sealed";
  ASSERT_TRUE(CreateDirectories(sealed).ok());
  ASSERT_TRUE(VectorIndex::WriteSealed(*hnsw->snapshot(), hnsw_options, sealed, 2).ok());
  ASSERT_TRUE(hnsw->AdoptSealed(sealed).ok());

  // Half of the cases see the collection as it is now.
  const std::map<int64_t, Doc> before = live_;
  const auto exact_before = exact->snapshot();
  const auto hnsw_before = hnsw->snapshot();
  const int64_t since = store_->head();
  docs.clear();
  std::vector<std::string> gone;
  for (int i = 0; i < kDocuments; ++i) {
    if (Chance(10)) {
      docs.push_back(MakeDoc(i));
    } else if (Chance(5)) {
      gone.push_back(Concat("d", i));
    }
  }
  Write(docs);
  Delete(gone);
  for (VectorIndex* index : {exact.get(), hnsw.get()}) Follow(index, before, since);
  const auto exact_now = exact->snapshot();
  const auto hnsw_now = hnsw->snapshot();

  std::map<int, int> by_selectivity;  // Cases by the power of ten of the part that matched.
  int64_t wanted = 0, found = 0;
  for (int i = 0; i < kCases && !HasFailure(); ++i) {
    const bool now = Chance(50);
    const Filter filter = MakeFilter(1);
    const std::vector<float> vector = MakeVector();
    SearchQuery query{.query = VectorQuery{vector, "", ""}};
    query.filter = filter;
    query.top_k = 1 + Below(40);

    std::vector<ScoredLabel> expected;
    for (const auto& [label, doc] : now ? live_ : before) {
      if (!Holds(filter, doc)) continue;
      float score = 0;
      for (int d = 0; d < kDimensions; ++d) score += vector[d] * doc.vector[d];
      expected.push_back({label, score});
    }
    const size_t matches = expected.size();
    std::stable_sort(expected.begin(), expected.end(), [](const auto& a, const auto& b) { return a.score > b.score; });
    expected.resize(std::min<size_t>(expected.size(), query.top_k));
    ++by_selectivity[matches == 0 ? -99 : static_cast<int>(std::floor(std::log10(double(matches) / kDocuments)))];

    const std::vector<FoundHit> hits = Ask(now ? *exact_now : *exact_before, query, vector);
    ASSERT_EQ(hits.size(), expected.size()) << "case " << i;
    for (size_t j = 0; j < hits.size(); ++j) {
      ASSERT_EQ(hits[j].label, expected[j].label) << "case " << i << ", hit " << j;
      ASSERT_EQ(hits[j].score, expected[j].score) << "case " << i << ", hit " << j;
    }
    const std::map<int64_t, Doc>& shown = now ? live_ : before;
    std::set<int64_t> near;
    for (const FoundHit& hit : Ask(now ? *hnsw_now : *hnsw_before, query, vector)) {
      const auto doc = shown.find(hit.label);
      ASSERT_TRUE(doc != shown.end() && Holds(filter, doc->second)) << "case " << i << ", label " << hit.label;
      near.insert(hit.label);
    }
    ASSERT_EQ(near.size(), expected.size()) << "case " << i << ": hits are missing or come twice";
    wanted += std::ssize(expected);
    found += std::count_if(expected.begin(), expected.end(),
                           [&](const ScoredLabel& hit) { return near.contains(hit.label); });
  }
  for (const int power : {-99, -4, -3, -2, -1}) EXPECT_GE(by_selectivity[power], 100) << "10^" << power;
  const double recall = static_cast<double>(found) / static_cast<double>(wanted);
  EXPECT_GE(recall, kRecallFloor);
  RecordProperty("recall", absl::StrFormat("%.4f", recall));
}

}  // namespace
}  // namespace tandem
