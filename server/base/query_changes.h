#pragma once
// The queries that a change helped and harmed most: what stands behind the mean of a comparison. The same for the gate
// (two releases on an evaluation set) and for a training job (a model before and after, on its validation examples).

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"

namespace tandem {

inline constexpr size_t kMostQueryChanges = 10;       // Of each direction.
inline constexpr size_t kMostQueryChangeBytes = 256;  // Of a text; longer ones are cut between two characters.

// The first `bytes` of a text at most, cut between two characters, with an ellipsis for what is gone.
std::string CutText(std::string_view text, size_t bytes);

struct QueryChange {
  std::string text;
  double before = 0, after = 0;
};

struct QueryChanges {
  std::vector<QueryChange> fell, rose;  // The largest change first; equal ones in the order of the queries.
};

// `before[i]` and `after[i]` are a metric of query i; `text` gives its text, for the chosen ones only. Queries that did
// not change are in neither list. REQUIRES: equal sizes.
QueryChanges LargestChanges(std::span<const double> before, std::span<const double> after,
                            const std::function<std::string_view(size_t)>& text);

// {"fell": [[text, before, after], ...], "rose": [...]}; bytes that are not UTF-8 are replaced by whoever dumps it.
nlohmann::json ToJson(const QueryChanges& changes);
absl::StatusOr<QueryChanges> QueryChangesFromJson(const nlohmann::json& json);  // DATA_LOSS says what is wrong.

}  // namespace tandem
