#pragma once
// What a report means for a training job: one sentence for each thing that should change.

#include <cstdint>
#include <vector>

#include "server/analysis/dataset_report.h"

namespace tandem {

// Gravest first, then in the order of the report. `batch_size` and `max_length` are those of the analysis.
std::vector<Finding> FindingsOf(const DatasetReport& report, int64_t batch_size, int64_t max_length);

}  // namespace tandem
