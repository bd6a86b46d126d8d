// The encoder against sentence-transformers: all-MiniLM-L6-v2 on 1,000 texts, and small random models that use the
// other options.
#include "server/encoder/encoder.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/encoder/golden.h"

namespace tandem {
namespace {

constexpr double kCosineFloor = 0.99999;

std::unique_ptr<const Encoder> LoadOrDie(const std::filesystem::path& directory) {
  absl::StatusOr<std::unique_ptr<const Encoder>> encoder = Encoder::Load(directory);
  EXPECT_TRUE(encoder.ok()) << encoder.status();
  return encoder.ok() ? *std::move(encoder) : nullptr;
}

// In batches of `batch` texts, as the queue would.
std::vector<float> EmbedAll(const Encoder& encoder, const std::vector<TokenizedText>& texts, size_t batch) {
  std::vector<float> all;
  for (size_t begin = 0; begin < texts.size(); begin += batch) {
    std::vector<const TokenizedText*> part;
    for (size_t i = begin; i < std::min(begin + batch, texts.size()); ++i) part.push_back(&texts[i]);
    const absl::StatusOr<std::vector<float>> vectors = encoder.Embed(part);
    EXPECT_TRUE(vectors.ok()) << vectors.status();
    if (!vectors.ok()) break;
    all.insert(all.end(), vectors->begin(), vectors->end());
  }
  return all;
}

TEST(EncoderTest, DescribesMiniLm) {
  const auto encoder = LoadOrDie(TANDEM_TEST_MODEL_DIR);
  ASSERT_NE(encoder, nullptr);
  EmbeddingContract expected;
  expected.max_length = 256;
  expected.pooling = PoolingKind::kMean;
  expected.normalize = true;
  expected.dimensions = 384;
  EXPECT_EQ(encoder->contract(), expected);
  EXPECT_EQ(encoder->architecture(), "BertModel");
  EXPECT_EQ(encoder->parameters(), 22565376);  // 22,713,216 less the pooler, which no embedding uses.
  EXPECT_GT(encoder->memory_bytes(), encoder->parameters() * 4);

  const absl::StatusOr<ModelDescription> description = DescribeModel(TANDEM_TEST_MODEL_DIR);
  ASSERT_TRUE(description.ok()) << description.status();
  EXPECT_EQ(description->architecture, "BertModel");
  EXPECT_EQ(description->parameters, encoder->parameters());
  EXPECT_EQ(description->contract, expected);
  EXPECT_EQ(description->sha256.size(), 64u);
}

TEST(EncoderTest, IdsOfAThousandTextsAreThoseOfPythonTokenizers) {
  const auto encoder = LoadOrDie(TANDEM_TEST_MODEL_DIR);
  ASSERT_NE(encoder, nullptr);
  const std::vector<std::string> texts = GoldenTexts();
  const std::vector<GoldenIds> golden = ReadGoldenIds();
  ASSERT_EQ(texts.size(), 1000u);
  ASSERT_EQ(golden.size(), texts.size());
  const absl::StatusOr<std::vector<TokenizedText>> tokenized = encoder->Tokenize(texts, InputRole::kDocument);
  ASSERT_TRUE(tokenized.ok()) << tokenized.status();
  for (size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ((*tokenized)[i].ids, golden[i].ids) << "text " << i;
    EXPECT_EQ((*tokenized)[i].token_count, golden[i].token_count) << "text " << i;
    EXPECT_EQ((*tokenized)[i].truncated, golden[i].token_count > 256) << "text " << i;
  }
}

TEST(EncoderTest, EmbeddingsOfAThousandTextsAreThoseOfSentenceTransformers) {
  const auto encoder = LoadOrDie(TANDEM_TEST_MODEL_DIR);
  ASSERT_NE(encoder, nullptr);
  const std::vector<float> golden = GoldenEmbeddings();
  const absl::StatusOr<std::vector<TokenizedText>> texts = encoder->Tokenize(GoldenTexts(), InputRole::kQuery);
  ASSERT_TRUE(texts.ok());
  const std::vector<float> vectors = EmbedAll(*encoder, *texts, 64);
  ASSERT_EQ(vectors.size(), golden.size());
  double least = 1;
  for (size_t i = 0; i < texts->size(); ++i) {
    const double cosine = Cosine({vectors.data() + i * 384, 384}, {golden.data() + i * 384, 384});
    EXPECT_GE(cosine, kCosineFloor) << "text " << i;
    least = std::min(least, cosine);
  }
  std::printf("least cosine of 1,000 texts: 1 - %.3g\n", 1 - least);
}

TEST(EncoderTest, AVectorDoesNotDependOnItsBatch) {
  const auto encoder = LoadOrDie(TANDEM_TEST_MODEL_DIR);
  ASSERT_NE(encoder, nullptr);
  const std::vector<std::string> all = GoldenTexts();
  const std::vector<std::string> some(all.begin() + 60, all.begin() + 100);
  const absl::StatusOr<std::vector<TokenizedText>> texts = encoder->Tokenize(some, InputRole::kQuery);
  ASSERT_TRUE(texts.ok());
  const std::vector<float> alone = EmbedAll(*encoder, *texts, 1), together = EmbedAll(*encoder, *texts, 40);
  ASSERT_EQ(alone.size(), together.size());
  for (size_t i = 0; i < alone.size(); ++i) EXPECT_NEAR(alone[i], together[i], 1e-6) << i;
}

TEST(EncoderTest, NoTextsGiveNoVectors) {
  const auto encoder = LoadOrDie(GoldenPath("tiny/mean"));
  ASSERT_NE(encoder, nullptr);
  const absl::StatusOr<std::vector<float>> vectors = encoder->Embed({});
  ASSERT_TRUE(vectors.ok()) << vectors.status();
  EXPECT_TRUE(vectors->empty());
}

TEST(EncoderTest, ATextThatIsNotUtf8IsRefusedByItsNumber) {
  const auto encoder = LoadOrDie(GoldenPath("tiny/mean"));
  ASSERT_NE(encoder, nullptr);
  const std::vector<std::string> texts = {"fine", "ab\xff"};
  const absl::Status status = encoder->Tokenize(texts, InputRole::kQuery).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.ToString(), testing::HasSubstr("text 1: the text is not UTF-8: bad byte at offset 2"));
}

TEST(EncoderTest, TextsLongerThanThePositionsAreRefused) {
  const auto encoder = LoadOrDie(GoldenPath("tiny/mean"));
  ASSERT_NE(encoder, nullptr);
  TokenizedText text;
  text.ids.assign(25, 5);
  const TokenizedText* const texts[] = {&text};
  const absl::Status status = encoder->Embed(texts).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.ToString(), testing::HasSubstr("text 0: has 25 tokens: must be in [1, 24]"));
}

