#include "server/search/fusion.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/search/diversity.h"

namespace tandem {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<int64_t> Labels(const std::vector<FoundHit>& hits) {
  std::vector<int64_t> labels;
  for (const FoundHit& hit : hits) labels.push_back(hit.label);
  return labels;
}

const std::vector<ScoredLabel> kVectors = {{1, 0.9f}, {2, 0.8f}, {3, 0.5f}};
const std::vector<float> kCosines = {0.9f, 0.8f, 0.5f};
const DocumentStore::KeywordHits kWords = {{{3, 12}, {4, 6}, {1, 4}}, 20};

TEST(FusionTest, ReciprocalRanksAddUp) {
  const std::vector<FoundHit> hits = Fuse(kVectors, kCosines, kWords, ReciprocalRankFusion{});
  EXPECT_THAT(Labels(hits), ElementsAre(1, 3, 2, 4));  // 1 and 3 tie, as 2 and 4 do: the smaller label is first.
  EXPECT_FLOAT_EQ(hits[0].score, 1.0f / 61 + 1.0f / 63);
  EXPECT_FLOAT_EQ(hits[2].score, 1.0f / 62);
  EXPECT_EQ(hits[1].vector_score, 0.5f);
  EXPECT_EQ(hits[1].keyword_score, 12.0f);
  EXPECT_EQ(hits[2].vector_score, 0.8f);
  EXPECT_FALSE(hits[2].keyword_score.has_value());
  EXPECT_FALSE(hits[3].vector_score.has_value());
  const ReciprocalRankFusion words_first{.constant = 1, .vector_weight = 1, .keyword_weight = 3};
  const auto weighted = Fuse(kVectors, kCosines, kWords, words_first);
  EXPECT_THAT(Labels(weighted), ElementsAre(3, 1, 4, 2));
  EXPECT_FLOAT_EQ(weighted[0].score, 1.0f / 4 + 3.0f / 2);
}

TEST(FusionTest, WeightedFusionBringsBothHalvesToOneScale) {
  const std::vector<FoundHit> hits = Fuse(kVectors, kCosines, kWords, WeightedFusion{.vector_weight = 0.3});
  EXPECT_THAT(Labels(hits), ElementsAre(3, 1, 2, 4));
  EXPECT_FLOAT_EQ(hits[0].score, 0.7f);
  EXPECT_FLOAT_EQ(hits[1].score, 0.3f);
  EXPECT_NEAR(hits[2].score, 0.3 * 0.3 / 0.4, 1e-6);
  EXPECT_NEAR(hits[3].score, 0.7 * 2 / 8, 1e-6);
}

TEST(FusionTest, SoftmaxFusionIsTheWeightedSumOfTwoProbabilities) {
  const std::vector<FoundHit> hits =
      Fuse(kVectors, kCosines, kWords,
           SoftmaxFusion{.vector_weight = 0.25, .vector_temperature = 0.1, .keyword_temperature = 2});
  const double near = std::exp(9) + std::exp(8) + std::exp(5), named = std::exp(6) + std::exp(3) + std::exp(2);
  EXPECT_THAT(Labels(hits), ElementsAre(3, 1, 2, 4));
  EXPECT_NEAR(hits[0].score, 0.25 * std::exp(5) / near + 0.75 * std::exp(6) / named, 1e-6);
  EXPECT_NEAR(hits[1].score, 0.25 * std::exp(9) / near + 0.75 * std::exp(2) / named, 1e-6);
  EXPECT_NEAR(hits[2].score, 0.25 * std::exp(8) / near, 1e-6);
  EXPECT_NEAR(hits[3].score, 0.75 * std::exp(3) / named, 1e-6);
}

// What the default is for: the half that tells its candidates apart decides.
TEST(FusionTest, ByDefaultAHalfWhoseCandidatesAreAlikeDecidesNothing) {
  std::vector<ScoredLabel> flat_vectors;
  std::vector<float> flat_cosines;
  DocumentStore::KeywordHits flat_words;
  for (int i = 0; i < 100; ++i) {
    flat_cosines.push_back(0.6f - 0.001f * static_cast<float>(i));
    flat_vectors.push_back({i + 1, flat_cosines.back()});
    flat_words.hits.push_back({i + 1, 2 - 0.01 * i});
  }
  EXPECT_EQ(Labels(Fuse(flat_vectors, flat_cosines, {{{70, 25}, {71, 12}}, 50}, {}))[0], 70);
  EXPECT_EQ(Labels(Fuse({{70, 0.8f}, {71, 0.5f}}, std::vector<float>{0.8f, 0.5f}, flat_words, {}))[0], 70);
  const ReciprocalRankFusion by_rank;
  EXPECT_EQ(Labels(Fuse(flat_vectors, flat_cosines, {{{99, 25}, {2, 12}}, 50}, by_rank))[0], 2);
}

TEST(FusionTest, AHalfMayBeEmptyOrHaveOneScore) {
  const std::vector<float> alike = {0.5f, 0.5f};
  for (const Fusion& fusion : {Fusion(), Fusion(WeightedFusion()), Fusion(ReciprocalRankFusion())}) {
    EXPECT_THAT(Labels(Fuse(kVectors, kCosines, {}, fusion)), ElementsAre(1, 2, 3));
    EXPECT_THAT(Labels(Fuse({}, {}, kWords, fusion)), ElementsAre(3, 4, 1));
    EXPECT_THAT(Fuse({}, {}, {}, fusion), IsEmpty());
    for (const FoundHit& hit : Fuse({{7, 0.5f}, {8, 0.5f}}, alike, {{{8, 3}}, 9}, fusion)) {
      EXPECT_TRUE(std::isfinite(hit.score));
    }
    EXPECT_THAT(Labels(Fuse({{7, 0.5f}, {8, 0.5f}}, alike, {{{8, 3}}, 9}, fusion)), ElementsAre(8, 7));
  }
}

TEST(DiversityTest, EachHitIsTheBestForItsDistanceToThoseTaken) {
  // Two that are alike and good, one that is other.
  const std::vector<FoundHit> candidates = {{.label = 1, .score = 0.9f},
                                            {.label = 2, .score = 0.89f},
                                            {.label = 3, .score = 0.5f},
                                            {.label = 4, .score = 0.1f}};
  const float similar[4][4] = {{1, 0.99f, 0.1f, 0}, {0.99f, 1, 0.1f, 0}, {0.1f, 0.1f, 1, 0}, {0, 0, 0, 1}};
  const auto similarity = [&](size_t a, size_t b) { return similar[a][b]; };
  EXPECT_THAT(Labels(TakeDiverse(candidates, 3, 0.5, similarity)), ElementsAre(1, 3, 4));
  EXPECT_THAT(Labels(TakeDiverse(candidates, 4, 1, similarity)), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(Labels(TakeDiverse(candidates, 2, 0, similarity)), ElementsAre(1, 4));
  EXPECT_EQ(TakeDiverse(candidates, 9, 0.5, similarity).size(), 4u);
  EXPECT_THAT(TakeDiverse({}, 9, 0.5, similarity), IsEmpty());
}

}  // namespace
}  // namespace tandem
