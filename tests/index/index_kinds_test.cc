// Every kind of index under every metric: against a scan in double, through seals, filters and removals.
#include "index/index_kinds.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <tuple>
#include <vector>

#include <faiss/Index.h>
#include <faiss/index_io.h>
#include <gtest/gtest.h>

#include "index/row_scan.h"
#include "index/vector_index.h"
#include "server/base/files.h"
#include "tests/index/index_oracle.h"

namespace tandem {
namespace {

constexpr int kDimensions = 48;
constexpr int kSealed = 5000, kFresh = 500;

// Vectors around a hundred centres, as texts of a few subjects are. Lengths differ, which only kCosine does not see.
std::vector<float> Clustered(int count, uint32_t seed) {
  std::mt19937 random(seed), centre_random(11);
  std::normal_distribution<float> normal;
  std::vector<float> centres(100 * kDimensions), vectors;
  for (float& value : centres) value = normal(centre_random);
  for (int i = 0; i < count; ++i) {
    const size_t centre = random() % 100;
    const float length = 1 + 0.1f * normal(random);
    for (int j = 0; j < kDimensions; ++j) {
      vectors.push_back(length * (centres[centre * kDimensions + j] + 0.6f * normal(random)));
    }
  }
  return vectors;
}

double ExactScore(VectorMetric metric, const float* a, const float* b) {
  double product = 0, left = 0, right = 0, distance = 0;
  for (int i = 0; i < kDimensions; ++i) {
    product += double{a[i]} * b[i];
    left += double{a[i]} * a[i];
    right += double{b[i]} * b[i];
    distance += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
  }
  switch (metric) {
    case VectorMetric::kCosine:
      return product / std::sqrt(left * right);
    case VectorMetric::kInnerProduct:
      return product;
    case VectorMetric::kEuclidean:
      return -std::sqrt(distance);
  }
  return 0;
}

std::unique_ptr<VectorIndex> Build(const VectorIndexOptions& options, int count, const std::vector<float>& vectors,
                                   const std::filesystem::path& directory) {
  auto index = *VectorIndex::Create(options);
  std::vector<int64_t> labels(count);
  for (int i = 0; i < count; ++i) labels[i] = 2 * (i + 1);
  EXPECT_TRUE(index->Apply(2 * count, labels, std::span(vectors).first(size_t{1} * count * kDimensions), {}).ok());
  const absl::Status status = VectorIndex::WriteSealed(*index->snapshot(), options, directory, 1);
  EXPECT_TRUE(status.ok()) << status;
  const absl::Status adopted = index->AdoptSealed(directory);
  EXPECT_TRUE(adopted.ok()) << adopted;
  return index;
}

class IndexKindsTest : public testing::TestWithParam<std::tuple<VectorIndexKind, VectorMetric>> {
 protected:
  VectorIndexKind kind() const { return std::get<0>(GetParam()); }
  VectorMetric metric() const { return std::get<1>(GetParam()); }
  VectorIndexOptions options() const { return {.dimensions = kDimensions, .metric = metric(), .kind = kind()}; }
  // The share of the best hits that a search with the default parameters must find.
  double RecallFloor() const { return kind() == VectorIndexKind::kBinary ? 0.85 : 0.95; }

