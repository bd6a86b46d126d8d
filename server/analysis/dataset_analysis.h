#pragma once
// What is wrong with a dataset before it is trained on: duplicates, false negatives, contradictions, what training and
// validation share, texts that are cut, classes and scores that are out of balance.
//
// Memory is bounded: texts are kept as 64-bit hashes (of 100 million texts some two are equal by chance with a
// probability of 3 in 10,000), and a dataset of more than kTextsPerPass texts is read several times, each time for the
// hashes of one part of all. About 200 bytes a text of a pass, besides the names of its labels.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/analysis/dataset_report.h"
#include "server/storage/records.h"

namespace tandem {

inline constexpr int64_t kTextsPerPass = int64_t{1} << 20;

// Gives every example, always the same ones in the same order, to the function until that returns an error, and returns
// it.
using ExampleScan = std::function<absl::Status(const std::function<absl::Status(const StoredExample&)>&)>;

struct AnalysisOptions {
  // Tokens of each text, special tokens and prompt included, not truncated. Empty: lengths are left out.
  std::function<absl::StatusOr<std::vector<int64_t>>(std::span<const std::string>, bool first_texts)> count_tokens;
  int64_t max_length = 512;
  // Of a job that would train on the dataset. DatasetReport::false_negatives is how many documents of a batch of so
  // many rows, drawn at random, one may expect to be taken for a negative of an anchor whose positive they are, or to
  // be the same text as its positive.
  int64_t batch_size = 32;
  int64_t texts_per_pass = kTextsPerPass;
  // Called for each example of each pass with the counts of examples done and of all (in the first pass, which counts
  // them: 0); a status that is not OK ends the analysis and is returned.
  std::function<absl::Status(int64_t, int64_t)> proceed;
};

// `validation` may be empty: there is none. Errors are those of the scans and of the options' functions.
absl::StatusOr<DatasetReport> AnalyzeDataset(const ExampleScan& dataset, const ExampleScan& validation,
                                             const AnalysisOptions& options);

}  // namespace tandem
