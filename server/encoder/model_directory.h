#pragma once
// A Hugging Face / sentence-transformers directory, checked without loading weights: every setting and every tensor is
// either what tandem computes with, or known not to matter, or refused by name. Holds the weights files memory-mapped.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/base/embedding_contract.h"
#include "server/encoder/safetensors_file.h"
#include "server/encoder/tokenizer.h"
#include "server/encoder/transformer_config.h"

namespace tandem {

// A tensor of the model: the name that transformers' base model gives it, and where it lies.
struct ModelWeight {
  std::string name;     // "encoder.layer.0.attention.self.query.weight"
  int64_t layer = 0;    // See ModelParameter.
  StoredTensor stored;  // Under its own name: see CanonicalName.
};

struct ModelDirectory {
  std::filesystem::path path;
  std::filesystem::path transformer;  // Folder of config.json, weights and tokenizer.json: `path` or one below it.
  TransformerConfig config;
  EmbeddingContract contract;
  std::vector<std::filesystem::path> weights_files;  // In the order of their names.
  std::vector<std::unique_ptr<const SafetensorsFile>> weights;
  std::vector<ModelWeight> tensors;  // In the order of ExpectedTensors; all there, shapes and types checked.
  std::vector<StoredTensor> unused;  // Float tensors that no embedding depends on, such as the pooler's.

  std::filesystem::path tokenizer_json() const { return transformer / "tokenizer.json"; }
  int64_t parameters() const;
};

// INVALID_ARGUMENT names the file and the setting that tandem does not have; DATA_LOSS a damaged file; NOT_FOUND when
// there is no such directory.
absl::StatusOr<ModelDirectory> OpenModelDirectory(const std::filesystem::path& path);

// The tokenizer of the directory; INVALID_ARGUMENT when it has ids that the weights lack or more special tokens than a
// text may be long.
absl::StatusOr<std::unique_ptr<const Tokenizer>> LoadTokenizer(const ModelDirectory& model);

// What an Encoder of the directory takes: weights as float32 and the tokenizer.
int64_t EncoderMemory(const ModelDirectory& model);

}  // namespace tandem
