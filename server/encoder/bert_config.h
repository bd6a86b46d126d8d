#pragma once
// config.json of a BERT: the sizes and options that the forward pass needs. Settings that change the result and that
// tandem does not have are refused by name and value; the defaults are those of transformers' BertConfig.

#include <cstdint>
#include <filesystem>

#include "absl/status/statusor.h"

namespace tandem {

enum class Activation { kGelu, kGeluTanh };

struct BertConfig {
  int64_t vocabulary = 30522;
  int64_t hidden = 768;
  int64_t layers = 12;
  int64_t heads = 12;
  int64_t intermediate = 3072;
  int64_t max_positions = 512;
  int64_t token_types = 2;
  double layer_norm_epsilon = 1e-12;
  double hidden_dropout = 0.1;
  double attention_dropout = 0.1;
  Activation activation = Activation::kGelu;
};

// `name`: path of the file below `directory`.
absl::StatusOr<BertConfig> ReadBertConfig(const std::filesystem::path& directory, const std::filesystem::path& name);

}  // namespace tandem
