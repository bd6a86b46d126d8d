#include "server/training/sampler.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <numeric>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "server/base/random.h"
#include "server/base/status.h"
#include "tests/server/training/golden.h"

namespace tandem {
namespace {

SamplerOptions Options(int batch_size, ExampleOrder order, BatchSampler sampler) {
  return {.kind = sampler, .order = order, .batch_size = batch_size, .seed = 42};
}

ExampleSet DistinctPairs(int count) {
  ExampleSet set;
  for (TextId i = 0; i < count; ++i) set.examples.push_back({2 * i, {2 * i + 1}, {}});
  return set;
}

ExampleSet LabelledTexts(const std::vector<int32_t>& labels) {
  ExampleSet set{ExampleForm::kLabelledText, {}};
  for (const int32_t label : labels) {
    set.examples.push_back({.anchor = static_cast<TextId>(set.examples.size()), .label = label});
  }
  return set;
}

std::vector<std::vector<int32_t>> Lists(const EpochBatches& batches) {
  std::vector<std::vector<int32_t>> lists;
  for (int64_t b = 0; b < batches.size(); ++b) lists.emplace_back(batches.batch(b).begin(), batches.batch(b).end());
  return lists;
}

TEST(SamplerTest, PlainInGivenOrderCutsEveryBatchSize) {
  const auto pairs = DistinctPairs(7);
  const Sampler sampler(pairs, Options(3, ExampleOrder::kGiven, BatchSampler::kPlain));
  // The seventh pair alone has no negatives.
  EXPECT_EQ(Lists(sampler.Epoch(0)), (std::vector<std::vector<int32_t>>{{0, 1, 2}, {3, 4, 5}}));
}

TEST(SamplerTest, IncompleteLastBatchOfTwoIsKept) {
  const auto pairs = DistinctPairs(8);
  for (const BatchSampler kind : {BatchSampler::kPlain, BatchSampler::kNoDuplicates}) {
    const Sampler sampler(pairs, Options(3, ExampleOrder::kGiven, kind));
    EXPECT_EQ(Lists(sampler.Epoch(0)), (std::vector<std::vector<int32_t>>{{0, 1, 2}, {3, 4, 5}, {6, 7}}));
  }
}

TEST(SamplerTest, NoDuplicatesMakesTheBatchesOfSentenceTransformers) {
  const nlohmann::json cases = ReadGolden("sampler.json");
  ASSERT_EQ(cases.size(), 5u);
  for (const nlohmann::json& golden : cases) {
    ExampleSet pairs;
    for (const nlohmann::json& row : golden["pairs"]) {
      pairs.examples.push_back({row[0].get<TextId>(), {row[1].get<TextId>()}, {}});
      if (row.size() > 2) pairs.examples.back().negatives.push_back(row[2].get<TextId>());
    }
    auto expected = golden["batches"].get<std::vector<std::vector<int32_t>>>();
    std::erase_if(expected, [](const auto& batch) { return batch.size() < 2; });
    const Sampler sampler(pairs, Options(golden["batch_size"], ExampleOrder::kGiven, BatchSampler::kNoDuplicates));
    EXPECT_EQ(Lists(sampler.Epoch(0)), expected);
  }
}

// Examples of up to three positives and two negatives over few texts.
ExampleSet CrowdedPairs(int count, uint64_t texts, uint64_t seed) {
  SplitMix64 random(seed);
  ExampleSet set;
  for (int i = 0; i < count; ++i) {
    TrainingExample example{.anchor = static_cast<TextId>(random.Below(texts))};
    for (uint64_t n = 1 + random.Below(3); n > 0; --n) example.positives.push_back(random.Below(texts));
    for (uint64_t n = random.Below(3); n > 0; --n) example.negatives.push_back(random.Below(texts));
    set.examples.push_back(example);
  }
  return set;
}

std::set<TextId> TextsOf(const TrainingExample& example) {
  std::set<TextId> texts;
  ForEachText(example, [&](TextId text) { texts.insert(text); });
  return texts;
}

// The rule as it is written down: of all examples that are left, in order, take each that shares no text with the
// batch.
std::vector<std::vector<int32_t>> NaiveNoDuplicates(const ExampleSet& set, size_t batch_size, size_t fewest) {
  std::vector<int32_t> left(set.examples.size());
  std::iota(left.begin(), left.end(), 0);
  std::vector<std::vector<int32_t>> batches;
  while (!left.empty()) {
    std::vector<int32_t> batch, later;
    std::set<TextId> texts;
    for (const int32_t i : left) {
      const std::set<TextId> own = TextsOf(set.examples[i]);
      const bool fits =
          batch.size() < batch_size && std::ranges::none_of(own, [&](TextId text) { return texts.contains(text); });
      (fits ? batch : later).push_back(i);
      if (fits) texts.insert(own.begin(), own.end());
    }
    if (batch.size() >= fewest) batches.push_back(batch);
    left = later;
  }
  return batches;
}

TEST(SamplerTest, NoDuplicatesIsTheRuleWithSeveralPositivesAndNegativesToo) {
  for (const uint64_t seed : {1, 2, 3, 4, 5, 6}) {
    for (const int fewest : {1, 2}) {
      const ExampleSet set = CrowdedPairs(300, 40 * seed, seed);
      SamplerOptions options = Options(9, ExampleOrder::kGiven, BatchSampler::kNoDuplicates);
      options.fewest = fewest;
      EXPECT_EQ(Lists(Sampler(set, options).Epoch(0)), NaiveNoDuplicates(set, 9, fewest)) << seed << " " << fewest;
    }
  }
}

TEST(SamplerTest, NoTextStandsInTwoExamplesOfABatchAndEveryExampleIsUsedOnce) {
  const ExampleSet set = CrowdedPairs(3000, 5000, 5);
  const Sampler sampler(set, Options(64, ExampleOrder::kShuffled, BatchSampler::kNoDuplicates));
  std::set<int32_t> used;
  const EpochBatches batches = sampler.Epoch(3);
  for (int64_t b = 0; b < batches.size(); ++b) {
    ASSERT_GE(batches.batch(b).size(), 2u);
    std::set<TextId> texts;
    for (const int32_t i : batches.batch(b)) {
      EXPECT_TRUE(used.insert(i).second) << i;
      for (const TextId text : TextsOf(set.examples[i])) EXPECT_TRUE(texts.insert(text).second) << text << " in " << b;
    }
  }
  EXPECT_GE(used.size(), set.examples.size() - 10);  // Lone examples at the end are left out.
}

TEST(SamplerTest, SecondPositiveOfAnAnchorWaitsForAnotherBatch) {
  const ExampleSet pairs = {ExampleForm::kPair, {{0, {1}, {}}, {0, {2}, {}}, {3, {4}, {}}, {5, {6}, {}}}};
  const Sampler sampler(pairs, Options(2, ExampleOrder::kGiven, BatchSampler::kNoDuplicates));
  EXPECT_EQ(Lists(sampler.Epoch(0)), (std::vector<std::vector<int32_t>>{{0, 2}, {1, 3}}));
}

TEST(SamplerTest, PairsThatAllShareATextMakeNoBatchUnlessOneIsEnough) {
  ExampleSet pairs;
  for (TextId i = 1; i <= 20; ++i) pairs.examples.push_back({0, {i}, {}});
  SamplerOptions options = Options(4, ExampleOrder::kShuffled, BatchSampler::kNoDuplicates);
  EXPECT_EQ(Sampler(pairs, options).Epoch(0).size(), 0);
  options.fewest = 1;
  EXPECT_EQ(Sampler(pairs, options).Epoch(0).size(), 20);
}

TEST(SamplerTest, ALoneLastExampleIsKeptWhenTheLossLearnsFromOne) {
  const ExampleSet pairs = DistinctPairs(7);
  SamplerOptions options = Options(3, ExampleOrder::kGiven, BatchSampler::kPlain);
  options.fewest = 1;
  EXPECT_EQ(Lists(Sampler(pairs, options).Epoch(0)), (std::vector<std::vector<int32_t>>{{0, 1, 2}, {3, 4, 5}, {6}}));
}

TEST(SamplerTest, ShuffleFollowsFromSeedAndEpoch) {
  const auto pairs = DistinctPairs(100);
  SamplerOptions options = Options(10, ExampleOrder::kShuffled, BatchSampler::kPlain);
  const Sampler one(pairs, options), same(pairs, options);
  EXPECT_EQ(one.Epoch(2).examples, same.Epoch(2).examples);
  EXPECT_NE(one.Epoch(0).examples, one.Epoch(1).examples);
  options.seed = 43;
  EXPECT_NE(one.Epoch(0).examples, Sampler(pairs, options).Epoch(0).examples);
  std::vector<int32_t> sorted = one.Epoch(1).examples;
  std::sort(sorted.begin(), sorted.end());
  for (int32_t i = 0; i < 100; ++i) EXPECT_EQ(sorted[i], i);
}

TEST(SamplerTest, ShuffleIsTheSameOnEveryMachine) {
  const auto pairs = DistinctPairs(8);
  const Sampler sampler(pairs, Options(8, ExampleOrder::kShuffled, BatchSampler::kPlain));
  // Computed by hand in another language: a change would give resumed jobs other batches.
  EXPECT_EQ(sampler.Epoch(0).examples, (std::vector<int32_t>{3, 5, 7, 2, 4, 0, 6, 1}));
}

TEST(SamplerTest, BalancedMakesTheBatchesOfSentenceTransformersForTwoTextsAClass) {
  const nlohmann::json cases = ReadGolden("balanced.json");
  ASSERT_EQ(cases.size(), 6u);
  for (const nlohmann::json& golden : cases) {
    const ExampleSet set = LabelledTexts(golden["labels"].get<std::vector<int32_t>>());
    SamplerOptions options = Options(golden["batch_size"], ExampleOrder::kGiven, BatchSampler::kBalanced);
    options.texts_per_class = 2;
    EXPECT_EQ(Lists(Sampler(set, options).Epoch(0)), golden["batches"].get<std::vector<std::vector<int32_t>>>());
  }
}

std::map<int32_t, int> ClassSizes(const ExampleSet& set, std::span<const int32_t> batch) {
  std::map<int32_t, int> sizes;
  for (const int32_t i : batch) ++sizes[set.examples[i].label];
  return sizes;
}

TEST(SamplerTest, BalancedBatchesHoldTextsPerClassOfAsManyClassesAsFit) {
  std::vector<int32_t> labels;  // 24 classes of 12.
  for (int i = 0; i < 288; ++i) labels.push_back(i * 7 % 24);
  const ExampleSet set = LabelledTexts(labels);
  SamplerOptions options = Options(16, ExampleOrder::kShuffled, BatchSampler::kBalanced);
  options.texts_per_class = 4;
  for (const int64_t epoch : {0, 1, 2}) {
    const EpochBatches batches = Sampler(set, options).Epoch(epoch);
    EXPECT_EQ(batches.size(), 18);  // Nothing is left over.
    for (int64_t b = 0; b < batches.size(); ++b) {
      for (const auto& [label, size] : ClassSizes(set, batches.batch(b))) EXPECT_EQ(size, 4) << b;
    }
    std::vector<int32_t> used = batches.examples;
    std::ranges::sort(used);
    EXPECT_TRUE(std::ranges::adjacent_find(used) == used.end());
  }
}

TEST(SamplerTest, BalancedBatchesOfSkewedClassesHaveTwoClassesAndNoLoneText) {
  SplitMix64 random(11);
  std::vector<int32_t> labels;
  for (int i = 0; i < 1000; ++i) labels.push_back(static_cast<int32_t>(random.Below(1 + random.Below(60))));
  const ExampleSet set = LabelledTexts(labels);
  for (const int texts_per_class : {2, 3, 5, 8}) {
    SamplerOptions options = Options(17, ExampleOrder::kShuffled, BatchSampler::kBalanced);
    options.texts_per_class = texts_per_class;
    const EpochBatches batches = Sampler(set, options).Epoch(4);
    std::set<int32_t> used;
    for (int64_t b = 0; b < batches.size(); ++b) {
      const auto sizes = ClassSizes(set, batches.batch(b));
      EXPECT_GE(sizes.size(), 2u);
      EXPECT_LE(batches.batch(b).size(), 17u);
      for (const auto& [label, size] : sizes) EXPECT_GE(size, 2);
      for (const int32_t i : batches.batch(b)) EXPECT_TRUE(used.insert(i).second);
    }
    EXPECT_GE(used.size(), 700u) << texts_per_class;
  }
}

TEST(SamplerTest, BalancedUsesAClassWithFewerTextsWithoutRepeatingAny) {
  const ExampleSet set = LabelledTexts({0, 0, 0, 0, 1, 1, 1, 2, 2, 3});
  SamplerOptions options = Options(12, ExampleOrder::kGiven, BatchSampler::kBalanced);
  // Class 3 has one text only.
  EXPECT_EQ(Lists(Sampler(set, options).Epoch(0)), (std::vector<std::vector<int32_t>>{{0, 1, 2, 3, 4, 5, 6, 7, 8}}));
  EXPECT_EQ(Sampler(LabelledTexts({0, 0, 0, 0, 1, 2, 3}), options).Epoch(0).size(), 0);
}

TEST(SamplerTest, EveryTextOfABalancedSetIsUsedWithinSomeEpochs) {
  std::vector<int32_t> labels(60, 0);
  for (int i = 0; i < 11; ++i) labels.push_back(1);
  for (int i = 0; i < 7; ++i) labels.push_back(2);
  const ExampleSet set = LabelledTexts(labels);
  const Sampler sampler(set, Options(8, ExampleOrder::kShuffled, BatchSampler::kBalanced));
  std::set<int32_t> used;
  for (int64_t epoch = 0; epoch < 60; ++epoch) {
    for (const int32_t i : sampler.Epoch(epoch).examples) used.insert(i);
  }
  EXPECT_EQ(used.size(), labels.size());
}

TEST(FewestExamplesTest, OneIsEnoughForLossesThatDoNotCompareExamples) {
  EXPECT_EQ(FewestExamples({InfoNceOptions()}), 2);
  EXPECT_EQ(FewestExamples({CosentOptions()}), 2);
  EXPECT_EQ(FewestExamples({SupConOptions()}), 2);
  EXPECT_EQ(FewestExamples({TripletOptions{.mining = TripletOptions::Mining::kBatchHard}}), 2);
  EXPECT_EQ(FewestExamples({TripletOptions{.mining = TripletOptions::Mining::kExplicit}}), 1);
  EXPECT_EQ(FewestExamples({ContrastiveOptions()}), 1);
  EXPECT_EQ(FewestExamples({CosineMseOptions()}), 1);
}

TEST(SamplerOptionsForTest, LabelledTextsAreBalancedAndOthersWithoutDuplicatesUnlessAskedFor) {
  TrainerOptions options;
  EXPECT_EQ(SamplerOptionsFor(options, {}, ExampleForm::kLabelledText)->kind, BatchSampler::kBalanced);
  EXPECT_EQ(SamplerOptionsFor(options, {}, ExampleForm::kScoredPair)->kind, BatchSampler::kNoDuplicates);
  options.batch_sampler = BatchSampler::kPlain;
  EXPECT_EQ(SamplerOptionsFor(options, {}, ExampleForm::kLabelledText)->kind, BatchSampler::kPlain);
}

TEST(SamplerOptionsForTest, BalancedNeedsClassesAndRoomForTwo) {
  TrainerOptions options;
  options.batch_sampler = BatchSampler::kBalanced;
  EXPECT_EQ(FieldPath(SamplerOptionsFor(options, {}, ExampleForm::kPair).status()), "options.batch_sampler");
  options.batch_size = 7;
  EXPECT_EQ(FieldPath(SamplerOptionsFor(options, {}, ExampleForm::kLabelledText).status()), "options.texts_per_class");
}

TEST(SamplerTest, MillionPairsWithTenPositivesTakeSeconds) {
  SplitMix64 random(9);
  ExampleSet pairs;
  for (TextId i = 0; i < 1'000'000; ++i)
    pairs.examples.push_back({i + 10, {static_cast<TextId>(random.Below(10))}, {}});
  const Sampler sampler(pairs, Options(32, ExampleOrder::kShuffled, BatchSampler::kNoDuplicates));
  const auto start = std::chrono::steady_clock::now();
  const EpochBatches batches = sampler.Epoch(0);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));  // Looking at each again: hours.
  EXPECT_GE(batches.size(), 100'000);
}

}  // namespace
}  // namespace tandem
