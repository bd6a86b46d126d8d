#include "server/base/training_comparison.h"

#include "absl/status/status.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

using nlohmann::json;

json Packed(const Interval& interval) { return {interval.value, interval.lower, interval.upper}; }

absl::StatusOr<Interval> IntervalFrom(const json& metric, const char* key) {
  const json& numbers = metric.value(key, json());
  if (!numbers.is_array() || numbers.size() != 3 || !numbers[0].is_number() || !numbers[1].is_number() ||
      !numbers[2].is_number()) {
    return absl::DataLossError(Concat("training comparison: ", key, " of a metric is not three numbers"));
  }
  return Interval{numbers[0].get<double>(), numbers[1].get<double>(), numbers[2].get<double>()};
}

absl::StatusOr<ComparedMetric> MetricFrom(const json& in) {
  if (!in.is_object() || !in.contains("name") || !in["name"].is_string()) {
    return absl::DataLossError("training comparison: a metric has no name");
  }
  ComparedMetric metric{.name = in["name"].get<std::string>(), .figure = {}};
  ASSIGN_OR_RETURN(metric.figure.before, IntervalFrom(in, "before"));
  ASSIGN_OR_RETURN(metric.figure.after, IntervalFrom(in, "after"));
  ASSIGN_OR_RETURN(metric.figure.difference, IntervalFrom(in, "difference"));
  return metric;
}

}  // namespace

json ToJson(const TrainingComparison& comparison) {
  json metrics = json::array();
  for (const ComparedMetric& metric : comparison.metrics) {
    metrics.push_back({{"name", metric.name},
                       {"before", Packed(metric.figure.before)},
                       {"after", Packed(metric.figure.after)},
                       {"difference", Packed(metric.figure.difference)}});
  }
  return {{"step", comparison.step},
          {"before", ToJson(comparison.before)},
          {"after", ToJson(comparison.after)},
          {"metrics", std::move(metrics)},
          {"changes", ToJson(comparison.changes)}};
}

absl::StatusOr<TrainingComparison> TrainingComparisonFromJson(const json& in) {
  if (!in.is_object() || !in.contains("step") || !in["step"].is_number_integer()) {
    return absl::DataLossError("training comparison: step is missing or not a whole number");
  }
  TrainingComparison comparison{.step = in["step"].get<int64_t>(), .before = {}, .after = {}};
  ASSIGN_OR_RETURN(comparison.before, ValidationResultFromJson(in.value("before", json())));
  ASSIGN_OR_RETURN(comparison.after, ValidationResultFromJson(in.value("after", json())));
  ASSIGN_OR_RETURN(comparison.changes, QueryChangesFromJson(in.value("changes", json())));
  const auto metrics = in.find("metrics");
  if (metrics == in.end() || !metrics->is_array()) {
    return absl::DataLossError("training comparison: metrics is not a list");
  }
  for (const json& metric : *metrics) {
    ASSIGN_OR_RETURN(comparison.metrics.emplace_back(), MetricFrom(metric));
  }
  return comparison;
}

}  // namespace tandem
