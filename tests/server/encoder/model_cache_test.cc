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
