#pragma once
// What a validation measured, with the outcomes of the single examples that stand behind its figures: what a comparison
// of two models is made of (model_comparison.h).

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/validation_metrics.h"

namespace tandem {

struct ValidationOutcomes {
  ValidationResult result;
  // By the form of the examples, in the order of ItemsOf:
  //   pairs                   of each query "ndcg_at_10", "recall_at_10", "mrr_at_10", "recall_at_1", "map"
  //   scored, labelled pairs  of each example "cosine"
  //   labelled texts          of each example "knn_accuracy": 1 when the nearest other text has its label, else 0
  std::map<std::string, std::vector<double>> values;
};

// {"result": {...}, "values": {"ndcg_at_10": [...], ...}}; numbers come back bit by bit. They reach disk: do not
// change.
nlohmann::json ToJson(const ValidationOutcomes& outcomes);
absl::StatusOr<ValidationOutcomes> ValidationOutcomesFromJson(const nlohmann::json& json);  // DATA_LOSS: what is wrong.

// The outcomes of the base model as kBaselineFile, "<CRC-32C of the JSON, 8 hex digits> <JSON>\n", so that a resumed
// job compares with the very numbers that the first attempt measured.
absl::Status SaveBaseline(const std::filesystem::path& job_directory, const ValidationOutcomes& outcomes);
// NOT_FOUND when there is none; DATA_LOSS when it is damaged.
absl::StatusOr<ValidationOutcomes> LoadBaseline(const std::filesystem::path& job_directory);

}  // namespace tandem
