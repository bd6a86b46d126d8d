#include "index/vector_index.h"

#include <algorithm>
#include <climits>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <set>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "index/index_kinds.h"
#include "tests/index/index_oracle.h"

namespace tandem {
namespace {

constexpr int kDimensions = 5;

VectorIndexOptions Options(VectorIndexKind kind, VectorMetric metric = VectorMetric::kInnerProduct) {
  return {.dimensions = kDimensions, .metric = metric, .kind = kind};
}

// Random adds, removals, seals and adoptions; after each step every kind of search equals the oracle's. Seals are
// written from one snapshot and adopted some steps later, as the server does.
class OracleTest : public testing::TestWithParam<std::tuple<VectorIndexKind, VectorMetric, int>> {
 protected:
  void SetUp() override { index_ = *VectorIndex::Create(Options(std::get<0>(GetParam()), std::get<1>(GetParam()))); }

  void Apply() {
    std::vector<int64_t> labels, removed;
    std::vector<float> vectors;
    const int count = std::uniform_int_distribution<>(0, 40)(random_);
    for (int i = 0; i < count; ++i) {
      commit_ += std::uniform_int_distribution<>(1, 3)(random_);
      const std::vector<float> vector = oracle_.RandomVector(&random_);
      labels.push_back(commit_);
      vectors.insert(vectors.end(), vector.begin(), vector.end());
      oracle_.Add(commit_, vector);
    }
    for (int i = std::uniform_int_distribution<>(0, 20)(random_); i > 0 && commit_ > 0; --i) {
      removed.push_back(std::uniform_int_distribution<int64_t>(0, commit_)(random_));
      oracle_.Remove(removed.back());
    }
    ASSERT_TRUE(index_->Apply(commit_, labels, vectors, removed).ok());
  }

  void Seal() {
    sealed_ = scratch_.Fresh();
    const absl::Status status = VectorIndex::WriteSealed(*index_->snapshot(), index_->options(), *sealed_, 1);
    ASSERT_TRUE(status.ok()) << status;
  }

  void Adopt() {
    if (!sealed_.has_value()) return;
    const absl::Status status = index_->AdoptSealed(*sealed_);
    ASSERT_TRUE(status.ok()) << status;
    sealed_.reset();
  }

  void Compare() {
    const auto snapshot = index_->snapshot();
    EXPECT_EQ(snapshot->commit(), commit_);
    ASSERT_EQ(snapshot->size(), static_cast<int64_t>(oracle_.vectors().size()));
    VectorSearch search{.k = std::uniform_int_distribution<>(1, 300)(random_), .exact = true};
    if (random_() % 3 == 0) search.min_score = std::get<1>(GetParam()) == VectorMetric::kEuclidean ? -4 : 2;
    for (int i = random_() % 8; i > 0; --i) search.exclude.push_back(random_() % (commit_ + 1));
    // Labels that are there, that were, that never were and that lie beyond all.
    Roaring64Map only;
    if (random_() % 2 == 0) {
      const double share = std::pow(10.0, -3 * std::uniform_real_distribution<>()(random_));
      for (int64_t label = 0; label < commit_ + 5; ++label) {
        if (std::uniform_real_distribution<>()(random_) < share) only.add(static_cast<uint64_t>(label));
      }
      search.only = &only;
    }
    const std::vector<float> query = oracle_.RandomVector(&random_);
    const auto hits = snapshot->Search(query, search);
    ASSERT_TRUE(hits.ok()) << hits.status();
    const std::vector<ScoredLabel> expected_hits = oracle_.Search(query, search);
    ASSERT_EQ(*hits, expected_hits);
    CompareApproximate(query, search, expected_hits.size());
    const int64_t label = random_() % (commit_ + 1);
    const auto vector = snapshot->Vector(label);
    const auto expected = oracle_.vectors().find(label);
    ASSERT_EQ(vector.has_value(), expected != oracle_.vectors().end());
    if (vector.has_value()) {
      EXPECT_TRUE(std::ranges::equal(*vector, expected->second));
    }
  }

  // What the kind finds by itself: as many hits, all of them right, whatever is filtered.
  void CompareApproximate(const std::vector<float>& query, VectorSearch search, size_t expected_count) {
    if (search.min_score.has_value()) return;
    search.exact = false;
    const auto hits = index_->snapshot()->Search(query, search);
    ASSERT_TRUE(hits.ok()) << hits.status();
    ASSERT_EQ(hits->size(), expected_count);
    search.k = INT_MAX;
    const std::vector<ScoredLabel> all = oracle_.Search(query, search);
    const std::set<std::pair<int64_t, float>> possible = [&] {
      std::set<std::pair<int64_t, float>> pairs;
      for (const ScoredLabel& hit : all) pairs.emplace(hit.label, hit.score);
      return pairs;
    }();
    for (const ScoredLabel& hit : *hits) ASSERT_TRUE(possible.contains({hit.label, hit.score})) << hit.label;
  }

