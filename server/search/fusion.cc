#include "server/search/fusion.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace tandem {
namespace {

// Collects the hits of both halves by label.
class FusedHits {
 public:
  void AddVector(const ScoredLabel& hit, double part) {
    Fused& fused = hits_[hit.label];
    fused.vector_score = hit.score;
    fused.score += part;
  }
  void AddKeyword(const DocumentStore::KeywordHit& hit, double part) {
    Fused& fused = hits_[hit.commit];
    fused.keyword_score = static_cast<float>(hit.score);
    fused.score += part;
  }
  std::vector<FoundHit> BestFirst() const {
    std::vector<FoundHit> hits;
    for (const auto& [label, fused] : hits_) {
      hits.push_back({.label = label,
                      .score = static_cast<float>(fused.score),
                      .vector_score = fused.vector_score,
                      .keyword_score = fused.keyword_score});
    }
    std::stable_sort(hits.begin(), hits.end(), [](const FoundHit& a, const FoundHit& b) { return a.score > b.score; });
    return hits;
  }

 private:
  struct Fused {
    double score = 0;
    std::optional<float> vector_score, keyword_score;
  };
  std::map<int64_t, Fused> hits_;  // In label order, which decides ties.
};

// Where a score lies between the lowest and the highest of its half; 1 when they are the same.
double Relative(double score, double lowest, double highest) {
  return highest > lowest ? (score - lowest) / (highest - lowest) : 1;
}

// exp(score / temperature) of each over their sum.
std::vector<double> Softmax(const std::vector<double>& scores, double temperature) {
  std::vector<double> parts;
  double sum = 0, highest = 0;
  if (!scores.empty()) highest = *std::max_element(scores.begin(), scores.end());  // So that nothing overflows.
  for (const double score : scores) {
    sum += parts.emplace_back(std::exp((score - highest) / temperature));
  }
  for (double& part : parts) part /= sum;
  return parts;
}

FusedHits FuseHalves(const std::vector<ScoredLabel>& vectors, std::span<const float> cosines,
                     const DocumentStore::KeywordHits& words, const SoftmaxFusion& fusion) {
  FusedHits hits;
  const std::vector<double> near = Softmax({cosines.begin(), cosines.end()}, fusion.vector_temperature);
  for (size_t i = 0; i < vectors.size(); ++i) hits.AddVector(vectors[i], fusion.vector_weight * near[i]);
  std::vector<double> scores;
  for (const DocumentStore::KeywordHit& hit : words.hits) scores.push_back(hit.score);
  const std::vector<double> named = Softmax(scores, fusion.keyword_temperature);
  for (size_t i = 0; i < words.hits.size(); ++i) {
    hits.AddKeyword(words.hits[i], (1 - fusion.vector_weight) * named[i]);
  }
  return hits;
}

FusedHits FuseHalves(const std::vector<ScoredLabel>& vectors, std::span<const float>,
                     const DocumentStore::KeywordHits& words, const ReciprocalRankFusion& fusion) {
  FusedHits hits;
  for (size_t i = 0; i < vectors.size(); ++i) {
    hits.AddVector(vectors[i], fusion.vector_weight / (fusion.constant + static_cast<double>(i) + 1));
  }
  for (size_t i = 0; i < words.hits.size(); ++i) {
    hits.AddKeyword(words.hits[i], fusion.keyword_weight / (fusion.constant + static_cast<double>(i) + 1));
  }
  return hits;
}

FusedHits FuseHalves(const std::vector<ScoredLabel>& vectors, std::span<const float>,
                     const DocumentStore::KeywordHits& words, const WeightedFusion& fusion) {
  FusedHits hits;
  for (const ScoredLabel& hit : vectors) {
    hits.AddVector(hit, fusion.vector_weight * Relative(hit.score, vectors.back().score, vectors.front().score));
  }
  for (const DocumentStore::KeywordHit& hit : words.hits) {
    hits.AddKeyword(
        hit, (1 - fusion.vector_weight) * Relative(hit.score, words.hits.back().score, words.hits.front().score));
  }
  return hits;
}

}  // namespace

std::vector<FoundHit> Fuse(const std::vector<ScoredLabel>& vectors, std::span<const float> cosines,
                           const DocumentStore::KeywordHits& words, const Fusion& fusion) {
  return std::visit([&](const auto& chosen) { return FuseHalves(vectors, cosines, words, chosen).BestFirst(); },
                    fusion);
}

}  // namespace tandem
