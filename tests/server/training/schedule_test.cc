#include "server/training/schedule.h"

#include <gtest/gtest.h>

#include "tests/server/training/golden.h"

namespace tandem {
namespace {

Schedule Named(const std::string& name) {
  return name == "linear" ? Schedule::kLinear : name == "cosine" ? Schedule::kCosine : Schedule::kConstant;
}

TEST(ScheduleTest, FactorsAreThoseOfTransformers) {
  const nlohmann::json cases = ReadGolden("schedule.json");
  ASSERT_EQ(cases.size(), 12u);
  for (const nlohmann::json& golden : cases) {
    const int64_t warmup = golden["warmup_steps"], total = golden["total_steps"];
    ASSERT_EQ(static_cast<int64_t>(golden["factors"].size()), total);
    for (int64_t step = 0; step < total; ++step) {
      EXPECT_NEAR(LearningRateFactor(Named(golden["schedule"]), step, warmup, total),
                  golden["factors"][step].get<double>(), 1e-12)
          << golden["schedule"] << " warm-up " << warmup << " of " << total << " at " << step;
    }
  }
}

TEST(ScheduleTest, WithoutWarmupTheFirstStepHasTheFullRate) {
  for (const Schedule schedule : {Schedule::kLinear, Schedule::kCosine, Schedule::kConstant}) {
    EXPECT_EQ(LearningRateFactor(schedule, 0, 0, 5), 1.0);
  }
}

}  // namespace
}  // namespace tandem