  std::mt19937 random_{static_cast<uint32_t>(std::get<2>(GetParam()))};
  IndexOracle oracle_{kDimensions, std::get<1>(GetParam())};
  ScratchDirectory scratch_;
  std::unique_ptr<VectorIndex> index_;
  std::optional<std::filesystem::path> sealed_;
  int64_t commit_ = 0;
};

TEST_P(OracleTest, EveryExactSearchEqualsTheOracleAndEveryOtherFindsAsMuch) {
  for (int step = 0; step < 200; ++step) {
    const int action = random_() % 10;
    if (action == 0 && !sealed_.has_value())
      Seal();
    else if (action == 1)
      Adopt();
    else
      Apply();
    if (HasFatalFailure()) return;
    Compare();
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, OracleTest,
                         testing::Combine(testing::ValuesIn(kAllKinds),
                                          testing::Values(VectorMetric::kInnerProduct, VectorMetric::kEuclidean),
                                          testing::Values(1, 2)));

TEST(VectorIndexTest, EmptyIndexFindsNothing) {
  const auto index = VectorIndex::Create(Options(VectorIndexKind::kFlat));
  ASSERT_TRUE(index.ok());
  const std::vector<float> query(kDimensions, 1);
  EXPECT_TRUE((*index)->snapshot()->Search(query, {})->empty());
  EXPECT_EQ((*index)->snapshot()->size(), 0);
  EXPECT_EQ(*MeasureRecall(*(*index)->snapshot(), query, 10), 1);
}

TEST(VectorIndexTest, CosineIgnoresLengthAndAllowsZeroVectors) {
  auto index = *VectorIndex::Create(Options(VectorIndexKind::kFlat, VectorMetric::kCosine));
  const int64_t labels[] = {1, 2, 3};
  const float vectors[] = {1e-20f, 0, 0, 0, 0, 1e20f, 1e20f, 0, 0, 0, 0, 0, 0, 0, 0};
  ASSERT_TRUE(index->Apply(3, labels, vectors, {}).ok());
  const float query[] = {7, 0, 0, 0, 0};
  const auto hits = index->snapshot()->Search(query, {});
  ASSERT_EQ(hits->size(), 3u);
  EXPECT_EQ((*hits)[0].label, 1);
  EXPECT_NEAR((*hits)[0].score, 1, 1e-6);
  EXPECT_EQ((*hits)[1].label, 2);
  EXPECT_NEAR((*hits)[1].score, std::sqrt(0.5), 1e-6);
  EXPECT_EQ((*hits)[2].score, 0);
  const float zero[kDimensions] = {};
  EXPECT_EQ((*index->snapshot()->Search(zero, {}))[0].score, 0);
}

TEST(VectorIndexTest, ApplyRefusesWhatWouldBreakTheOrderOfLabels) {
  auto index = *VectorIndex::Create(Options(VectorIndexKind::kFlat));
  const std::vector<float> one(kDimensions, 1), two(2 * kDimensions, 1);
  const auto apply = [&](int64_t commit, std::vector<int64_t> labels, const std::vector<float>& vectors) {
    return index->Apply(commit, labels, vectors, {}).code();
  };
  ASSERT_EQ(apply(5, {5}, one), absl::StatusCode::kOk);
  EXPECT_EQ(apply(6, {5}, one), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(apply(6, {7}, one), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(apply(4, {}, {}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(apply(8, {7, 7}, two), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(apply(8, {7, 6}, two), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(apply(8, {7, 8}, one), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(index->snapshot()->commit(), 5);
  EXPECT_EQ(index->snapshot()->size(), 1);
  EXPECT_EQ(apply(5, {}, {}), absl::StatusCode::kOk);
  EXPECT_EQ(apply(9, {}, {}), absl::StatusCode::kOk);
  EXPECT_EQ(index->snapshot()->commit(), 9);
}

TEST(VectorIndexTest, NumbersThatAreNotFiniteAreRefused) {
  auto index = *VectorIndex::Create(Options(VectorIndexKind::kFlat));
  for (float odd : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> vector(kDimensions, 1);
    vector[3] = odd;
    const int64_t labels[] = {1};
    const absl::Status status = index->Apply(1, labels, vector, {});
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(status.ToString().find("value 3"), std::string::npos) << status;
    EXPECT_EQ(index->snapshot()->Search(vector, {}).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(VectorIndexTest, SearchRefusesWrongDimensionAndLimits) {
  auto index = *VectorIndex::Create(Options(VectorIndexKind::kFlat));
  const auto code = [&](size_t floats, const VectorSearch& search) {
    return index->snapshot()->Search(std::vector<float>(floats, 1), search).status().code();
  };
  EXPECT_EQ(code(kDimensions, {}), absl::StatusCode::kOk);
  EXPECT_EQ(code(kDimensions + 1, {}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(0, {}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(kDimensions, {.k = 0}), absl::StatusCode::kInvalidArgument);
}

// A parameter of another kind is refused, not passed over; so is one beyond its limits.
TEST(VectorIndexTest, SearchRefusesParametersThatTheKindDoesNotHave) {
  const std::vector<float> query(kDimensions, 1);
  for (const VectorIndexKind kind : kAllKinds) {
    const auto index = *VectorIndex::Create(Options(kind));
    const auto status = [&](const VectorSearch& search) { return index->snapshot()->Search(query, search).status(); };
    const bool has_lists = kind == VectorIndexKind::kIvfFlat || kind == VectorIndexKind::kIvfPq;
    const bool has_codes = kind == VectorIndexKind::kIvfPq || kind == VectorIndexKind::kScalarQuantized ||
                           kind == VectorIndexKind::kBinary;
    const auto expect = [&](bool has_it, int highest, const char* name, auto&& with) {
      for (const int value : {0, 1, highest, highest + 1}) {
        const bool good = has_it && value >= 1 && value <= highest;
        const absl::Status answer = status(with(value));
        EXPECT_EQ(answer.code(), good ? absl::StatusCode::kOk : absl::StatusCode::kInvalidArgument) << name << value;
        if (good) continue;
        EXPECT_NE(answer.ToString().find(name), std::string::npos) << answer;
        if (!has_it) {
          EXPECT_NE(answer.ToString().find(NameOf(kind)), std::string::npos) << answer;
        }
      }
    };
    expect(kind == VectorIndexKind::kHnsw, 10000, "ef_search", [](int v) { return VectorSearch{.ef_search = v}; });
    expect(has_lists, 65536, "nprobe", [](int v) { return VectorSearch{.nprobe = v}; });
    expect(has_codes, 1000, "rerank_factor", [](int v) { return VectorSearch{.rerank_factor = v}; });
  }
}

TEST(VectorIndexTest, OptionsAreCheckedAgainstTheirLimits) {
  const VectorIndexOptions good = Options(VectorIndexKind::kHnsw);
  EXPECT_TRUE(good.Validate().ok());
  for (const auto& change : std::vector<std::function<void(VectorIndexOptions*)>>{
           [](auto* o) { o->dimensions = 0; }, [](auto* o) { o->dimensions = 65537; }, [](auto* o) { o->hnsw_m = 3; },
           [](auto* o) { o->hnsw_m = 129; }, [](auto* o) { o->hnsw_ef_construction = 7; },
           [](auto* o) { o->hnsw_ef_construction = 2001; }, [](auto* o) { o->hnsw_ef_search = 0; },
           [](auto* o) { o->hnsw_ef_search = 10001; }, [](auto* o) { o->ivf_lists = -1; },
           [](auto* o) { o->ivf_lists = 65537; }, [](auto* o) { o->ivf_nprobe = 65537; },
           [](auto* o) { o->ivf_lists = 7, o->ivf_nprobe = 8; }, [](auto* o) { o->pq_subquantizers = 2; },
           [](auto* o) { o->pq_subquantizers = 6; }, [](auto* o) { o->rerank_factor = 1001; }}) {
    VectorIndexOptions options = good;
    change(&options);
    EXPECT_EQ(options.Validate().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_FALSE(VectorIndex::Create(options).ok());
  }
}

TEST(VectorIndexTest, VectorAddedAndRemovedInOneStepIsNotFound) {
  auto index = *VectorIndex::Create(Options(VectorIndexKind::kFlat));
  const int64_t labels[] = {1, 2}, removed[] = {1, 99};
  ASSERT_TRUE(index->Apply(2, labels, std::vector<float>(2 * kDimensions, 1), removed).ok());
  EXPECT_EQ(index->snapshot()->size(), 1);
  EXPECT_EQ(index->snapshot()->tombstone_count(), 1);
  EXPECT_EQ(index->snapshot()->fresh_count(), 2);
  EXPECT_FALSE(index->snapshot()->Vector(1).has_value());
}

}  // namespace
}  // namespace tandem
