#include <algorithm>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "index/sealed_format.h"
#include "index/vector_index.h"
#include "tests/index/index_oracle.h"

namespace tandem {
namespace {

constexpr int kDimensions = 32;

// Vectors around a hundred centres, as texts of a few subjects are.
std::vector<float> Clustered(int count, std::mt19937* random) {
  std::normal_distribution<float> normal;
  std::mt19937 centre_random(11);
  std::vector<float> centres(100 * kDimensions), vectors;
  for (float& value : centres) value = normal(centre_random);
  for (int i = 0; i < count; ++i) {
    const size_t centre = (*random)() % 100;
    for (int j = 0; j < kDimensions; ++j) vectors.push_back(centres[centre * kDimensions + j] + 0.5f * normal(*random));
  }
  return vectors;
}

class SealedIndexTest : public testing::Test {
 protected:
  // An index with labels 1..count, all sealed.
  std::unique_ptr<VectorIndex> Sealed(const VectorIndexOptions& options, int count) {
    auto index = *VectorIndex::Create(options);
    std::vector<int64_t> labels(count);
    for (int i = 0; i < count; ++i) labels[i] = i + 1;
    EXPECT_TRUE(index->Apply(count, labels, Clustered(count, &random_), {}).ok());
    directory_ = scratch_.Fresh();
    const absl::Status status = VectorIndex::WriteSealed(*index->snapshot(), options, directory_, 2);
    EXPECT_TRUE(status.ok()) << status;
    auto opened = VectorIndex::Open(directory_);
    EXPECT_TRUE(opened.ok()) << opened.status();
    return *std::move(opened);
  }

  // Not synced: this test writes hundreds of times.
  void Overwrite(const std::string& file, const std::string& bytes) {
    std::ofstream(directory_ / file, std::ios::binary | std::ios::trunc) << bytes;
  }

