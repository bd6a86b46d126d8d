#include "server/jobs/training_cost.h"

#include <gtest/gtest.h>

namespace tandem {
namespace {

constexpr int64_t kParameters = 22'713'216;  // Of all-MiniLM-L6-v2.

nlohmann::json MiniLm() {
  return {{"model_type", "bert"},
          {"hidden_size", 384},
          {"num_hidden_layers", 6},
          {"intermediate_size", 1536},
          {"num_attention_heads", 12}};
}

TEST(TrainingCostTest, ShapesComeFromTheKeysOfEachArchitecture) {
  const ModelShape bert = ShapeOf(kParameters, MiniLm());
  EXPECT_EQ(bert.LayerWeights(), 4 * 384 * 384 + 2 * 384 * 1536);
  const ModelShape distilbert = ShapeOf(1, {{"dim", 32}, {"n_layers", 2}, {"n_heads", 4}, {"hidden_dim", 48}});
  EXPECT_EQ(distilbert.LayerWeights(), 4 * 32 * 32 + 2 * 32 * 48);
  const ModelShape qwen3 = ShapeOf(1, {{"model_type", "qwen3"},
                                       {"hidden_size", 32},
                                       {"num_hidden_layers", 3},
                                       {"num_attention_heads", 4},
                                       {"num_key_value_heads", 2},
                                       {"head_dim", 12},
                                       {"intermediate_size", 40}});
  EXPECT_EQ(qwen3.query, 48);
  EXPECT_EQ(qwen3.key_value, 24);
  EXPECT_EQ(qwen3.LayerWeights(), 2 * 32 * 48 + 2 * 32 * 24 + 3 * 32 * 40);
}

TEST(TrainingCostTest, OnlyWhatLearnsHasGradientsAndMoments) {
  const ModelShape shape = ShapeOf(kParameters, MiniLm());
  EXPECT_EQ(TrainedParameters(shape, {}), kParameters);
  TrainerOptions frozen;
  frozen.freeze_layers = 4;
  EXPECT_EQ(TrainedParameters(shape, frozen), 2 * shape.LayerWeights());
  TrainerOptions adapters;
  adapters.lora.rank = 8;
  // Query, key, value, output of 384 by 384; up and down of 384 by 1,536.
  EXPECT_EQ(TrainedParameters(shape, adapters), 6 * 8 * (4 * 768 + 2 * 1920));
  const int64_t few = 100, many = 20'000;  // Tokens.
  EXPECT_LT(PeakMemoryBytes(shape, adapters, few), PeakMemoryBytes(shape, {}, few) - 3 * kParameters);
  EXPECT_LT(PeakMemoryBytes(shape, frozen, many), PeakMemoryBytes(shape, {}, many) / 2);
  TrainerOptions dropout = adapters;
  dropout.lora.dropout = 0.1;
  EXPECT_GT(PeakMemoryBytes(shape, dropout, many), PeakMemoryBytes(shape, adapters, many));
}

TEST(TrainingCostTest, OperationsAreThoseOfThePassesThatThereAre) {
  const ModelShape shape = ShapeOf(kParameters, MiniLm());
  const double whole = OperationsPerToken(shape, {}, 64, false);
  EXPECT_NEAR(whole, 6.0 * 6 * static_cast<double>(shape.LayerWeights() + 2 * 64 * 384), 1);
  EXPECT_NEAR(OperationsPerToken(shape, {}, 64, true), whole * 4 / 3, 1);
  EXPECT_NEAR(ForwardOperationsPerToken(shape, 64), whole / 3, 1);
  TrainerOptions options;
  options.lora.rank = 8;
  EXPECT_NEAR(OperationsPerToken(shape, options, 64, false), whole * 2 / 3, 1);
  options.lora.rank = 0;
  options.freeze_layers = 3;
  EXPECT_NEAR(OperationsPerToken(shape, options, 64, false), whole * 2 / 3, 1);
}

}  // namespace
}  // namespace tandem
