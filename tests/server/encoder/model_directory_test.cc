// Every setting that tandem does not have is refused by file, name and value; damaged files are DATA_LOSS.
#include "server/encoder/model_directory.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/encoder/encoder.h"
#include "tests/server/encoder/golden.h"

namespace tandem {
namespace {

using testing::HasSubstr;

void ExpectRefused(const ScratchModel& model, const std::string& message,
                   absl::StatusCode code = absl::StatusCode::kInvalidArgument) {
  const absl::Status status = DescribeModel(model.path()).status();
  EXPECT_EQ(status.code(), code) << status;
  EXPECT_THAT(status.ToString(), HasSubstr(message));
  EXPECT_EQ(Encoder::Load(model.path()).status(), status);
}

struct Refusal {
  std::string file, key;
  nlohmann::json value;
  std::string message;
};

class RefusedSettingTest : public testing::TestWithParam<Refusal> {};

TEST_P(RefusedSettingTest, IsNamedWithItsValue) {
  const ScratchModel model("mean");
  model.Set(GetParam().file, GetParam().key, GetParam().value);
  ExpectRefused(model, GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    ConfigJson, RefusedSettingTest,
    testing::Values(
        Refusal{"config.json", "model_type", "t5", "config.json: model_type \"t5\" is not supported"},
        Refusal{"config.json", "hidden_act", "relu", "config.json: hidden_act \"relu\" is not supported"},
        Refusal{"config.json", "position_embedding_type", "relative_key",
                "config.json: position_embedding_type \"relative_key\" is not supported"},
        Refusal{"config.json", "is_decoder", true, "config.json: is_decoder true is not supported"},
        Refusal{"config.json", "add_cross_attention", true, "config.json: add_cross_attention true is not supported"},
        Refusal{"config.json",
                "quantization_config",
                {{"bits", 8}},
                "config.json: quantization_config {\"bits\":8} is not supported"},
        Refusal{"config.json", "pruned_heads", {{"0", {1}}}, "config.json: pruned_heads {\"0\":[1]} is not supported"},
        Refusal{"config.json", "auto_map", {{"AutoModel", "x.Y"}}, "config.json: auto_map"},
        Refusal{"config.json", "hidden_size", "16", "config.json: hidden_size \"16\": must be an integer"},
        Refusal{"config.json", "num_attention_heads", 3, "hidden_size 16: must be a multiple of num_attention_heads 3"},
        Refusal{"config.json", "num_hidden_layers", 0, "config.json: num_hidden_layers 0: must be in [1, 1000]"},
        Refusal{"config.json", "hidden_dropout_prob", 1.0, "config.json: hidden_dropout_prob 1: must be in [0, 1)"},
        Refusal{"config.json", "num_hidden_layers", 3, "tensor encoder.layer.2.attention.self.query.weight is missing"},
        Refusal{"config.json", "num_hidden_layers", 1, "model.safetensors: tensor encoder.layer.1."},
        Refusal{"config.json", "intermediate_size", 64,
                "tensor encoder.layer.0.intermediate.dense.weight has shape [32, 16], config.json asks for [64, 16]"}));

INSTANTIATE_TEST_SUITE_P(
    SentenceTransformersFiles, RefusedSettingTest,
    testing::Values(Refusal{"1_Pooling/config.json", "pooling_mode", "weightedmean",
                            "1_Pooling/config.json: pooling_mode \"weightedmean\" is not supported"},
                    Refusal{"1_Pooling/config.json",
                            "pooling_mode",
                            {"mean", "max"},
                            "pooling_mode [\"mean\",\"max\"] is not supported"},
                    Refusal{"1_Pooling/config.json", "embedding_dimension", 32,
                            "1_Pooling/config.json: embedding_dimension 32 is not supported"},
                    Refusal{"2_Normalize/config.json", "module_input_name", "token_embeddings",
                            "2_Normalize/config.json: module_input_name"},
                    Refusal{"sentence_bert_config.json", "max_seq_length", 0,
                            "sentence_bert_config.json: max_seq_length 0 is not supported"},
                    Refusal{"sentence_bert_config.json", "max_seq_length", 1, "max_seq_length 1: must be at least 2"},
                    Refusal{"sentence_bert_config.json", "query_length", 32,
                            "sentence_bert_config.json: query_length 32 is not supported"},
                    Refusal{"sentence_bert_config.json", "transformer_task", "fill-mask",
                            "transformer_task \"fill-mask\" is not supported"},
                    Refusal{"config_sentence_transformers.json", "similarity_fn_name", "euclidean",
                            "config_sentence_transformers.json: similarity_fn_name \"euclidean\" is not supported"},
                    Refusal{"config_sentence_transformers.json", "model_type", "SparseEncoder",
                            "model_type \"SparseEncoder\" is not supported"},
                    Refusal{"config_sentence_transformers.json", "default_prompt_name", "task",
                            "default_prompt_name \"task\" is not supported"},
                    Refusal{"config_sentence_transformers.json", "truncate_dim", 8, "truncate_dim 8 is not supported"},
                    Refusal{"tokenizer_config.json", "truncation_side", "middle",
                            "truncation_side \"middle\" is not supported"},
                    Refusal{"tokenizer_config.json", "tokenizer_class", 7,
                            "tokenizer_config.json: tokenizer_class 7: must be a string"}));

TEST(RefusedModelTest, OldPoolingModes) {
  const ScratchModel model("mean");
  const nlohmann::json sqrt_mode = {{"word_embedding_dimension", 16}, {"pooling_mode_mean_sqrt_len_tokens", true}};
  Spill(model.path() / "1_Pooling/config.json", sqrt_mode.dump());
  ExpectRefused(model, "1_Pooling/config.json: pooling_mode_mean_sqrt_len_tokens true is not supported");
  const nlohmann::json two_modes = {{"pooling_mode_cls_token", true}, {"pooling_mode_mean_tokens", true}};
  Spill(model.path() / "1_Pooling/config.json", two_modes.dump());
  ExpectRefused(model, "1_Pooling/config.json: pooling_mode_mean_tokens true is not supported");
}

TEST(RefusedModelTest, PromptsThatPoolingLeavesOut) {
  const ScratchModel model("prompts_bfloat16");
  model.Set("1_Pooling/config.json", "include_prompt", false);
  ExpectRefused(model, "1_Pooling/config.json: include_prompt false is not supported");
  // Without a prompt the setting changes nothing.
  model.Set("config_sentence_transformers.json", "prompts", {{"query", ""}, {"document", ""}});
  EXPECT_TRUE(DescribeModel(model.path()).ok());
}

TEST(RefusedModelTest, OtherModules) {
  const ScratchModel model("mean");
  nlohmann::json modules = SlurpJson(model.path() / "modules.json");
  nlohmann::json with_dense = modules;
  with_dense.push_back({{"path", "3_Dense"}, {"type", "sentence_transformers.models.Dense"}});
  Spill(model.path() / "modules.json", with_dense.dump());
  ExpectRefused(model, "modules.json: type \"sentence_transformers.models.Dense\" is not supported");
  nlohmann::json reversed = {modules[1], modules[0]};
  Spill(model.path() / "modules.json", reversed.dump());
  ExpectRefused(model, "modules.json: modules [Pooling, Transformer] are not supported");
  modules[1]["path"] = "../1_Pooling";
  Spill(model.path() / "modules.json", modules.dump());
  ExpectRefused(model, "modules.json: path ../1_Pooling leaves the directory");
}

TEST(RefusedModelTest, LowerCasingThatTheTokenizerDoesNotDo) {
  const ScratchModel model("mean");
  model.Set("sentence_bert_config.json", "do_lower_case", true);
  EXPECT_TRUE(DescribeModel(model.path()).ok());
  nlohmann::json tokenizer = SlurpJson(model.path() / "tokenizer.json");
  tokenizer["normalizer"]["lowercase"] = false;
  Spill(model.path() / "tokenizer.json", tokenizer.dump());
  ExpectRefused(model, "sentence_bert_config.json: do_lower_case true is not supported");
}

// As transformers 5 reads them: BertTokenizer replaces the normalizer of tokenizer.json, which lower-cases here.
TEST(RefusedModelTest, TokenizerSettingsThatContradictTheNormalizer) {
  for (const char* key : {"do_lower_case", "strip_accents", "tokenize_chinese_chars"}) {
    const ScratchModel model("mean");
    model.Set("tokenizer_config.json", key, false);
    EXPECT_TRUE(DescribeModel(model.path()).ok()) << "PreTrainedTokenizerFast takes tokenizer.json as it is";
    model.Set("tokenizer_config.json", "tokenizer_class", "BertTokenizer");
    ExpectRefused(model, std::string("tokenizer_config.json: ") + key + " false is not supported");
    model.Set("tokenizer_config.json", key, true);
    EXPECT_TRUE(DescribeModel(model.path()).ok()) << key;
    model.Set("tokenizer_config.json", key, nullptr);
    EXPECT_TRUE(DescribeModel(model.path()).ok()) << key;
  }
}

TEST(RefusedModelTest, ACasedNormalizerThatTheTokenizerConfigDoesNotAskFor) {
  const ScratchModel model("mean");
  model.Set("tokenizer_config.json", "tokenizer_class", "BertTokenizer");
  nlohmann::json tokenizer = SlurpJson(model.path() / "tokenizer.json");
  tokenizer["normalizer"]["lowercase"] = false;
  Spill(model.path() / "tokenizer.json", tokenizer.dump());
  ExpectRefused(model, "without do_lower_case in tokenizer_config.json, transformers has lowercase true");
  model.Set("tokenizer_config.json", "do_lower_case", false);
  EXPECT_TRUE(DescribeModel(model.path()).ok());
  std::filesystem::remove(model.path() / "tokenizer_config.json");
  ExpectRefused(model, "without do_lower_case in tokenizer_config.json, transformers has lowercase true");
}

TEST(RefusedModelTest, ATokenizerWithIdsThatTheWeightsLack) {
  const ScratchModel model("mean");
  nlohmann::json tokenizer = SlurpJson(model.path() / "tokenizer.json");
  tokenizer["model"]["vocab"]["extra"] = 99;
  Spill(model.path() / "tokenizer.json", tokenizer.dump());
  ExpectRefused(model, "tokenizer.json: has id 99, config.json has vocab_size");
}

TEST(RefusedModelTest, MissingFilesAndOtherWeightFormats) {
  for (const char* name : {"config.json", "tokenizer.json", "model.safetensors", "1_Pooling/config.json"}) {
    const ScratchModel model("mean");
    std::filesystem::remove(model.path() / name);
    ExpectRefused(model, std::string(name) + ": is missing");
  }
  const ScratchModel pickled("mean");
  std::filesystem::rename(pickled.path() / "model.safetensors", pickled.path() / "pytorch_model.bin");
  ExpectRefused(pickled, "pytorch_model.bin: is not supported: tandem reads model.safetensors only");
  const ScratchModel sharded("cls_sharded_prefixed");
  std::filesystem::remove(sharded.path() / "model-00002-of-00003.safetensors");
  ExpectRefused(sharded, "model-00002-of-00003.safetensors: is missing");
  EXPECT_EQ(DescribeModel(sharded.path() / "none").status().code(), absl::StatusCode::kNotFound);
}

TEST(RefusedModelTest, AnIndexThatLeavesTheDirectory) {
  const ScratchModel model("cls_sharded_prefixed");
  model.Set("model.safetensors.index.json", "weight_map", {{"a", "../other.safetensors"}});
  ExpectRefused(model, "weight_map[\"a\"] \"../other.safetensors\": must be the name of a .safetensors file beside it");
}

TEST(DamagedModelTest, IsDataLossWithTheFilesName) {
  for (const char* name : {"config.json", "tokenizer.json", "modules.json", "1_Pooling/config.json"}) {
    const ScratchModel model("mean");
    Spill(model.path() / name, Slurp(model.path() / name).substr(0, 30));
    ExpectRefused(model, std::string(name) + ": ", absl::StatusCode::kDataLoss);
  }
}

// Cut at every tenth length, and with each of the first 24 bytes changed: the header's length and its first key.
TEST(DamagedModelTest, DamagedWeightsNeverCrash) {
  const ScratchModel model("mean");
  const std::string whole = Slurp(model.path() / "model.safetensors");
  for (size_t size = 0; size < whole.size(); size += whole.size() / 10) {
    Spill(model.path() / "model.safetensors", whole.substr(0, size));
    ExpectRefused(model, "model.safetensors: ", absl::StatusCode::kDataLoss);
  }
  for (size_t i = 0; i < 24; ++i) {
    std::string changed = whole;
    changed[i] = static_cast<char>(changed[i] ^ 0x55);
    Spill(model.path() / "model.safetensors", changed);
    EXPECT_FALSE(DescribeModel(model.path()).ok()) << "byte " << i;
  }
}

TEST(ModelDirectoryTest, PromptsFallBackToPassageAndToTheDefaultPrompt) {
  const ScratchModel model("mean");
  model.Set("config_sentence_transformers.json", "prompts", {{"passage", "p: "}, {"task", "t: "}});
  EXPECT_EQ(DescribeModel(model.path())->contract.document_prompt, "p: ");
  EXPECT_EQ(DescribeModel(model.path())->contract.query_prompt, "");
  model.Set("config_sentence_transformers.json", "default_prompt_name", "task");
  EXPECT_EQ(DescribeModel(model.path())->contract.query_prompt, "t: ");
}

TEST(ModelDirectoryTest, MaxLengthIsAtMostThePositions) {
  const ScratchModel model("mean");
  model.Set("sentence_bert_config.json", "max_seq_length", 512);
  EXPECT_EQ(DescribeModel(model.path())->contract.max_length, 24);
  const ScratchModel unlimited("plain");
  unlimited.Set("tokenizer_config.json", "max_length", 7);  // Not a limit: that is model_max_length.
  unlimited.Set("tokenizer_config.json", "model_max_length", 1e30);
  EXPECT_EQ(DescribeModel(unlimited.path())->contract.max_length, 24);
}

TEST(ModelDirectoryTest, ShardsAreHashedInTheOrderOfTheirNames) {
  const ScratchModel model("cls_sharded_prefixed");
  const std::string before = DescribeModel(model.path())->sha256;
  EXPECT_EQ(before,
            "b0745db45eebf420f06e58ee46287770666da64a9143d62c5fe8a2db143bcb6c");  // cat model-*.safetensors | sha256sum
  std::fstream shard(model.path() / "model-00003-of-00003.safetensors",
                     std::ios::binary | std::ios::in | std::ios::out);
  shard.seekp(-1, std::ios::end);
  shard.put('\x01');
  shard.close();
  EXPECT_NE(DescribeModel(model.path())->sha256, before);
}

}  // namespace
}  // namespace tandem