  ScratchDirectory scratch_;
};

// Rows are sealed, then some removed and some added; labels are even, so that a filter can have some that never were.
TEST_P(IndexKindsTest, FindsWhatAnyFilterLeaves) {
  const std::vector<float> vectors = Clustered(kSealed + kFresh, 1), queries = Clustered(6, 2);
  const auto index = Build(options(), kSealed, vectors, scratch_.Fresh());
  std::mt19937 random(3);
  std::vector<int64_t> fresh(kFresh), removed;
  for (int i = 0; i < kFresh; ++i) fresh[i] = 2 * (kSealed + i + 1);
  for (int i = 0; i < 700; ++i) removed.push_back(2 * (1 + random() % (kSealed + kFresh)));
  ASSERT_TRUE(index->Apply(20000, fresh, std::span(vectors).subspan(size_t{1} * kSealed * kDimensions), removed).ok());
  const auto snapshot = index->snapshot();
  for (const double share : {2.0, 1.0, 0.6, 0.2, 0.03, 0.002, 0.0}) {  // 2: no filter.
    Roaring64Map only;
    for (int64_t label = 1; label <= 2 * (kSealed + kFresh) + 5; ++label) {
      if (std::uniform_real_distribution<>()(random) < share) only.add(static_cast<uint64_t>(label));
    }
    double found_best = 0, best = 0;
    for (size_t at = 0; at < queries.size(); at += kDimensions) {
      const std::span<const float> query(&queries[at], kDimensions);
      std::vector<std::pair<double, int64_t>> expected;  // Minus the score, label.
      for (int i = 0; i < kSealed + kFresh; ++i) {
        const int64_t label = 2 * (i + 1);
        if (share <= 1 && !only.contains(static_cast<uint64_t>(label))) continue;
        if (std::count(removed.begin(), removed.end(), label) > 0) continue;
        expected.emplace_back(-ExactScore(metric(), query.data(), &vectors[size_t{1} * i * kDimensions]), label);
      }
      std::sort(expected.begin(), expected.end());
      for (const int k : {1, 10, 300, 2048}) {
        VectorSearch search{.k = k, .only = share <= 1 ? &only : nullptr};
        const auto hits = snapshot->Search(query, search);
        search.exact = true;
        const auto exact = snapshot->Search(query, search);
        ASSERT_TRUE(hits.ok() && exact.ok()) << hits.status() << exact.status();
        const size_t wanted = std::min<size_t>(k, expected.size());
        ASSERT_EQ(hits->size(), wanted) << share;
        ASSERT_EQ(exact->size(), wanted) << share;
        for (size_t i = 0; i < wanted; ++i) {
          ASSERT_NEAR((*exact)[i].score, -expected[i].first, 1e-4) << share << " " << k << " " << i;
        }
        for (size_t i = 0; i < wanted; ++i) {
          const ScoredLabel& hit = (*hits)[i];
          ASSERT_TRUE(search.only == nullptr || only.contains(static_cast<uint64_t>(hit.label)));
          ASSERT_TRUE(snapshot->Vector(hit.label).has_value()) << hit.label;
          ASSERT_TRUE(i == 0 || Better((*hits)[i - 1], hit));
          ASSERT_NEAR(hit.score, ExactScore(metric(), query.data(), &vectors[(hit.label / 2 - 1) * kDimensions]), 1e-4);
        }
        if (k > 300) continue;
        best += static_cast<double>(wanted);
        for (const ScoredLabel& hit : *exact)
          found_best += static_cast<double>(std::count(hits->begin(), hits->end(), hit));
      }
    }
    EXPECT_GE(found_best, RecallFloor() * best) << share;
  }
}

TEST_P(IndexKindsTest, SealedAgainOpenedAgainAndTheSame) {
  const std::vector<float> vectors = Clustered(1500, 4), query = Clustered(1, 5);
  const auto directory = scratch_.Fresh(), again = scratch_.Fresh(), elsewhere = scratch_.Fresh();
  const auto index = Build(options(), 1500, vectors, directory);
  const auto opened = VectorIndex::Open(directory);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ((*opened)->options().kind, kind());
  EXPECT_EQ((*opened)->options().metric, metric());
  EXPECT_EQ(*(*opened)->snapshot()->Search(query, {.k = 20}), *index->snapshot()->Search(query, {.k = 20}));
  // Training has fixed seeds: the same vectors make the same files.
  Build(options(), 1500, vectors, elsewhere);
  const std::vector<std::string> files = *ListFiles(directory);
  for (const std::string& file : files) EXPECT_EQ(*ReadFile(directory / file), *ReadFile(elsewhere / file));
  ASSERT_TRUE(index->Apply(3001, {}, {}, std::vector<int64_t>{2, 4, 6}).ok());
  ASSERT_TRUE(VectorIndex::WriteSealed(*index->snapshot(), options(), again, 1).ok());
  ASSERT_TRUE(index->AdoptSealed(again).ok());
  EXPECT_EQ(index->snapshot()->tombstone_count(), 0);
  EXPECT_EQ(index->snapshot()->size(), 1497);
  EXPECT_EQ(index->snapshot()->Search(query, {.k = 2000})->size(), 1497u);
}

// Collections that are smaller than the number of lists, of centroids, of anything.
TEST_P(IndexKindsTest, AFewVectorsAreAnIndex) {
  const std::vector<float> vectors = Clustered(300, 6), query = Clustered(1, 7);
  for (const int count : {0, 1, 2, 38, 39, 255, 256, 257, 300}) {
    VectorIndexOptions asked = options();
    if (count % 2 == 1) asked.ivf_lists = 4096;
    const auto index = Build(asked, count, vectors, scratch_.Fresh());
    for (const int k : {1, 10, 1000}) {
      const auto hits = index->snapshot()->Search(query, {.k = k});
      ASSERT_TRUE(hits.ok()) << hits.status();
      EXPECT_EQ(hits->size(), static_cast<size_t>(std::min(k, count)));
    }
    EXPECT_GE(*MeasureRecall(*index->snapshot(), vectors, 10), kind() == VectorIndexKind::kBinary ? 0.8 : 0.99)
        << count;
  }
}

// index.faiss is a plain FAISS file: read without a word about it, it finds a row by its own vector.
TEST_P(IndexKindsTest, FaissReadsTheFileAsItsOwn) {
  const auto directory = scratch_.Fresh();
  const auto index = Build(options(), 2000, Clustered(2000, 8), directory);
  const std::unique_ptr<faiss::Index> plain(faiss::read_index((directory / "index.faiss").c_str()));
  ASSERT_EQ(plain->ntotal, 2000);
  ASSERT_EQ(plain->d, kDimensions);
  std::vector<float> queries;
  for (int i = 0; i < 200; ++i) {
    const std::span<const float> vector = *index->snapshot()->Vector(2 * (10 * i + 1));
    queries.insert(queries.end(), vector.begin(), vector.end());
  }
  std::vector<float> distances(2000);
  std::vector<faiss::idx_t> rows(2000);
  plain->search(200, queries.data(), 10, distances.data(), rows.data());
  int found = 0;
  for (int i = 0; i < 200; ++i) found += std::count(&rows[10 * i], &rows[10 * i] + 10, 10 * i) > 0;
  // By inner product a longer neighbour comes first, more often than ten times where codes are coarse.
  EXPECT_GE(found, metric() == VectorMetric::kInnerProduct ? 120 : 190);
}

INSTANTIATE_TEST_SUITE_P(All, IndexKindsTest,
                         testing::Combine(testing::ValuesIn(kAllKinds),
                                          testing::Values(VectorMetric::kCosine, VectorMetric::kInnerProduct,
                                                          VectorMetric::kEuclidean)));

class ParametersTest : public testing::Test {
 protected:
  double Recall(const VectorIndexOptions& options, const VectorSearch& search) {
    const auto index = Build(options, 6000, vectors_, scratch_.Fresh());
    const auto snapshot = index->snapshot();
    int64_t common = 0, wanted = 0;
    for (size_t at = 0; at < queries_.size(); at += kDimensions) {
      const std::span<const float> query(&queries_[at], kDimensions);
      const auto exact = *snapshot->Search(query, {.k = search.k, .exact = true});
      const auto found = *snapshot->Search(query, search);
      for (const ScoredLabel& hit : found) common += std::count(exact.begin(), exact.end(), hit);
      wanted += static_cast<int64_t>(exact.size());
    }
    return static_cast<double>(common) / static_cast<double>(wanted);
  }

