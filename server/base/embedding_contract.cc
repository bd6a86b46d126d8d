#include "server/base/embedding_contract.h"

#include <cstdint>
#include <limits>
#include <utility>

#include "absl/status/status.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

// The field `name` of `json` when it is there and `is_type` says that it has the right type.
absl::StatusOr<const nlohmann::json*> Field(const nlohmann::json& json, const char* name,
                                            bool (nlohmann::json::*is_type)() const noexcept) {
  const auto field = json.find(name);
  if (field == json.end()) return absl::DataLossError(Concat("embedding contract: ", name, " is missing"));
  if (!((*field).*is_type)()) {
    return absl::DataLossError(Concat("embedding contract: ", name, " has the wrong type: ", field->type_name()));
  }
  return &*field;
}

absl::StatusOr<int> IntField(const nlohmann::json& json, const char* name, int lowest, int highest) {
  ASSIGN_OR_RETURN(const nlohmann::json* field, Field(json, name, &nlohmann::json::is_number_integer));
  const int64_t value = field->get<int64_t>();
  if (value < lowest || value > highest) {
    return absl::DataLossError(
        Concat("embedding contract: ", name, " ", value, ": must be in [", lowest, ", ", highest, "]"));
  }
  return static_cast<int>(value);
}

absl::StatusOr<std::string> StringField(const nlohmann::json& json, const char* name) {
  ASSIGN_OR_RETURN(const nlohmann::json* field, Field(json, name, &nlohmann::json::is_string));
  return field->get<std::string>();
}

}  // namespace

nlohmann::json ToJson(const EmbeddingContract& contract) {
  return {{"query_prompt", contract.query_prompt},
          {"document_prompt", contract.document_prompt},
          {"max_length", contract.max_length},
          {"truncation_side", static_cast<int>(contract.truncation_side)},
          {"pooling", static_cast<int>(contract.pooling)},
          {"normalize", contract.normalize},
          {"dimensions", contract.dimensions},
          {"metric", static_cast<int>(contract.metric)}};
}

absl::StatusOr<EmbeddingContract> ContractFromJson(const nlohmann::json& json) {
  if (!json.is_object()) return absl::DataLossError("embedding contract: not a JSON object");
  constexpr int kMost = std::numeric_limits<int>::max();
  EmbeddingContract contract;
  ASSIGN_OR_RETURN(contract.query_prompt, StringField(json, "query_prompt"));
  ASSIGN_OR_RETURN(contract.document_prompt, StringField(json, "document_prompt"));
  ASSIGN_OR_RETURN(contract.max_length, IntField(json, "max_length", 1, kMost));
  ASSIGN_OR_RETURN(const int side, IntField(json, "truncation_side", 1, 2));
  ASSIGN_OR_RETURN(const int pooling, IntField(json, "pooling", 1, 4));
  ASSIGN_OR_RETURN(const nlohmann::json* normalize, Field(json, "normalize", &nlohmann::json::is_boolean));
  ASSIGN_OR_RETURN(contract.dimensions, IntField(json, "dimensions", 1, kMost));
  ASSIGN_OR_RETURN(const int metric, IntField(json, "metric", 1, 3));
  contract.truncation_side = static_cast<TruncationSide>(side);
  contract.pooling = static_cast<PoolingKind>(pooling);
  contract.normalize = normalize->get<bool>();
  contract.metric = static_cast<MetricKind>(metric);
  return contract;
}

}  // namespace tandem
