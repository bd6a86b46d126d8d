#pragma once
// What the files of a sentence-transformers directory beside config.json say: modules.json, 1_Pooling/config.json,
// 2_Normalize/config.json, sentence_bert_config.json, config_sentence_transformers.json, tokenizer_config.json.
// Together they make the EmbeddingContract. Settings that tandem does not have are refused by file, name and value.

#include <filesystem>

#include "absl/status/statusor.h"
#include "server/base/embedding_contract.h"
#include "server/encoder/transformer_config.h"

namespace tandem {

// Which folder modules.json puts the Transformer in; "" without a modules.json.
absl::StatusOr<std::filesystem::path> FindTransformer(const std::filesystem::path& directory);

// A directory without modules.json is a plain Hugging Face one: mean pooling, no normalisation, as
// sentence-transformers does. `config` comes from config.json.
absl::StatusOr<EmbeddingContract> ReadEmbeddingContract(const std::filesystem::path& directory,
                                                        const TransformerConfig& config);

}  // namespace tandem