  ScratchDirectory scratch_;
  const std::vector<float> vectors_ = Clustered(6000, 9), queries_ = Clustered(100, 10);
};

TEST_F(ParametersTest, MoreListsFindMoreAndAllListsFindAll) {
  VectorIndexOptions options{.dimensions = kDimensions, .kind = VectorIndexKind::kIvfFlat, .ivf_lists = 150};
  EXPECT_LT(Recall(options, {.nprobe = 1}), Recall(options, {.nprobe = 3}));
  EXPECT_EQ(Recall(options, {.nprobe = 150}), 1);
  // A list has about 40 vectors, enough for a single hit but not for ten: then more lists are looked at unasked.
  const double one = Recall(options, {.k = 1, .nprobe = 1});
  EXPECT_LT(one, 1);
  options.ivf_nprobe = 1;
  EXPECT_EQ(Recall(options, {.k = 1}), one);
  EXPECT_GT(Recall(options, {.k = 10}), Recall(options, {.k = 10, .nprobe = 1}));
}

TEST_F(ParametersTest, MoreCandidatesFindMore) {
  for (const VectorIndexKind kind : {VectorIndexKind::kIvfPq, VectorIndexKind::kBinary}) {
    VectorIndexOptions options{.dimensions = kDimensions, .kind = kind, .ivf_lists = 1, .pq_subquantizers = 4};
    const double none = Recall(options, {.rerank_factor = 1}), some = Recall(options, {.rerank_factor = 10});
    EXPECT_LT(none, 0.9 * some);
    EXPECT_GT(Recall(options, {.rerank_factor = 300}), 0.99);
    options.rerank_factor = 10;
    EXPECT_EQ(Recall(options, {}), some);
  }
}

TEST_F(ParametersTest, HalfPrecisionIsNearerThanBytes) {
  VectorIndexOptions options{.dimensions = kDimensions, .kind = VectorIndexKind::kScalarQuantized};
  const double bytes = Recall(options, {.rerank_factor = 1});
  options.scalar_code = ScalarCode::kFloat16;
  const double halves = Recall(options, {.rerank_factor = 1});
  EXPECT_LT(bytes, halves);
  EXPECT_GT(bytes, 0.9);
  EXPECT_GT(halves, 0.99);
}

TEST(IndexKindsOptionsTest, WhatIsLeftToTheIndexIsChosen) {
  const VectorIndexOptions ivf{.dimensions = 384, .kind = VectorIndexKind::kIvfPq};
  EXPECT_EQ(IvfLists(ivf, 1000000), 4000);
  EXPECT_EQ(IvfNprobe(ivf, 4000), 250);
  EXPECT_EQ(IvfLists(ivf, 1000), 25);  // 39 vectors a list.
  EXPECT_EQ(IvfNprobe(ivf, 25), 8);
  EXPECT_EQ(IvfNprobe(ivf, 3), 3);
  EXPECT_EQ(IvfLists(ivf, 0), 1);
  EXPECT_EQ(PqSubquantizers(ivf), 96);
  EXPECT_EQ(PqSubquantizers({.dimensions = 10}), 2);
  EXPECT_EQ(PqSubquantizers({.dimensions = 7}), 1);
  EXPECT_EQ(RerankFactor(ivf), 10);
  EXPECT_EQ(RerankFactor({.kind = VectorIndexKind::kIvfFlat, .rerank_factor = 7}), 1);
}

// Directories that the first released format wrote: 100 vectors of whole numbers.
TEST(SealedFormatTest, TheFirstFormatIsStillRead) {
  for (const auto& [name, kind] :
       {std::pair("format1_flat", VectorIndexKind::kFlat), std::pair("format1_hnsw", VectorIndexKind::kHnsw)}) {
    const auto index = VectorIndex::Open(std::filesystem::path("tests/golden/index") / name);
    ASSERT_TRUE(index.ok()) << index.status();
    EXPECT_EQ((*index)->options().kind, kind);
    EXPECT_EQ((*index)->options().metric, VectorMetric::kInnerProduct);
    IndexOracle oracle(6);
    for (int i = 0; i < 100; ++i) {
      std::vector<float> vector(6);
      for (int j = 0; j < 6; ++j) vector[j] = static_cast<float>((i * 37 + j * 11) % 19 - 9);
      oracle.Add(3 * (i + 1), vector);
    }
    const auto snapshot = (*index)->snapshot();
    EXPECT_EQ(snapshot->commit(), 301);
    const std::vector<float> query = {1, -2, 3, 0, 2, -1};
    EXPECT_EQ(*snapshot->Search(query, {.k = 100, .exact = true}), oracle.Search(query, {.k = 100}));
    EXPECT_EQ(*snapshot->Search(query, {.k = 100}), oracle.Search(query, {.k = 100}));
  }
}

}  // namespace
}  // namespace tandem