class TinyModelTest : public testing::TestWithParam<std::string> {};

TEST_P(TinyModelTest, IdsAndVectorsAreThoseOfSentenceTransformers) {
  const std::filesystem::path directory = GoldenPath("tiny/" + GetParam());
  const auto encoder = LoadOrDie(directory);
  ASSERT_NE(encoder, nullptr);
  const nlohmann::json expected = SlurpJson(directory / "expected.json");
  EXPECT_EQ(encoder->contract().max_length, expected["max_length"].get<int>());
  const auto texts = expected["texts"].get<std::vector<std::string>>();
  for (const InputRole role : {InputRole::kQuery, InputRole::kDocument}) {
    const nlohmann::json& golden = expected[role == InputRole::kQuery ? "query" : "document"];
    const absl::StatusOr<std::vector<TokenizedText>> tokenized = encoder->Tokenize(texts, role);
    ASSERT_TRUE(tokenized.ok()) << tokenized.status();
    const std::vector<float> vectors = EmbedAll(*encoder, *tokenized, texts.size());
    ASSERT_EQ(vectors.size(), texts.size() * 16);
    for (size_t i = 0; i < texts.size(); ++i) {
      EXPECT_EQ((*tokenized)[i].ids, golden["ids"][i].get<std::vector<int32_t>>()) << "text " << i;
      for (size_t j = 0; j < 16; ++j) {
        EXPECT_NEAR(vectors[i * 16 + j], golden["embeddings"][i][j].get<double>(), 2e-6) << "text " << i << " at " << j;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, TinyModelTest,
                         testing::Values("mean", "cls_sharded_prefixed", "max_half", "prompts_bfloat16", "plain"),
                         [](const auto& info) { return info.param; });

TEST(EncoderContractTest, ComesFromTheFilesOfTheDirectory) {
  const auto cls = LoadOrDie(GoldenPath("tiny/cls_sharded_prefixed"));
  ASSERT_NE(cls, nullptr);
  EXPECT_EQ(cls->contract().pooling, PoolingKind::kCls);
  EXPECT_EQ(cls->contract().metric, MetricKind::kInnerProduct);
  EXPECT_FALSE(cls->contract().normalize);
  const auto half = LoadOrDie(GoldenPath("tiny/max_half"));
  ASSERT_NE(half, nullptr);
  EXPECT_EQ(half->contract().pooling, PoolingKind::kMax);
  EXPECT_EQ(half->contract().truncation_side, TruncationSide::kStart);
  EXPECT_EQ(half->contract().metric, MetricKind::kCosine);
  const auto prompts = LoadOrDie(GoldenPath("tiny/prompts_bfloat16"));
  ASSERT_NE(prompts, nullptr);
  EXPECT_EQ(prompts->contract().query_prompt, "query: ");
  EXPECT_EQ(prompts->contract().document_prompt, "passage: ");
}

}  // namespace
}  // namespace tandem
