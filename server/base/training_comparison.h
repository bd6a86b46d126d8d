#pragma once
// What a training did to its model, on the validation examples: the figures before and after, how sure they and their
// differences are, and the examples that changed most. The trainer writes it into an event and into result.json.

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "server/base/bootstrap.h"
#include "server/base/query_changes.h"
#include "server/base/validation_metrics.h"

namespace tandem {

struct ComparedMetric {
  std::string name;       // A key of a ValidationResult: "ndcg_at_10".
  ComparedFigure figure;  // With 95% intervals.
};

struct TrainingComparison {
  int64_t step = 0;  // After which the weights were those that are the result.
  ValidationResult before, after;
  std::vector<ComparedMetric> metrics;  // The first decides which weights are best. None of plain texts.
  QueryChanges changes;
};

// {"step", "before": {...}, "after": {...}, "metrics": [{"name", "before": [value, lower, upper], "after": [...],
// "difference": [...]}, ...], "changes": {...}}, with the keys of ValidationResult and QueryChanges. It reaches disk:
// do not change.
nlohmann::json ToJson(const TrainingComparison& comparison);

// Other keys are passed over, so that a whole "comparison" event may be given. DATA_LOSS names the key at fault.
absl::StatusOr<TrainingComparison> TrainingComparisonFromJson(const nlohmann::json& json);

}  // namespace tandem
