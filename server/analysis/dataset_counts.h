#pragma once
// The first reading of a dataset: what can be counted example by example.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "server/analysis/dataset_analysis.h"

namespace tandem {

// Lengths of the texts of one role; gathers texts and has them counted many at once.
class LengthCounter {
 public:
  LengthCounter(const AnalysisOptions* options, bool first_texts) : options_(options), first_texts_(first_texts) {}

  absl::Status Add(const std::string& text, int64_t commit);
  absl::Status Flush();
  std::optional<TextLengths> Lengths() const;  // Not set when there was no text.

 private:
  const AnalysisOptions* const options_;
  const bool first_texts_;
  std::vector<std::string> waiting_;
  std::vector<int64_t> waiting_commits_;
  size_t waiting_bytes_ = 0;
  std::vector<int64_t> texts_of_length_;  // The last element: of that length and longer.
  TextLengths lengths_;
  int64_t tokens_ = 0;
};

class DatasetCounts {
 public:
  explicit DatasetCounts(const AnalysisOptions* options);  // `options` outlives this.

  absl::Status Add(const StoredExample& example);
  absl::Status Finish(DatasetReport& report);

 private:
  const AnalysisOptions* const options_;
  DatasetReport counts_;
  LengthCounter first_, second_;
  double score_sum_ = 0;
};

}  // namespace tandem