  std::mt19937 random_{7};
  ScratchDirectory scratch_;
  std::filesystem::path directory_;
  const VectorIndexOptions hnsw_ = {.dimensions = kDimensions, .kind = VectorIndexKind::kHnsw};
  const VectorIndexOptions flat_ = {.dimensions = kDimensions, .kind = VectorIndexKind::kFlat};
};

TEST_F(SealedIndexTest, HnswFindsNineOfTenNearestNeighbours) {
  const auto index = Sealed(hnsw_, 6000);
  const std::vector<float> queries = Clustered(200, &random_);
  const auto recall = MeasureRecall(*index->snapshot(), queries, 10);
  ASSERT_TRUE(recall.ok()) << recall.status();
  EXPECT_GE(*recall, 0.9);
  // The graph answered, not a scan: with one candidate it cannot find all.
  int found = 0;
  for (int i = 0; i < 200; ++i) {
    const std::span<const float> query(&queries[i * kDimensions], kDimensions);
    const auto best = index->snapshot()->Search(query, {.k = 1, .exact = true});
    found += (*index->snapshot()->Search(query, {.k = 1, .ef_search = 1}))[0].label == (*best)[0].label;
  }
  EXPECT_LT(found, 200);
}

TEST_F(SealedIndexTest, HnswScoresEqualExactScores) {
  const auto index = Sealed(hnsw_, 3000);
  const std::vector<float> query = Clustered(1, &random_);
  const auto approximate = index->snapshot()->Search(query, {.k = 10});
  const auto exact = index->snapshot()->Search(query, {.k = 3000, .exact = true});
  for (const ScoredLabel& hit : *approximate) EXPECT_EQ(std::count(exact->begin(), exact->end(), hit), 1);
}

TEST_F(SealedIndexTest, HnswWithTombstonesFindsAllThatIsLeft) {
  const auto index = Sealed(hnsw_, 4000);
  std::vector<int64_t> order(4000);
  for (int i = 0; i < 4000; ++i) order[i] = i + 1;
  std::shuffle(order.begin(), order.end(), random_);
  int64_t commit = 4000;
  for (size_t removed = 0; removed < order.size();) {
    const size_t count = std::min<size_t>(order.size() - removed, removed < 3900 ? 650 : 33);
    ASSERT_TRUE(index->Apply(++commit, {}, {}, std::span(order).subspan(removed, count)).ok());
    removed += count;
    const auto snapshot = index->snapshot();
    ASSERT_EQ(snapshot->size(), static_cast<int64_t>(order.size() - removed));
    for (int k : {1, 10, 100, 5000}) {
      const auto hits = snapshot->Search(Clustered(1, &random_), {.k = k});
      ASSERT_TRUE(hits.ok()) << hits.status();
      EXPECT_EQ(static_cast<int64_t>(hits->size()), std::min<int64_t>(k, snapshot->size()));
      for (const ScoredLabel& hit : *hits) EXPECT_TRUE(snapshot->Vector(hit.label).has_value());
    }
    if (snapshot->size() > 0) {
      EXPECT_GE(*MeasureRecall(*snapshot, Clustered(20, &random_), 10), 0.9);
    }
  }
}

// A filter of any width, over sealed and fresh rows with tombstones among them.
TEST_F(SealedIndexTest, HnswFindsWhatAFilterLeavesAtAnySelectivity) {
  const auto index = Sealed(hnsw_, 6000);
  std::vector<int64_t> fresh(600), removed;
  for (int i = 0; i < 600; ++i) fresh[i] = 6001 + i;
  for (int64_t label = 1; label <= 6600; label += 7) removed.push_back(label);
  ASSERT_TRUE(index->Apply(6600, fresh, Clustered(600, &random_), removed).ok());
  const auto snapshot = index->snapshot();
  for (const double share : {0.0005, 0.005, 0.05, 0.2, 0.5, 0.8, 0.95, 1.0}) {
    Roaring64Map only;
    int64_t live = 0;
    for (int64_t label = 1; label <= 6600; ++label) {
      if (std::uniform_real_distribution<>()(random_) >= share) continue;
      only.add(static_cast<uint64_t>(label));
      live += snapshot->Vector(label).has_value();
    }
    int64_t common = 0, wanted = 0;
    for (int i = 0; i < 40; ++i) {
      const std::vector<float> query = Clustered(1, &random_);
      const auto found = snapshot->Search(query, {.k = 10, .only = &only});
      const auto exact = snapshot->Search(query, {.k = 10, .exact = true, .only = &only});
      ASSERT_TRUE(found.ok()) << found.status();
      ASSERT_EQ(static_cast<int64_t>(found->size()), std::min<int64_t>(10, live)) << share;
      for (const ScoredLabel& hit : *found) {
        ASSERT_TRUE(only.contains(static_cast<uint64_t>(hit.label)) && snapshot->Vector(hit.label).has_value());
        common += std::count(exact->begin(), exact->end(), hit);
      }
      wanted += static_cast<int64_t>(exact->size());
    }
    EXPECT_GE(common, 0.9 * wanted) << share;
  }
}

// The filter leaves only what lies far from the query: a walk ends before it comes there.
TEST_F(SealedIndexTest, HnswFindsFarAwayMatchesOnly) {
  const auto index = Sealed(hnsw_, 6000);
  const auto snapshot = index->snapshot();
  for (int i = 0; i < 20; ++i) {
    const std::vector<float> query = Clustered(1, &random_);
    const auto all = snapshot->Search(query, {.k = 6000, .exact = true});
    Roaring64Map farthest;
    for (size_t j = 2000; j < all->size(); ++j) farthest.add(static_cast<uint64_t>((*all)[j].label));
    EXPECT_EQ(snapshot->Search(query, {.k = 100, .only = &farthest})->size(), 100u);
  }
}

TEST_F(SealedIndexTest, HnswWithARemovedNeighbourhoodStillFillsK) {
  const auto index = Sealed(hnsw_, 4000);
  const std::vector<float> query = Clustered(1, &random_);
  const auto nearest = index->snapshot()->Search(query, {.k = 1500, .exact = true});
  std::vector<int64_t> removed;
  for (const ScoredLabel& hit : *nearest) removed.push_back(hit.label);
  EXPECT_EQ(index->snapshot()->Search(query, {.k = 100, .exclude = removed})->size(), 100u);
  ASSERT_TRUE(index->Apply(4001, {}, {}, removed).ok());
  EXPECT_EQ(index->snapshot()->Search(query, {.k = 100})->size(), 100u);
}

TEST_F(SealedIndexTest, OpenedIndexAnswersLikeTheOneThatWasSealed) {
  for (const VectorIndexOptions& options : {flat_, hnsw_}) {
    auto index = *VectorIndex::Create(options);
    std::vector<int64_t> labels = {2, 5, 9, 11}, removed = {5};
    ASSERT_TRUE(index->Apply(12, labels, Clustered(4, &random_), removed).ok());
    const auto directory = scratch_.Fresh();
    ASSERT_TRUE(VectorIndex::WriteSealed(*index->snapshot(), options, directory, 1).ok());
    const auto opened = VectorIndex::Open(directory);
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ((*opened)->snapshot()->commit(), 12);
    EXPECT_EQ((*opened)->snapshot()->size(), 3);
    EXPECT_EQ((*opened)->snapshot()->tombstone_count(), 0);
    EXPECT_EQ((*opened)->options().kind, options.kind);
    const std::vector<float> query = Clustered(1, &random_);
    EXPECT_EQ(*(*opened)->snapshot()->Search(query, {}), *index->snapshot()->Search(query, {}));
  }
}

TEST_F(SealedIndexTest, EmptyIndexCanBeSealedAndOpened) {
  for (const VectorIndexOptions& options : {flat_, hnsw_}) {
    const auto index = Sealed(options, 0);
    ASSERT_NE(index, nullptr);
    EXPECT_TRUE(index->snapshot()->Search(std::vector<float>(kDimensions, 1), {})->empty());
    const int64_t labels[] = {1};
    ASSERT_TRUE(index->Apply(1, labels, Clustered(1, &random_), {}).ok());
    EXPECT_EQ(index->snapshot()->Search(std::vector<float>(kDimensions, 1), {})->size(), 1u);
  }
}

// The memory of a sealed index is its directory but for one copy of the vectors: that inside index.faiss, or, where
// codes or lists stand for the vectors, vectors.f32.
TEST_F(SealedIndexTest, TheEstimateIsWithinATenthOfTheMemoryOfTenThousandVectors) {
  VectorIndexOptions wide = hnsw_;
  wide.hnsw_m = 32;
  wide.hnsw_ef_construction = 16;  // Says nothing about the size.
  std::vector<VectorIndexOptions> all = {wide};
  for (const VectorIndexKind kind : kAllKinds) {
    all.push_back({.dimensions = kDimensions, .kind = kind, .hnsw_ef_construction = 16});
  }
  for (const VectorIndexOptions& options : all) {
    const auto index = Sealed(options, 10000);
    ASSERT_NE(index, nullptr);
    double on_disk = 0;
    for (const auto& file : std::filesystem::directory_iterator(directory_)) on_disk += file.file_size();
    const double memory = static_cast<double>(index->snapshot()->memory_bytes());
    EXPECT_NEAR(memory, on_disk - 10000.0 * 4 * kDimensions, 2000) << "headers and manifest are more than 2,000 bytes";
    EXPECT_NEAR(static_cast<double>(EstimateIndexBytes(options, 10000)), memory, memory / 10);
  }
}

TEST_F(SealedIndexTest, FreshRowsAndTombstonesCountAsMemory) {
  const auto index = Sealed(flat_, 100);
  const int64_t sealed = index->snapshot()->memory_bytes();
  std::vector<int64_t> labels(50), removed(40);
  for (int i = 0; i < 50; ++i) labels[i] = 101 + i;
  for (int i = 0; i < 40; ++i) removed[i] = 1 + 2 * i;
  ASSERT_TRUE(index->Apply(150, labels, Clustered(50, &random_), {}).ok());
  const int64_t with_fresh = index->snapshot()->memory_bytes();
  EXPECT_EQ(with_fresh - sealed, 50 * (8 + 4 * kDimensions));
  ASSERT_TRUE(index->Apply(151, {}, {}, removed).ok());
  EXPECT_GE(index->snapshot()->memory_bytes(), with_fresh + 40 * 2);  // Roaring: two bytes a row in a short list.
}

TEST_F(SealedIndexTest, AnyFlippedBitIsDataLossThatNamesTheFile) {
  for (const VectorIndexKind kind : kAllKinds) {
    Sealed({.dimensions = kDimensions, .kind = kind}, 40);
    const std::vector<std::string> files = *ListFiles(directory_);
    EXPECT_EQ(files, (std::vector<std::string>{"index.faiss", "labels.i64", "manifest.json", "vectors.f32"}));
    for (const std::string& file : files) {
      const std::string whole = *ReadFile(directory_ / file);
      // Every byte of the manifest of one kind, samples of the rest.
      const bool every_byte = file == kSealedManifestFile && kind == VectorIndexKind::kHnsw;
      const size_t step = every_byte ? 1 : whole.size() / 60 + 1;
      for (size_t at = 0; at < whole.size(); at += step) {
        std::string damaged = whole;
        damaged[at] ^= 1 << (at % 8);
        Overwrite(file, damaged);
        const absl::Status status = VectorIndex::Open(directory_).status();
        ASSERT_EQ(status.code(), absl::StatusCode::kDataLoss) << file << " " << at << " " << status;
        ASSERT_NE(status.ToString().find(file), std::string::npos) << status;
      }
      for (const std::string& damaged : {std::string(), whole.substr(0, whole.size() - 1), whole + "x"}) {
        Overwrite(file, damaged);
        EXPECT_EQ(VectorIndex::Open(directory_).status().code(), absl::StatusCode::kDataLoss) << file;
      }
      ASSERT_TRUE(RemoveTree(directory_ / file).ok());
      EXPECT_EQ(VectorIndex::Open(directory_).status().code(), absl::StatusCode::kDataLoss) << file;
      Overwrite(file, whole);
      ASSERT_TRUE(VectorIndex::Open(directory_).ok());
    }
  }
}

TEST_F(SealedIndexTest, AdoptRefusesDirectoriesOfOtherIndexes) {
  const auto index = Sealed(flat_, 20);
  const auto code = [&](const VectorIndexOptions& options, int count, int64_t commit) {
    auto other = *VectorIndex::Create(options);
    std::vector<int64_t> labels(count);
    for (int i = 0; i < count; ++i) labels[i] = i + 1;
    EXPECT_TRUE(other->Apply(commit, labels, std::vector<float>(count * options.dimensions, 1), {}).ok());
    const auto directory = scratch_.Fresh();
    EXPECT_TRUE(VectorIndex::WriteSealed(*other->snapshot(), options, directory, 1).ok());
    return index->AdoptSealed(directory).code();
  };
  EXPECT_EQ(code(hnsw_, 20, 20), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(code({.dimensions = 8}, 20, 20), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(code(flat_, 20, 21), absl::StatusCode::kFailedPrecondition);  // Newer than the index.
  EXPECT_EQ(code(flat_, 5, 5), absl::StatusCode::kFailedPrecondition);    // Older than its sealed part.
  EXPECT_EQ(code(flat_, 19, 20), absl::StatusCode::kFailedPrecondition);  // Lacks a document.
  EXPECT_EQ(index->snapshot()->size(), 20);
  EXPECT_EQ(code(flat_, 20, 20), absl::StatusCode::kOk);
}

TEST_F(SealedIndexTest, WriteSealedNeverOverwrites) {
  const auto index = Sealed(flat_, 3);
  EXPECT_FALSE(VectorIndex::WriteSealed(*index->snapshot(), flat_, directory_, 1).ok());
  EXPECT_TRUE(VectorIndex::Open(directory_).ok());
}

TEST_F(SealedIndexTest, OldSnapshotOutlivesAdoptionAndItsDirectory) {
  auto index = Sealed(flat_, 50);
  const auto before = index->snapshot();
  const std::vector<float> query = Clustered(1, &random_);
  const auto expected = *before->Search(query, {.k = 50});
  const auto next = scratch_.Fresh();
  ASSERT_TRUE(VectorIndex::WriteSealed(*before, flat_, next, 1).ok());
  ASSERT_TRUE(index->AdoptSealed(next).ok());
  ASSERT_TRUE(RemoveTree(directory_).ok());
  index.reset();
  EXPECT_EQ(*before->Search(query, {.k = 50}), expected);
}

}  // namespace
}  // namespace tandem
