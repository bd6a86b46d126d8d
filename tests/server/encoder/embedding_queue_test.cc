#include "server/encoder/embedding_queue.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "server/base/status.h"
#include "tests/server/encoder/golden.h"

namespace tandem {
namespace {

constexpr auto kInteractive = EmbeddingPriority::kInteractive;
constexpr auto kBulk = EmbeddingPriority::kBulk;

std::shared_ptr<const Encoder> LoadOrDie(const std::filesystem::path& directory) {
  absl::StatusOr<std::unique_ptr<const Encoder>> encoder = Encoder::Load(directory);
  EXPECT_TRUE(encoder.ok()) << encoder.status();
  return encoder.ok() ? std::shared_ptr<const Encoder>(*std::move(encoder)) : nullptr;
}

std::shared_ptr<const Encoder> Tiny() { return LoadOrDie(GoldenPath("tiny/mean")); }

// Work of seconds: texts of 256 tokens for all-MiniLM-L6-v2.
std::vector<std::string> LongTexts(size_t count) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += "word ";
  return std::vector<std::string>(count, text);
}

std::vector<std::string> ManyTexts(int first, int count) {
  std::vector<std::string> texts;
  for (int i = first; i < first + count; ++i) {
    std::string text;
    for (int bit = 0; bit < 10; ++bit) text += (i >> bit) % 2 ? "cat " : "dog ";
    texts.push_back(text);
  }
  return texts;
}

TEST(EmbeddingQueueTest, TextsOfConcurrentCallsKeepTheirPlaces) {
  const auto encoder = Tiny();
  ASSERT_NE(encoder, nullptr);
  EmbeddingQueue queue({.interactive_tokens = 100, .bulk_tokens = 100, .bulk_tokens_beside_interactive = 30});
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 8; ++thread) {
    threads.emplace_back([&, thread] {
      const std::vector<std::string> texts = ManyTexts(thread * 40, 40);
      const absl::StatusOr<EmbeddedTexts> all =
          queue.Embed(encoder, texts, InputRole::kQuery, thread % 2 ? kBulk : kInteractive, absl::InfiniteFuture());
      ASSERT_TRUE(all.ok()) << all.status();
      ASSERT_EQ(all->vectors.size(), 40u * 16);
      for (size_t i = 0; i < texts.size(); i += 13) {
        const absl::StatusOr<EmbeddedTexts> one =
            queue.Embed(encoder, {&texts[i], 1}, InputRole::kQuery, kInteractive, absl::InfiniteFuture());
        ASSERT_TRUE(one.ok()) << one.status();
        for (size_t j = 0; j < 16; ++j) EXPECT_NEAR(one->vectors[j], all->vectors[i * 16 + j], 1e-5);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(EmbeddingQueueTest, TellsTokenCountsAndTruncation) {
  EmbeddingQueue queue({});
  const std::vector<std::string> texts = {"the cat", std::string(100, '!'), ""};
  const absl::StatusOr<EmbeddedTexts> result =
      queue.Embed(Tiny(), texts, InputRole::kQuery, kInteractive, absl::InfiniteFuture());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->token_counts, (std::vector<int>{4, 102, 2}));
  EXPECT_EQ(result->truncated, (std::vector<bool>{false, true, false}));
  EXPECT_EQ(result->vectors.size(), 3u * 16);
}

TEST(EmbeddingQueueTest, CallsOfDifferentModelsAreNotMixed) {
  const auto mean = Tiny(), cls = LoadOrDie(GoldenPath("tiny/cls_sharded_prefixed"));
  ASSERT_TRUE(mean != nullptr && cls != nullptr);
  EmbeddingQueue queue({});
  std::vector<std::thread> threads;
  for (const auto& encoder : {mean, cls, mean, cls}) {
    threads.emplace_back([&queue, encoder] {
      const std::vector<std::string> texts = ManyTexts(0, 20);
      const absl::StatusOr<std::vector<TokenizedText>> tokenized = encoder->Tokenize(texts, InputRole::kQuery);
      const absl::StatusOr<EmbeddedTexts> result =
          queue.Embed(encoder, texts, InputRole::kQuery, kInteractive, absl::InfiniteFuture());
      ASSERT_TRUE(result.ok()) << result.status();
      std::vector<const TokenizedText*> pointers;
      for (const TokenizedText& text : *tokenized) pointers.push_back(&text);
      const absl::StatusOr<std::vector<float>> direct = encoder->Embed(pointers);
      for (size_t i = 0; i < direct->size(); ++i) EXPECT_NEAR(result->vectors[i], (*direct)[i], 1e-5);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(EmbeddingQueueTest, InteractiveTextsOvertakeBulkWork) {
  const auto encoder = LoadOrDie(TANDEM_TEST_MODEL_DIR);
  ASSERT_NE(encoder, nullptr);
  EmbeddingQueue queue({});
  std::atomic<bool> bulk_done = false;
  std::thread bulk([&] {
    EXPECT_TRUE(queue.Embed(encoder, LongTexts(100), InputRole::kDocument, kBulk, absl::InfiniteFuture()).ok());
    bulk_done = true;
  });
  absl::SleepFor(absl::Milliseconds(100));
  const std::vector<std::string> query = {"short"};
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(queue.Embed(encoder, query, InputRole::kQuery, kInteractive, absl::InfiniteFuture()).ok());
  }
  EXPECT_FALSE(bulk_done);
  bulk.join();
}

TEST(EmbeddingQueueTest, InteractiveWorkGoesBetweenTheLayersOfABulkChunk) {
  const auto encoder = LoadOrDie(TANDEM_TEST_MODEL_DIR);
  ASSERT_NE(encoder, nullptr);
  constexpr int kAll = 1 << 20;  // All of the bulk call is one chunk.
  EmbeddingQueue queue({.bulk_tokens = kAll, .bulk_tokens_beside_interactive = kAll});
  std::atomic<bool> bulk_done = false;
  absl::StatusOr<EmbeddedTexts> beside, alone;
  const std::vector<std::string> texts = LongTexts(32);
  std::thread bulk([&] {
    beside = queue.Embed(encoder, texts, InputRole::kDocument, kBulk, absl::InfiniteFuture());
    bulk_done = true;
  });
  absl::SleepFor(absl::Milliseconds(100));
  const std::vector<std::string> query = {"short"};
  const auto first = queue.Embed(encoder, query, InputRole::kQuery, kInteractive, absl::InfiniteFuture());
  EXPECT_FALSE(bulk_done);
  bulk.join();
  ASSERT_TRUE(first.ok() && beside.ok()) << first.status() << beside.status();
  // Neither has changed the other.
  alone = queue.Embed(encoder, texts, InputRole::kDocument, kBulk, absl::InfiniteFuture());
  EXPECT_EQ(beside->vectors, alone->vectors);
  EXPECT_EQ(first->vectors,
            queue.Embed(encoder, query, InputRole::kQuery, kInteractive, absl::InfiniteFuture())->vectors);
}

TEST(EmbeddingQueueTest, AnEndlessRowOfInteractiveCallsDoesNotStarveBulkWork) {
  const auto encoder = LoadOrDie(TANDEM_TEST_MODEL_DIR);
  ASSERT_NE(encoder, nullptr);
  EmbeddingQueue queue({});
  std::atomic<bool> stop = false;
  std::vector<std::thread> searchers;
  for (int i = 0; i < 4; ++i) {
    searchers.emplace_back([&] {
      const std::vector<std::string> query = {"some words that are asked for all the time"};
      while (!stop) {
        EXPECT_TRUE(queue.Embed(encoder, query, InputRole::kQuery, kInteractive, absl::InfiniteFuture()).ok());
      }
    });
  }
  absl::SleepFor(absl::Milliseconds(200));
  for (int i = 0; i < 3; ++i) {
    const absl::Status status =
        queue.Embed(encoder, LongTexts(4), InputRole::kDocument, kBulk, absl::Now() + absl::Minutes(2)).status();
    EXPECT_TRUE(status.ok()) << status;
  }
  stop = true;
  for (std::thread& searcher : searchers) searcher.join();
}

TEST(EmbeddingQueueTest, ADeadlineThatPassesBeforeTheStartEndsTheCall) {
  const auto encoder = LoadOrDie(TANDEM_TEST_MODEL_DIR);
  ASSERT_NE(encoder, nullptr);
  EmbeddingQueue queue({});
  std::thread first([&] {  // Interactive: nothing goes between its layers.
    EXPECT_TRUE(queue.Embed(encoder, LongTexts(64), InputRole::kDocument, kInteractive, absl::InfiniteFuture()).ok());
  });
  absl::SleepFor(absl::Milliseconds(200));
  const std::vector<std::string> query = {"short"};
  for (const auto deadline : {absl::InfinitePast(), absl::Now() + absl::Milliseconds(1)}) {
    EXPECT_EQ(queue.Embed(encoder, query, InputRole::kQuery, kInteractive, deadline).status().code(),
              absl::StatusCode::kDeadlineExceeded);
  }
  // The line is clean afterwards.
  EXPECT_TRUE(queue.Embed(encoder, query, InputRole::kQuery, kInteractive, absl::InfiniteFuture()).ok());
  first.join();
}

TEST(EmbeddingQueueTest, TooManyInteractiveTextsAreRefusedWithARetryDelay) {
  EmbeddingQueue queue({.max_queued_texts = 2});
  const std::vector<std::string> texts = {"a", "b", "c"};
  const auto encoder = Tiny();
  const absl::Status status =
      queue.Embed(encoder, texts, InputRole::kQuery, kInteractive, absl::InfiniteFuture()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(RetryDelay(status).has_value());
  EXPECT_THAT(status.ToString(), testing::HasSubstr("exceed 2"));
  EXPECT_TRUE(queue.Embed(encoder, {texts.data(), 2}, InputRole::kQuery, kInteractive, absl::InfiniteFuture()).ok());
}

TEST(EmbeddingQueueTest, BulkCallsWaitForRoom) {
  EmbeddingQueue queue({.bulk_tokens = 60, .max_queued_texts = 4});
  const auto encoder = Tiny();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      EXPECT_TRUE(
          queue.Embed(encoder, ManyTexts(i * 20, 20), InputRole::kDocument, kBulk, absl::InfiniteFuture()).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(EmbeddingQueueTest, ATextThatIsNotUtf8FailsItsCallOnly) {
  EmbeddingQueue queue({.max_queued_texts = 1});
  const auto encoder = Tiny();
  const std::vector<std::string> bad = {"\xff"}, good = {"a"};
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(queue.Embed(encoder, bad, InputRole::kQuery, kInteractive, absl::InfiniteFuture()).status().code(),
              absl::StatusCode::kInvalidArgument);
    EXPECT_TRUE(queue.Embed(encoder, good, InputRole::kQuery, kInteractive, absl::InfiniteFuture()).ok());
  }
}

TEST(EmbeddingQueueTest, CallsThatWaitWhenTheQueueEndsAreUnavailable) {
  const auto encoder = LoadOrDie(TANDEM_TEST_MODEL_DIR);
  ASSERT_NE(encoder, nullptr);
  auto queue = std::make_unique<EmbeddingQueue>(EmbeddingQueueOptions{.bulk_tokens = 512});
  absl::Status status;
  std::thread bulk([&] {
    status = queue->Embed(encoder, LongTexts(400), InputRole::kDocument, kBulk, absl::InfiniteFuture()).status();
  });
  absl::SleepFor(absl::Milliseconds(500));
  queue.reset();
  bulk.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
}

}  // namespace
}  // namespace tandem
