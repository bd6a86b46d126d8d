#pragma once
// A later reading of a dataset: what can only be told of examples together. One object sees all examples and keeps the
// hashes of one part of all; the counts of all parts add up.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "server/analysis/dataset_report.h"
#include "server/storage/records.h"

namespace tandem {

class TextTables {
 public:
  TextTables(int64_t part, int64_t parts, double score_range) : part_(part), parts_(parts), score_range_(score_range) {}

  void Add(const StoredExample& example);
  void AddValidation(const StoredExample& example);  // After all examples.

  // Adds this part's counts to the report. Entropy becomes the sum of -p log2(p) over the labels of the parts so far.
  void Finish(DatasetReport& report) const;
  // Ordered pairs of rows that have the same anchor or the same positive.
  double row_pairs() const;

 private:
  using Hash = uint64_t;
  struct TextUse {
    int64_t anchor_rows = 0, positive_rows = 0;
    int64_t commit = 0;  // Where it was first.
  };
  struct PairUse {
    bool positive = false, negative = false, counted = false;
    bool scored = false;
    float lowest = 0, highest = 0;
  };
  struct LabelUse {
    Hash label = 0;
    bool conflicting = false;
  };
  // Of a text, by whether it is first in an example.
  struct Shared {
    bool first = false, any = false;
    bool first_counted = false, any_counted = false;
  };

  bool IsMine(Hash hash) const { return hash % static_cast<Hash>(parts_) == static_cast<Hash>(part_); }
  void AddDuplicate(const StoredExample& example);
  void AddText(std::string_view text, int64_t anchor_rows, int64_t positive_rows, int64_t commit);
  void AddRow(const std::string& first, const std::string& second, int64_t commit);
  void AddContradictions(const StoredExample& example);
  void AddPairUse(Hash key, const Example& example, bool positive, int64_t commit);
  void AddLabel(const StoredExample& example);

  const int64_t part_, parts_;
  const double score_range_;  // Highest less lowest of all scores.
  absl::flat_hash_set<Hash> exact_, folded_;
  absl::flat_hash_map<Hash, TextUse> texts_;
  absl::flat_hash_map<Hash, int64_t> rows_;  // How often the row is there.
  absl::flat_hash_map<Hash, PairUse> pairs_;
  absl::flat_hash_map<Hash, LabelUse> label_of_;
  absl::flat_hash_map<std::string, int64_t> labels_;
  absl::flat_hash_map<Hash, Shared> shared_;
  Counted exact_duplicates_, folded_duplicates_, repeated_pairs_, equal_to_anchor_;
  Counted contradictions_, conflicting_scores_, conflicting_labels_, shared_anchors_, shared_texts_;
};

}  // namespace tandem
