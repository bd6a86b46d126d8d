#include "server/training/token_cache.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/server/training/golden.h"

namespace tandem {
namespace {

absl::Status GoOn(int64_t, int64_t) { return absl::OkStatus(); }

class TokenCacheTest : public testing::Test {
 protected:
  void SetUp() override {
    auto tokenizer = Tokenizer::Load(GoldenPath("tiny_bert/tokenizer.json"));
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    tokenizer_ = *std::move(tokenizer);
    pairs_.examples = {{texts_.Intern("search index"), {texts_.Intern("tree graph")}, {texts_.Intern("search index")}}};
  }

  std::vector<int32_t> Ids(const std::string& text, int max_length = 64) const {
    auto tokens = tokenizer_->Encode(std::vector<std::string>{text}, "", max_length, TruncationSide::kEnd);
    EXPECT_TRUE(tokens.ok()) << tokens.status();
    return tokens.ok() ? tokens->at(0).ids : std::vector<int32_t>();
  }

  const ExampleSet* const sets_[1] = {&pairs_};
  std::unique_ptr<const Tokenizer> tokenizer_;
  TextTable texts_;
  ExampleSet pairs_;
};

TEST_F(TokenCacheTest, EachRoleHasItsPrompt) {
  EmbeddingContract contract;
  contract.query_prompt = "video ";
  contract.document_prompt = "music ";
  const auto cache = TokenCache::Make(texts_, sets_, *tokenizer_, contract, 64, GoOn);
  ASSERT_TRUE(cache.ok()) << cache.status();
  EXPECT_EQ(cache->anchor(pairs_.examples[0].anchor).ids, Ids("video search index"));
  EXPECT_EQ(cache->document(pairs_.examples[0].positives[0]).ids, Ids("music tree graph"));
  EXPECT_EQ(cache->document(pairs_.examples[0].negatives[0]).ids, Ids("music search index"));
}

TEST_F(TokenCacheTest, TheTwoViewsOfATextHaveBothPrompts) {
  EmbeddingContract contract;
  contract.query_prompt = "video ";
  contract.document_prompt = "music ";
  pairs_ = TwoViewsEach(pairs_);
  const auto cache = TokenCache::Make(texts_, sets_, *tokenizer_, contract, 64, GoOn);
  ASSERT_TRUE(cache.ok()) << cache.status();
  const TextId text = pairs_.examples[0].anchor;
  EXPECT_EQ(cache->anchor(text).ids, Ids("video search index"));
  EXPECT_EQ(cache->document(text).ids, Ids("music search index"));
}

TEST_F(TokenCacheTest, TextsAreCutAtMaxLength) {
  const auto cache = TokenCache::Make(texts_, sets_, *tokenizer_, EmbeddingContract(), 3, GoOn);
  ASSERT_TRUE(cache.ok()) << cache.status();
  EXPECT_EQ(cache->anchor(pairs_.examples[0].anchor).ids, Ids("search index", 3));
  EXPECT_EQ(cache->anchor(pairs_.examples[0].anchor).ids.size(), 3u);
}

TEST_F(TokenCacheTest, StopsWhenAskedTo) {
  const auto cache = TokenCache::Make(texts_, sets_, *tokenizer_, EmbeddingContract(), 64,
                                      [](int64_t, int64_t) { return absl::CancelledError(); });
  EXPECT_TRUE(absl::IsCancelled(cache.status()));
}

}  // namespace
}  // namespace tandem
