#pragma once
// What a model revision does to a text to make a vector. Frozen in the revision, copied into each release, applied by
// one function (server/encoder) that trainer and server share. See EmbeddingContract in proto/tandem/v1/types.proto.

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"

namespace tandem {

// Values reach disk: do not change.
enum class PoolingKind { kMean = 1, kCls = 2, kMax = 3, kLastToken = 4 };
enum class TruncationSide { kEnd = 1, kStart = 2 };
enum class MetricKind { kCosine = 1, kInnerProduct = 2, kEuclidean = 3 };  // kEuclidean: of EXTERNAL collections only.
enum class InputRole { kQuery = 1, kDocument = 2 };

struct EmbeddingContract {
  std::string query_prompt, document_prompt;
  int max_length = 0;  // Tokens, special tokens included.
  TruncationSide truncation_side = TruncationSide::kEnd;
  PoolingKind pooling = PoolingKind::kMean;
  bool normalize = false;
  int dimensions = 0;
  MetricKind metric = MetricKind::kCosine;

  bool operator==(const EmbeddingContract&) const = default;
  std::string_view PromptOf(InputRole role) const { return role == InputRole::kQuery ? query_prompt : document_prompt; }
};

nlohmann::json ToJson(const EmbeddingContract& contract);
absl::StatusOr<EmbeddingContract> ContractFromJson(
    const nlohmann::json& json);  // DATA_LOSS names what is missing or odd.

}  // namespace tandem
