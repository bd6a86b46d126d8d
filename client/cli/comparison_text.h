#pragma once
// What a training did to its model, and how two releases differ, as text for people.

#include <string>

#include "absl/strings/string_view.h"
#include "tandem/v1/comparison.pb.h"
#include "tandem/v1/types.pb.h"

namespace tandem::cli {

// "ndcg_at_10" -> "nDCG@10"; a name that it does not know stays as it is.
std::string MetricTitle(absl::string_view name);

// One line: "nDCG@10 rose by 0.1900, 95% interval [+0.1500, +0.2200]"; that it fell; or, when the interval holds no
// difference, that it did not change surely. Empty for a comparison without metrics.
std::string ComparisonVerdict(const v1::TrainingComparison& comparison);

// The verdict, a table of figures before and after with intervals and differences, and the examples that fell most.
std::string DescribeComparison(const v1::TrainingComparison& comparison);

// The metrics of both releases with the differences and their intervals, where the queries are judged; the overlap; and
// the ten queries that changed most.
std::string DescribeReleases(const v1::ReleaseComparison& comparison);

}  // namespace tandem::cli
