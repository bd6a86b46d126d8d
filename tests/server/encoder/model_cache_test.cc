#include "server/encoder/model_cache.h"

#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/encoder/golden.h"

namespace tandem {
namespace {

int64_t BytesOf(const std::string& variant) {
  ModelCache cache(1 << 30);
  EXPECT_TRUE(cache.Get(GoldenPath("tiny/" + variant)).ok());
  return cache.used_bytes();
}

TEST(ModelCacheTest, LoadsADirectoryOnce) {
  ModelCache cache(1 << 30);
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
  ModelCache cache(BytesOf("mean") + BytesOf("plain") + BytesOf("max_half") - 1);
  std::weak_ptr<const Encoder> mean = *cache.Get(GoldenPath("tiny/mean"));
  std::weak_ptr<const Encoder> plain = *cache.Get(GoldenPath("tiny/plain"));
  ASSERT_TRUE(cache.Get(GoldenPath("tiny/mean")).ok());
  ASSERT_TRUE(cache.Get(GoldenPath("tiny/max_half")).ok());
  EXPECT_FALSE(mean.expired());
  EXPECT_TRUE(plain.expired());
}

TEST(ModelCacheTest, AModelInUseStaysAndTheRefusalHasTheNumbers) {
  const int64_t budget = BytesOf("mean") + 100;
  ModelCache cache(budget);
  absl::StatusOr<std::shared_ptr<const Encoder>> held = cache.Get(GoldenPath("tiny/mean"));
  ASSERT_TRUE(held.ok());
  const absl::Status refused = cache.Get(GoldenPath("tiny/plain")).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(refused.ToString(), testing::HasSubstr("the model takes " + std::to_string(BytesOf("plain")) + " bytes"));
  EXPECT_THAT(refused.ToString(), testing::HasSubstr("the budget of " + std::to_string(budget) + " bytes"));
  held = absl::CancelledError();
  EXPECT_TRUE(cache.Get(GoldenPath("tiny/plain")).ok());
}

TEST(ModelCacheTest, AForgottenDirectoryIsReadAnew) {
  const ScratchModel model("mean");
  ModelCache cache(1 << 30);
  const auto before = cache.Get(model.path());
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
}

TEST(ModelCacheTest, ADirectoryThatIsForgottenWhileItLoadsIsNotKept) {
  for (int round = 0; round < 20; ++round) {
    ModelCache cache(1 << 30);
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
  ModelCache cache(1 << 30);
  EXPECT_EQ(cache.Get(model.path()).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(cache.used_bytes(), 0);
}

}  // namespace
}  // namespace tandem
