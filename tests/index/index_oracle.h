#pragma once
// What a VectorIndex must answer, by the most obvious means: a map and a sort. Vectors have small whole numbers, so
// that every product and every squared distance is exact in float and ties are frequent.

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "index/vector_index.h"
#include "server/base/files.h"
#include "server/base/ids.h"

namespace tandem {

inline bool operator==(const ScoredLabel& a, const ScoredLabel& b) { return a.label == b.label && a.score == b.score; }
inline constexpr VectorIndexKind kAllKinds[] = {VectorIndexKind::kFlat,
                                                VectorIndexKind::kHnsw,
                                                VectorIndexKind::kIvfFlat,
                                                VectorIndexKind::kIvfPq,
                                                VectorIndexKind::kScalarQuantized,
                                                VectorIndexKind::kBinary};

inline void PrintTo(const ScoredLabel& hit, std::ostream* out) { *out << hit.label << ":" << hit.score; }

class IndexOracle {
 public:
  explicit IndexOracle(int dimensions, VectorMetric metric = VectorMetric::kInnerProduct)
      : dimensions_(dimensions), metric_(metric) {}

  std::vector<float> RandomVector(std::mt19937* random) const {
    std::vector<float> vector(dimensions_);
    for (float& value : vector) value = static_cast<float>(std::uniform_int_distribution<>(-2, 2)(*random));
    return vector;
  }
  void Add(int64_t label, std::vector<float> vector) { vectors_[label] = std::move(vector); }
  void Remove(int64_t label) { vectors_.erase(label); }
  const std::map<int64_t, std::vector<float>>& vectors() const { return vectors_; }

  std::vector<ScoredLabel> Search(const std::vector<float>& query, const VectorSearch& search) const {
    std::vector<ScoredLabel> hits;
    for (const auto& [label, vector] : vectors_) {
      float score = 0;
      for (int i = 0; i < dimensions_; ++i) {
        score += metric_ == VectorMetric::kEuclidean ? (query[i] - vector[i]) * (query[i] - vector[i])
                                                     : query[i] * vector[i];
      }
      if (metric_ == VectorMetric::kEuclidean) score = -std::sqrt(score);
      const bool excluded = std::count(search.exclude.begin(), search.exclude.end(), label) > 0;
      const bool selected = search.only == nullptr || search.only->contains(static_cast<uint64_t>(label));
      if (!excluded && selected && score >= search.min_score.value_or(-1e30f)) hits.push_back({label, score});
    }
    std::stable_sort(hits.begin(), hits.end(), [](const auto& a, const auto& b) { return a.score > b.score; });
    hits.resize(std::min<size_t>(hits.size(), search.k));
    return hits;
  }

 private:
  const int dimensions_;
  const VectorMetric metric_;  // Not kCosine.
  std::map<int64_t, std::vector<float>> vectors_;
};

// An empty directory that is gone when the test ends.
class ScratchDirectory {
 public:
  ScratchDirectory() { EXPECT_TRUE(CreateDirectories(root_).ok()); }
  ~ScratchDirectory() { EXPECT_TRUE(RemoveTree(root_).ok()); }
  std::filesystem::path Fresh() {
    const std::filesystem::path path = root_ / NewId();
    EXPECT_TRUE(CreateDirectories(path).ok());
    return path;
  }

 private:
  const std::filesystem::path root_ = std::filesystem::path(testing::TempDir()) / ("index_test-" + NewId());
};

}  // namespace tandem
