#include "server/encoder/model_cache.h"

#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/encoder/golden.h"

namespace tandem {
namespace {

int64_t BytesOf(const std::string& variant) {
  MemoryBudget budget(1 << 30);
  ModelCache cache(&budget);
  EXPECT_TRUE(cache.Get(GoldenPath("tiny/" + variant)).ok());
  EXPECT_EQ(budget.used(), cache.used_bytes());
  return cache.used_bytes();
}

TEST(ModelCacheTest, LoadsADirectoryOnce) {
  MemoryBudget budget(1 << 30);
  ModelCache cache(&budget);
  std::vector<std::shared_ptr<const Encoder>> encoders(4);
  std::vector<std::thread> threads;
  for (auto& encoder : encoders) {
    threads.emplace_back([&] { encoder = cache.Get(GoldenPath("tiny/mean")).value_or(nullptr); });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_NE(encoders[0], nullptr);
  for (const auto& encoder : encoders) EXPECT_EQ(encoder, encoders[0]);
  EXPECT_EQ(cache.used_bytes(), encoders[0]->memory_bytes());
}

TEST(ModelCacheTest, TheLeastUsedIdleModelLeaves) {
  MemoryBudget budget(BytesOf("mean") + BytesOf("plain") + BytesOf("max_half") - 1);
  ModelCache cache(&budget);
  std::weak_ptr<const Encoder> mean = *cache.Get(GoldenPath("tiny/mean"));
  std::weak_ptr<const Encoder> plain = *cache.Get(GoldenPath("tiny/plain"));
  ASSERT_TRUE(cache.Get(GoldenPath("tiny/mean")).ok());
  ASSERT_TRUE(cache.Get(GoldenPath("tiny/max_half")).ok());
  EXPECT_FALSE(mean.expired());
  EXPECT_TRUE(plain.expired());
}

TEST(ModelCacheTest, AModelInUseStaysAndTheRefusalHasTheNumbers) {
  const int64_t total = BytesOf("mean") + 100;
  MemoryBudget budget(total);
  ModelCache cache(&budget);
  absl::StatusOr<std::shared_ptr<const Encoder>> held = cache.Get(GoldenPath("tiny/mean"));
  ASSERT_TRUE(held.ok());
  const absl::Status refused = cache.Get(GoldenPath("tiny/plain")).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(refused.message(), "models/tiny/revisions/plain needs " + FormatMemory(BytesOf("plain")) +
                                   " of memory, but " + FormatMemory(BytesOf("mean")) + " of the budget of " +
                                   FormatMemory(total) + " are in use (models/tiny/revisions/mean " +
                                   FormatMemory(BytesOf("mean")) + "): free some or raise --memory-budget");
  {
    const auto served_before = cache.Get(GoldenPath("tiny/plain"), Admission::kAlways);
    ASSERT_TRUE(served_before.ok()) << served_before.status();
    EXPECT_TRUE(budget.over());
  }
  held = absl::CancelledError();
  cache.Forget(GoldenPath("tiny/plain"));
  EXPECT_TRUE(cache.Get(GoldenPath("tiny/plain")).ok());
  EXPECT_FALSE(budget.over());
}

TEST(ModelCacheTest, AnotherUserOfTheBudgetGetsTheMemoryOfIdleModels) {
  MemoryBudget budget(BytesOf("mean") + BytesOf("plain"));
  ModelCache cache(&budget);
  const auto held = cache.Get(GoldenPath("tiny/mean"));
  std::weak_ptr<const Encoder> idle = *cache.Get(GoldenPath("tiny/plain"));
  const absl::StatusOr<MemoryReservation> release = budget.Reserve("collections/c/releases/r", BytesOf("plain"));
  ASSERT_TRUE(release.ok()) << release.status();
  EXPECT_TRUE(idle.expired());
  const absl::Status refused = cache.Get(GoldenPath("tiny/plain")).status();
  EXPECT_THAT(refused.ToString(), testing::HasSubstr("collections/c/releases/r " + FormatMemory(BytesOf("plain"))));
  EXPECT_TRUE(budget.Reserve("collections/c/releases/s", 1).status().code() == absl::StatusCode::kResourceExhausted)
      << "a held model was dropped";
}

TEST(ModelCacheTest, AForgottenDirectoryIsReadAnew) {
  const ScratchModel model("mean");
  MemoryBudget budget(1 << 30);
  ModelCache cache(&budget);
  auto before = cache.Get(model.path());
  ASSERT_TRUE(before.ok()) << before.status();
  cache.Forget(model.path());
  cache.Forget(GoldenPath("tiny/plain"));  // Was never there.
  EXPECT_EQ(cache.used_bytes(), 0);
  std::filesystem::remove_all(model.path());
  std::filesystem::copy(GoldenPath("tiny/plain"), model.path(), std::filesystem::copy_options::recursive);
  const auto after = cache.Get(model.path());
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_NE(*after, *before);
  EXPECT_EQ(cache.used_bytes(), BytesOf("plain"));
  EXPECT_EQ(budget.used(), BytesOf("plain") + BytesOf("mean")) << "the forgotten one is still held";
  before = absl::CancelledError();
  EXPECT_EQ(budget.used(), BytesOf("plain"));
}

TEST(ModelCacheTest, ADirectoryThatIsForgottenWhileItLoadsIsNotKept) {
  for (int round = 0; round < 20; ++round) {
    MemoryBudget budget(1 << 30);
    ModelCache cache(&budget);
    absl::StatusOr<std::shared_ptr<const Encoder>> during;
    std::thread load([&] { during = cache.Get(GoldenPath("tiny/mean")); });
    while (cache.used_bytes() == 0) std::this_thread::yield();  // Reserved: it loads, or has just been loaded.
    cache.Forget(GoldenPath("tiny/mean"));
    load.join();
    ASSERT_TRUE(during.ok()) << during.status();
    EXPECT_EQ(cache.used_bytes(), 0);
    const auto after = cache.Get(GoldenPath("tiny/mean"));
    ASSERT_TRUE(after.ok()) << after.status();
    EXPECT_NE(*after, *during);
  }
}

TEST(ModelCacheTest, AFailedLoadLeavesNothingBehind) {
  const ScratchModel model("mean");
  nlohmann::json tokenizer = SlurpJson(model.path() / "tokenizer.json");
  tokenizer["model"]["vocab"]["extra"] = 99;
  Spill(model.path() / "tokenizer.json", tokenizer.dump());
  MemoryBudget budget(1 << 30);
  ModelCache cache(&budget);
  EXPECT_EQ(cache.Get(model.path()).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(cache.used_bytes(), 0);
}

}  // namespace
}  // namespace tandem
