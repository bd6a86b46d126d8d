#pragma once
// What the analysis of a dataset found: counts, and findings that say what to change. Plain values.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"

namespace tandem {

// How many there are, and where to look: the lowest commits of examples, at most kMostCommits.
struct Counted {
  static constexpr size_t kMostCommits = 5;

  int64_t count = 0;
  std::vector<int64_t> commits;  // Ascending, each once.

  void Add(int64_t commit);
};

// Lengths in tokens of the texts of one role, before truncation.
struct TextLengths {
  int64_t texts = 0;  // Each occurrence.
  double mean = 0;
  int64_t median = 0, percentile_90 = 0, percentile_99 = 0, longest = 0;  // Nearest rank.
  Counted truncated;                                                      // Texts longer than max_length.
  std::vector<int64_t> histogram;  // Element i: texts of at most 2^i tokens and more than 2^(i-1).
};

struct LabelBalance {
  int64_t classes = 0;
  std::string smallest, largest;  // Labels; of equally large ones the first in alphabetical order.
  int64_t smallest_size = 0, largest_size = 0;
  int64_t single_texts = 0;  // Classes of one text.
  double entropy = 0;        // In bits; log2(classes) when all are equally large.
};

struct ScoreDistribution {
  double lowest = 0, highest = 0, mean = 0;
  std::array<int64_t, 10> histogram{};  // Of equal parts of [lowest, highest].
};

enum class Severity { kNote = 1, kWarning = 2, kError = 3 };  // Values reach disk: do not change.

struct Finding {
  Severity severity = Severity::kNote;
  std::string kind;  // Name of the field of the report that it is about.
  int64_t count = 0;
  std::vector<int64_t> commits;
  std::string advice;  // One sentence: what was found, and what to change.
};

// Texts are compared byte by byte, but for "folded" figures, contradictions and what training and validation share:
// these pass over case and white space (folded_text.h). A row is an anchor with one of its positives, as the trainer
// sees it; of the other forms each example is a row.
struct DatasetReport {
  int64_t examples = 0, rows = 0;
  int64_t texts = 0, distinct_texts = 0;
  std::array<int64_t, 6> forms{};  // Examples by ExampleKind.

  Counted exact_duplicates;   // Examples that repeat an earlier one.
  Counted folded_duplicates;  // Examples that repeat an earlier one but for case and white space.
  Counted repeated_pairs;     // Rows that repeat the two texts of another one, exact duplicates included.

  Counted several_positives;     // Anchors of several rows.
  Counted shared_positives;      // Texts that are the positive of several rows.
  double false_negatives = 0;    // See AnalysisOptions::batch_size.
  Counted anchors_as_positives;  // Texts that are an anchor here and a positive there.
  Counted equal_to_anchor;       // Rows whose positive is their anchor, but for case and white space.

  Counted contradictions;      // Two texts that are both similar and not, or positive and negative of one anchor.
  Counted conflicting_scores;  // Two texts with scores that differ by more than a fifth of the range of all scores.
  Counted conflicting_labels;  // Texts with several labels.

  int64_t validation_examples = 0;
  Counted shared_anchors;  // First texts of training that are first texts of validation; commits of the validation.
  Counted shared_texts;    // All texts that both have, in any role.

  std::optional<TextLengths> first_lengths, second_lengths;  // Of first texts; of positives and negatives.
  std::optional<LabelBalance> labels;
  std::optional<ScoreDistribution> scores;
  int64_t similar = 0, dissimilar = 0;  // Labelled pairs.

  std::vector<Finding> findings;  // Gravest first.
};

// Keys are the names of the fields; what is not set is left out. The form reaches disk.
nlohmann::json ToJson(const DatasetReport& report);
// INVALID_ARGUMENT names a key that is unknown or of another type.
absl::StatusOr<DatasetReport> DatasetReportFromJson(const nlohmann::json& json);

}  // namespace tandem
