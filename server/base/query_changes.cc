#include "server/base/query_changes.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

nlohmann::json ListOf(const std::vector<QueryChange>& changes) {
  nlohmann::json list = nlohmann::json::array();
  for (const QueryChange& change : changes) list.push_back({change.text, change.before, change.after});
  return list;
}

absl::StatusOr<std::vector<QueryChange>> ChangesFrom(const nlohmann::json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_array())
    return absl::DataLossError(Concat("query changes: no list \"", key, "\""));
  std::vector<QueryChange> changes;
  for (const nlohmann::json& item : *found) {
    if (!item.is_array() || item.size() != 3 || !item[0].is_string() || !item[1].is_number() || !item[2].is_number()) {
      return absl::DataLossError(Concat("query changes: an item of \"", key, "\" is not a text and two numbers"));
    }
    changes.push_back({item[0].get<std::string>(), item[1].get<double>(), item[2].get<double>()});
  }
  return changes;
}

}  // namespace

std::string CutText(std::string_view text, size_t bytes) {
  if (text.size() <= bytes) return std::string(text);
  const std::string_view ellipsis = "…";
  size_t size = bytes - ellipsis.size();
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) --size;  // Not inside a character.
  return Concat(text.substr(0, size), ellipsis);
}

QueryChanges LargestChanges(std::span<const double> before, std::span<const double> after,
                            const std::function<std::string_view(size_t)>& text) {
  std::vector<size_t> order(before.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto change = [&](size_t i) { return after[i] - before[i]; };
  std::ranges::stable_sort(order, {}, change);
  QueryChanges changes;
  const auto add = [&](size_t i, std::vector<QueryChange>& list) {
    list.push_back({CutText(text(i), kMostQueryChangeBytes), before[i], after[i]});
  };
  for (size_t n = 0; n < order.size() && n < kMostQueryChanges && change(order[n]) < 0; ++n) {
    add(order[n], changes.fell);
  }
  std::ranges::stable_sort(order, std::greater<>(), change);
  for (size_t n = 0; n < order.size() && n < kMostQueryChanges && change(order[n]) > 0; ++n) {
    add(order[n], changes.rose);
  }
  return changes;
}

nlohmann::json ToJson(const QueryChanges& changes) {
  return {{"fell", ListOf(changes.fell)}, {"rose", ListOf(changes.rose)}};
}

absl::StatusOr<QueryChanges> QueryChangesFromJson(const nlohmann::json& json) {
  if (!json.is_object()) return absl::DataLossError("query changes: not a JSON object");
  QueryChanges changes;
  ASSIGN_OR_RETURN(changes.fell, ChangesFrom(json, "fell"));
  ASSIGN_OR_RETURN(changes.rose, ChangesFrom(json, "rose"));
  return changes;
}

}  // namespace tandem
