// config.json and tokenizer files of the architectures beside BERT: what changes the result is computed with or refused
// by name and value. BERT's own refusals are in model_directory_test.cc.
#include "server/encoder/transformer_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/encoder/encoder.h"
#include "server/encoder/tensor_names.h"
#include "tests/server/encoder/golden.h"

namespace tandem {
namespace {

using testing::HasSubstr;

// A writable copy of a golden model.
class ScratchArchitecture : public ScratchModel {
 public:
  explicit ScratchArchitecture(const std::string& name) : ScratchModel("") {
    std::filesystem::copy(GoldenPath("architectures/" + name), path(),
                          std::filesystem::copy_options::recursive | std::filesystem::copy_options::overwrite_existing);
  }
};

TransformerConfig ReadOrDie(const ScratchModel& model) {
  const absl::StatusOr<TransformerConfig> config = ReadTransformerConfig(model.path(), "config.json");
  EXPECT_TRUE(config.ok()) << config.status();
  return config.value_or(TransformerConfig());
}

struct Refusal {
  std::string model, file, key;
  nlohmann::json value;
  std::string message;
};

class RefusedArchitectureTest : public testing::TestWithParam<Refusal> {};

TEST_P(RefusedArchitectureTest, IsNamedWithItsValue) {
  const ScratchArchitecture model(GetParam().model);
  model.Set(GetParam().file, GetParam().key, GetParam().value);
  const absl::Status status = DescribeModel(model.path()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(status.ToString(), HasSubstr(GetParam().message));
}

const char kConfig[] = "config.json";
using Json = nlohmann::json;

INSTANTIATE_TEST_SUITE_P(
    Roberta, RefusedArchitectureTest,
    testing::Values(Refusal{"roberta", kConfig, "position_embedding_type", "relative_key_query",
                            "config.json: position_embedding_type \"relative_key_query\" is not supported"},
                    Refusal{"roberta", kConfig, "is_decoder", true, "config.json: is_decoder true is not supported"},
                    Refusal{"roberta", kConfig, "pad_token_id", nullptr, "config.json: pad_token_id null"},
                    Refusal{"roberta", kConfig, "pad_token_id", 300, "pad_token_id 300: must be in [0, 299]"},
                    Refusal{"roberta", kConfig, "max_position_embeddings", 2, "must be above 2, the position"},
                    Refusal{"roberta", "tokenizer_config.json", "add_prefix_space", true,
                            "tokenizer_config.json: add_prefix_space true is not supported"},
                    Refusal{"xlm_roberta", kConfig, "hidden_act", "relu", "config.json: hidden_act \"relu\""},
                    Refusal{"xlm_roberta", kConfig, "add_cross_attention", true, "add_cross_attention true"}));

INSTANTIATE_TEST_SUITE_P(
    DistilBertAndMpnet, RefusedArchitectureTest,
    testing::Values(Refusal{"distilbert", kConfig, "activation", "relu", "config.json: activation \"relu\""},
                    Refusal{"distilbert", kConfig, "n_heads", 3, "dim 32: must be a multiple of n_heads 3"},
                    Refusal{"distilbert", kConfig, "attention_dropout", 1, "attention_dropout 1: must be in [0, 1)"},
                    Refusal{"distilbert", "tokenizer_config.json", "do_lower_case", false, "do_lower_case false"},
                    Refusal{"mpnet", kConfig, "relative_attention_num_buckets", 64,
                            "config.json: relative_attention_num_buckets 64 is not supported: tandem has 32"},
                    Refusal{"mpnet", kConfig, "num_hidden_layers", 3,
                            "tensor encoder.layer.2.attention.attn.q.weight is missing"},
                    Refusal{"mpnet", "tokenizer_config.json", "strip_accents", false, "strip_accents false"}));

INSTANTIATE_TEST_SUITE_P(
    ModernBert, RefusedArchitectureTest,
    testing::Values(
        Refusal{"modernbert", kConfig, "layer_types", Json{"full_attention"},
                "must have an entry for each of 4 layers"},
        Refusal{"modernbert", kConfig, "layer_types",
                Json{"full_attention", "full_attention", "full_attention", "linear_attention"},
                "tandem has \"full_attention\" and \"sliding_attention\""},
        Refusal{"modernbert", kConfig, "rope_parameters",
                Json{{"full_attention", {{"rope_type", "yarn"}, {"factor", 2.0}}}}, "config.json: rope_parameters"},
        Refusal{"modernbert", kConfig, "rope_scaling", Json{{"type", "linear"}}, "config.json: rope_scaling"},
        Refusal{"modernbert", kConfig, "sliding_window", 64, "config.json: sliding_window 64"},
        Refusal{"modernbert", kConfig, "norm_bias", true, "tensor embeddings.norm.bias is missing"},
        Refusal{"modernbert", kConfig, "hidden_activation", "relu", "hidden_activation \"relu\""}));

INSTANTIATE_TEST_SUITE_P(
    Qwen3, RefusedArchitectureTest,
    testing::Values(
        Refusal{"qwen3", kConfig, "rope_scaling", Json{{"rope_type", "yarn"}, {"factor", 4.0}},
                "config.json: rope_scaling {\"factor\":4.0,\"rope_type\":\"yarn\"} is not supported"},
        Refusal{"qwen3", kConfig, "num_key_value_heads", 3,
                "num_attention_heads 4: must be a multiple of num_key_value_heads 3"},
        Refusal{"qwen3", kConfig, "head_dim", 9, "heads of 9 values: rotary positions need an even number"},
        Refusal{"qwen3", kConfig, "attention_bias", true, "tensor layers.0.self_attn.q_proj.bias is missing"},
        Refusal{"qwen3", kConfig, "layer_types", Json{"full_attention", "full_attention", "sliding_attention"},
                "use_sliding_window is not true"},
        Refusal{"qwen3_window", kConfig, "is_causal", false, "config.json: is_causal false"},
        Refusal{"qwen3", kConfig, "model_type", "qwen2", "config.json: model_type \"qwen2\""}));

TEST(TransformerConfigTest, RobertaBeginsAfterThePaddingsPosition) {
  const ScratchArchitecture model("roberta");
  EXPECT_EQ(ReadOrDie(model).first_position, 2);
  EXPECT_EQ(ReadOrDie(model).max_tokens(), 144);
  model.Set("tokenizer_config.json", "model_max_length", 1e30);
  EXPECT_EQ(DescribeModel(model.path())->contract.max_length, 144);
}

TEST(TransformerConfigTest, OlderModernBertFilesSayHowOftenALayerIsGlobal) {
  const ScratchArchitecture model("modernbert");
  for (const char* key : {"layer_types", "rope_parameters"}) model.Set(kConfig, key, nullptr);
  model.Set(kConfig, "global_attn_every_n_layers", 2);
  model.Set(kConfig, "global_rope_theta", 80000.0);
  model.Set(kConfig, "local_rope_theta", 5000.0);
  const TransformerConfig config = ReadOrDie(model);
  ASSERT_EQ(config.attention.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(config.attention[i].before, i % 2 == 0 ? kUnlimited : 8) << i;
    EXPECT_EQ(config.attention[i].after, i % 2 == 0 ? kUnlimited : 8) << i;
    EXPECT_EQ(config.attention[i].rope_theta, i % 2 == 0 ? 80000.0 : 5000.0) << i;
  }
}

TEST(TransformerConfigTest, Qwen3SeesWhatComesBefore) {
  const TransformerConfig config = ReadOrDie(ScratchArchitecture("qwen3_window"));
  ASSERT_EQ(config.attention.size(), 3u);
  EXPECT_EQ(config.attention[0].before, kUnlimited);
  EXPECT_EQ(config.attention[1].before, 8);  // With itself, a window of 9.
  for (const LayerAttention& layer : config.attention) EXPECT_EQ(layer.after, 0);
  const ScratchArchitecture both_ways("qwen3");
  both_ways.Set(kConfig, "is_causal", false);
  EXPECT_EQ(ReadOrDie(both_ways).attention[0].after, kUnlimited);
}

TEST(TransformerConfigTest, AClassThatTakesTheTokenizerAsItIsMayPutASpaceFirst) {
  const ScratchArchitecture model("roberta");
  model.Set("tokenizer_config.json", "add_prefix_space", true);
  model.Set("tokenizer_config.json", "tokenizer_class", "PreTrainedTokenizerFast");
  EXPECT_TRUE(DescribeModel(model.path()).ok());
}

TEST(TensorNamesTest, HeadsOfPreTrainingAreUnused) {
  EXPECT_TRUE(IsUnused(Architecture::kRoberta, "lm_head.layer_norm.bias"));
  EXPECT_TRUE(IsUnused(Architecture::kMpnet, "lm_head.bias"));
  EXPECT_TRUE(IsUnused(Architecture::kDistilBert, "vocab_projector.weight"));
  EXPECT_TRUE(IsUnused(Architecture::kModernBert, "head.norm.weight"));
  EXPECT_TRUE(IsUnused(Architecture::kQwen3, "lm_head.weight"));
  EXPECT_FALSE(IsUnused(Architecture::kQwen3, "norm.weight"));
  EXPECT_FALSE(IsUnused(Architecture::kBert, "classifier.weight"));
}

TEST(TensorNamesTest, ThePrefixOfTheBaseModelIsLeftOut) {
  EXPECT_EQ(CanonicalName(Architecture::kXlmRoberta, "roberta.embeddings.LayerNorm.gamma"),
            "embeddings.LayerNorm.weight");
  EXPECT_EQ(CanonicalName(Architecture::kModernBert, "model.layers.1.attn_norm.weight"), "layers.1.attn_norm.weight");
  EXPECT_EQ(CanonicalName(Architecture::kQwen3, "bert.norm.weight"), "bert.norm.weight");
}

}  // namespace
}  // namespace tandem
