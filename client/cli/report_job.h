#pragma once
// What the server knows of a training job, collected for its page.

#include <cstddef>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/cli/report_data.h"
#include "client/client.h"
#include "client/report/training_report.h"

namespace tandem::cli {

// The job with its events, the revision that it made, and up to `texts` texts of its dataset embedded before and after;
// with 0 texts, none; and what `analyse` says of its datasets, unless it is null. Of a running job, what there is so
// far. INVALID_ARGUMENT for a job that is no training. A revision or dataset that is gone, or a model that cannot be
// loaded, is told in the report and is no error.
absl::StatusOr<report::TrainingReport> CollectTrainingReport(const Client& client, absl::string_view job, size_t texts,
                                                             const Analyse& analyse);

// The course of a training out of its events, in their order. Where an attempt repeats steps, the later one counts.
void AddEvents(const std::vector<v1::JobEvent>& events, report::TrainingReport* report);

// "objectives[0].loss.info_nce.scale: 20", one for each option, out of the JSON of a revision's lineage. What only
// concerns the machine is left out.
std::vector<report::Fact> DescribeOptions(absl::string_view options_json);

}  // namespace tandem::cli
