#include "server/training/objective_plan.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "server/base/random.h"

namespace tandem {
namespace {

// Sets of pairs that share no text, so that batches are known.
class ObjectivePlanTest : public testing::Test {
 protected:
  void AddObjective(int pairs, double weight, BatchSampler sampler = BatchSampler::kPlain) {
    ExampleSet& set = sets_.emplace_back();
    for (TextId i = 0; i < pairs; ++i) set.examples.push_back({2 * i, {2 * i + 1}, {}});
    AddSampler(sampler, weight);
  }
  // Pairs over few texts: the number of batches changes from epoch to epoch.
  void AddCrowdedObjective(int pairs, double weight) {
    ExampleSet& set = sets_.emplace_back();
    SplitMix64 random(3);
    const auto text = [&] { return static_cast<TextId>(random.Below(20)); };
    for (int i = 0; i < pairs; ++i) set.examples.push_back({text(), {text()}, {text()}});
    AddSampler(BatchSampler::kNoDuplicates, weight);
  }

  std::vector<Sampler> Samplers() const {
    std::vector<Sampler> samplers;
    for (size_t i = 0; i < sets_.size(); ++i) samplers.emplace_back(sets_[i], sampler_options_[i]);
    return samplers;
  }
  ObjectivePlan Plan() const { return ObjectivePlan(Samplers(), options_); }

  struct TakenStep {
    int64_t epoch;
    std::vector<std::pair<int, std::vector<int32_t>>> batches;
    bool operator==(const TakenStep&) const = default;
  };
  static TakenStep Take(ObjectivePlan& plan) {
    TakenStep step{plan.epoch(), {}};
    for (const ObjectiveBatch& batch : plan.Batches()) {
      step.batches.emplace_back(batch.objective, std::vector(batch.examples.begin(), batch.examples.end()));
    }
    return step;
  }
  static std::vector<TakenStep> Run(ObjectivePlan plan, int64_t steps) {
    std::vector<TakenStep> taken;
    for (int64_t i = 0; i < steps; ++i) {
      taken.push_back(Take(plan));
      plan.Advance();
    }
    return taken;
  }
  // The first `count` batches of an objective's own epochs, end to end.
  std::vector<std::vector<int32_t>> Stream(size_t objective, size_t count) const {
    std::vector<std::vector<int32_t>> stream;
    for (int64_t epoch = 0; stream.size() < count; ++epoch) {
      const EpochBatches batches = Sampler(sets_[objective], sampler_options_[objective]).Epoch(epoch);
      for (int64_t b = 0; b < batches.size() && stream.size() < count; ++b) {
        stream.emplace_back(batches.batch(b).begin(), batches.batch(b).end());
      }
    }
    return stream;
  }

  std::vector<ExampleSet> sets_;
  std::vector<SamplerOptions> sampler_options_;
  TrainerOptions options_{.objectives = {}};

