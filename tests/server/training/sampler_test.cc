#include "server/training/sampler.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "server/training/random.h"
#include "tests/server/training/golden.h"

namespace tandem {
namespace {

TrainerOptions Options(int batch_size, ExampleOrder order, BatchSampler sampler) {
  TrainerOptions options;
  options.batch_size = batch_size;
  options.order = order;
  options.batch_sampler = sampler;
  return options;
}

std::vector<TrainingPair> DistinctPairs(int count) {
  std::vector<TrainingPair> pairs;
  for (TextId i = 0; i < count; ++i) pairs.push_back({2 * i, 2 * i + 1, {}});
  return pairs;
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
    std::vector<TrainingPair> pairs;
    for (const nlohmann::json& row : golden["pairs"]) {
      pairs.push_back({row[0].get<TextId>(), row[1].get<TextId>(), {}});
      if (row.size() > 2) pairs.back().negatives.push_back(row[2].get<TextId>());
    }
    auto expected = golden["batches"].get<std::vector<std::vector<int32_t>>>();
    std::erase_if(expected, [](const auto& batch) { return batch.size() < 2; });
    const Sampler sampler(pairs, Options(golden["batch_size"], ExampleOrder::kGiven, BatchSampler::kNoDuplicates));
    EXPECT_EQ(Lists(sampler.Epoch(0)), expected);
  }
}

TEST(SamplerTest, NoTextStandsInTwoPairsOfABatchAndEveryPairIsUsedOnce) {
  SplitMix64 random(5);
  std::vector<TrainingPair> pairs(3000);
  for (TrainingPair& pair : pairs) {
    pair = {static_cast<TextId>(random.Below(1500)), static_cast<TextId>(random.Below(1500)), {}};
    if (random.Below(3) == 0) pair.negatives.push_back(static_cast<TextId>(random.Below(1500)));
  }
  const Sampler sampler(pairs, Options(64, ExampleOrder::kShuffled, BatchSampler::kNoDuplicates));
  std::set<int32_t> used;
  const EpochBatches batches = sampler.Epoch(3);
  for (int64_t b = 0; b < batches.size(); ++b) {
    ASSERT_GE(batches.batch(b).size(), 2u);
    std::set<TextId> texts;
    for (const int32_t p : batches.batch(b)) {
      EXPECT_TRUE(used.insert(p).second) << p;
      std::set<TextId> own = {pairs[p].anchor, pairs[p].positive};
      own.insert(pairs[p].negatives.begin(), pairs[p].negatives.end());
      for (const TextId text : own) EXPECT_TRUE(texts.insert(text).second) << "text " << text << " in batch " << b;
    }
  }
  EXPECT_GE(used.size(), pairs.size() - 10);  // Lone pairs at the end are left out.
}

TEST(SamplerTest, SecondPositiveOfAnAnchorWaitsForAnotherBatch) {
  const std::vector<TrainingPair> pairs = {{0, 1, {}}, {0, 2, {}}, {3, 4, {}}, {5, 6, {}}};
  const Sampler sampler(pairs, Options(2, ExampleOrder::kGiven, BatchSampler::kNoDuplicates));
  EXPECT_EQ(Lists(sampler.Epoch(0)), (std::vector<std::vector<int32_t>>{{0, 2}, {1, 3}}));
}

TEST(SamplerTest, PairsThatAllShareATextMakeNoBatch) {
  std::vector<TrainingPair> pairs;
  for (TextId i = 1; i <= 20; ++i) pairs.push_back({0, i, {}});
  const Sampler sampler(pairs, Options(4, ExampleOrder::kShuffled, BatchSampler::kNoDuplicates));
  EXPECT_EQ(sampler.TotalSteps(), 0);
}

TEST(SamplerTest, ShuffleFollowsFromSeedAndEpoch) {
  const auto pairs = DistinctPairs(100);
  TrainerOptions options = Options(10, ExampleOrder::kShuffled, BatchSampler::kPlain);
  const Sampler one(pairs, options), same(pairs, options);
  EXPECT_EQ(one.Epoch(2).pairs, same.Epoch(2).pairs);
  EXPECT_NE(one.Epoch(0).pairs, one.Epoch(1).pairs);
  options.seed = 43;
  EXPECT_NE(one.Epoch(0).pairs, Sampler(pairs, options).Epoch(0).pairs);
  std::vector<int32_t> sorted = one.Epoch(1).pairs;
  std::sort(sorted.begin(), sorted.end());
  for (int32_t i = 0; i < 100; ++i) EXPECT_EQ(sorted[i], i);
}

TEST(SamplerTest, ShuffleIsTheSameOnEveryMachine) {
  const auto pairs = DistinctPairs(8);
  const Sampler sampler(pairs, Options(8, ExampleOrder::kShuffled, BatchSampler::kPlain));
  // Computed by hand in another language: a change would give resumed jobs other batches.
  EXPECT_EQ(sampler.Epoch(0).pairs, (std::vector<int32_t>{3, 5, 7, 2, 4, 0, 6, 1}));
}

TEST(SamplerTest, TotalStepsCountsEveryEpochAndStopsAtMaxSteps) {
  const std::vector<TrainingPair> pairs = {{0, 1, {}}, {0, 2, {}}, {3, 4, {}}, {5, 6, {}}, {7, 8, {}}};
  TrainerOptions options = Options(2, ExampleOrder::kShuffled, BatchSampler::kNoDuplicates);
  options.epochs = 7;
  const Sampler sampler(pairs, options);
  int64_t counted = 0;
  for (int64_t epoch = 0; epoch < 7; ++epoch) counted += sampler.Epoch(epoch).size();
  EXPECT_EQ(sampler.TotalSteps(), counted);
  options.max_steps = 3;
  EXPECT_EQ(Sampler(pairs, options).TotalSteps(), 3);
}

TEST(SamplerTest, CursorContinuesFromEpochAndPosition) {
  const auto pairs = DistinctPairs(50);
  const Sampler sampler(pairs, Options(8, ExampleOrder::kShuffled, BatchSampler::kNoDuplicates));
  BatchCursor whole(&sampler, 0, 0);
  for (int step = 0; step < 20; ++step) {
    BatchCursor resumed(&sampler, whole.epoch(), whole.position());
    EXPECT_TRUE(std::ranges::equal(resumed.batch(), whole.batch())) << step;
    whole.Advance();
  }
  EXPECT_EQ(whole.epoch(), 2);  // 7 batches an epoch.
  EXPECT_EQ(whole.position(), 6);
  EXPECT_DOUBLE_EQ(whole.EpochAfterBatch(), 3.0);
}

TEST(SamplerTest, MillionPairsWithTenPositivesTakeSeconds) {
  SplitMix64 random(9);
  std::vector<TrainingPair> pairs(1'000'000);
  for (TextId i = 0; i < 1'000'000; ++i) pairs[i] = {i + 10, static_cast<TextId>(random.Below(10)), {}};
  const Sampler sampler(pairs, Options(32, ExampleOrder::kShuffled, BatchSampler::kNoDuplicates));
  const auto start = std::chrono::steady_clock::now();
  const EpochBatches batches = sampler.Epoch(0);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));  // Looking at each again: hours.
  EXPECT_GE(batches.size(), 100'000);
}

}  // namespace
}  // namespace tandem