 private:
  void AddSampler(BatchSampler sampler, double weight) {
    sampler_options_.push_back({.kind = sampler, .batch_size = 4, .seed = 42});
    options_.objectives.push_back({.weight = weight});
  }
};

TEST_F(ObjectivePlanTest, OneObjectiveHasTheEpochsOfItsSamplerHoweverLong) {
  AddCrowdedObjective(60, 3);
  options_.epochs = 5;
  for (const Mixing mixing : {Mixing::kProportional, Mixing::kSum}) {
    options_.mixing = mixing;
    std::vector<TakenStep> expected;
    const Sampler sampler(sets_[0], sampler_options_[0]);
    bool sizes_differ = false;
    for (int64_t epoch = 0; epoch < 5; ++epoch) {
      const EpochBatches batches = sampler.Epoch(epoch);
      sizes_differ |= batches.size() != sampler.Epoch(0).size();
      for (int64_t b = 0; b < batches.size(); ++b) {
        expected.push_back({epoch, {{0, std::vector(batches.batch(b).begin(), batches.batch(b).end())}}});
      }
    }
    ASSERT_TRUE(sizes_differ);
    EXPECT_EQ(Plan().TotalSteps(), static_cast<int64_t>(expected.size()));
    EXPECT_EQ(Run(Plan(), static_cast<int64_t>(expected.size())), expected);
  }
}

TEST_F(ObjectivePlanTest, MaxStepsEndsEarlierButNeverLater) {
  AddObjective(40, 1);
  options_.epochs = 2;
  EXPECT_EQ(Plan().TotalSteps(), 20);
  options_.max_steps = 7;
  EXPECT_EQ(Plan().TotalSteps(), 7);
  options_.max_steps = 21;
  EXPECT_EQ(Plan().TotalSteps(), 20);
}

TEST_F(ObjectivePlanTest, ObjectivesTakeTurnsInProportionToWeightTimesBatches) {
  AddObjective(160, 1);  // 40 batches.
  AddObjective(80, 3);   // 20 batches, thrice as heavy.
  AddObjective(4, 1);    // One batch: 1 / 101 of 61 steps, rounded to one.
  const auto steps = Run(Plan(), 61);
  std::map<int, int> turns;
  for (const TakenStep& step : steps) {
    EXPECT_EQ(step.epoch, 0);
    ASSERT_EQ(step.batches.size(), 1u);
    ++turns[step.batches[0].first];
  }
  EXPECT_EQ(turns, (std::map<int, int>{{0, 24}, {1, 36}, {2, 1}}));  // 61 * 40 / 101 = 24.2, 61 * 60 / 101 = 36.2
  EXPECT_EQ(Plan().TotalSteps(), 61);
}

TEST_F(ObjectivePlanTest, AnObjectiveOfLittleWeightStillHasAStepInEachEpoch) {
  AddObjective(400, 1000);
  AddObjective(4, 0.001);
  AddObjective(4, 0.001);
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    ObjectivePlan plan = Plan();
    plan.GoTo(epoch, 0);
    std::map<int, int> turns;
    while (plan.epoch() == epoch) {
      ++turns[plan.Batches()[0].objective];
      plan.Advance();
    }
    EXPECT_EQ(turns, (std::map<int, int>{{0, 100}, {1, 1}, {2, 1}}));
  }
}

TEST_F(ObjectivePlanTest, StreamsGoOnFromEpochToEpochWithoutGapOrRepetition) {
  AddObjective(60, 5);
  AddObjective(44, 1);
  AddCrowdedObjective(50, 2);
  std::vector<std::vector<std::vector<int32_t>>> taken(3);
  for (const TakenStep& step : Run(Plan(), 200)) taken[step.batches[0].first].push_back(step.batches[0].second);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(taken[i], Stream(i, taken[i].size())) << i;
}

TEST_F(ObjectivePlanTest, TurnsAreMixedAndDifferFromEpochToEpoch) {
  AddObjective(400, 1);
  AddObjective(400, 1);
  const auto steps = Run(Plan(), 400);
  std::vector<int> first, second;
  for (int i = 0; i < 200; ++i) {
    first.push_back(steps[i].batches[0].first);
    second.push_back(steps[200 + i].batches[0].first);
  }
  EXPECT_NE(first, second);
  // Runs of one objective in 200 fair draws: 101 expected, standard deviation 7.
  int runs = 1;
  for (int i = 1; i < 200; ++i) runs += first[i] != first[i - 1];
  EXPECT_GT(runs, 66);
  EXPECT_LT(runs, 136);
}

TEST_F(ObjectivePlanTest, SumTakesABatchOfEveryObjectiveAndLastsAsLongAsTheLongest) {
  AddObjective(40, 1);
  AddObjective(100, 0.5);
  AddObjective(12, 7);
  options_.mixing = Mixing::kSum;
  options_.epochs = 2;
  EXPECT_EQ(Plan().TotalSteps(), 50);
  const auto steps = Run(Plan(), 50);
  for (size_t i = 0; i < 3; ++i) {
    const auto stream = Stream(i, 50);
    for (size_t step = 0; step < 50; ++step) {
      ASSERT_EQ(steps[step].batches.size(), 3u);
      EXPECT_EQ(steps[step].batches[i], std::pair(static_cast<int>(i), stream[step])) << i << " at " << step;
    }
  }
}

TEST_F(ObjectivePlanTest, EpochAndPositionAreTheWholeState) {
  AddObjective(60, 5);
  AddCrowdedObjective(50, 2);
  for (const Mixing mixing : {Mixing::kProportional, Mixing::kSum}) {
    options_.mixing = mixing;
    ObjectivePlan whole = Plan();
    for (int step = 0; step < 120; ++step) {
      ObjectivePlan resumed = Plan();
      resumed.GoTo(whole.epoch(), whole.position());
      EXPECT_EQ(Take(resumed), Take(whole)) << step;
      EXPECT_EQ(resumed.EpochAfterStep(), whole.EpochAfterStep());
      whole.Advance();
    }
    EXPECT_GT(whole.epoch(), 2);
  }
}

TEST_F(ObjectivePlanTest, EpochAfterStepCountsTheFractionOfTheEpoch) {
  AddObjective(16, 1);
  ObjectivePlan plan = Plan();
  EXPECT_DOUBLE_EQ(plan.EpochAfterStep(), 0.25);
  plan.GoTo(2, 3);
  EXPECT_DOUBLE_EQ(plan.EpochAfterStep(), 3);
}

}  // namespace
}  // namespace tandem
