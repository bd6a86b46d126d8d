#include "server/analysis/text_tables.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "server/analysis/folded_text.h"

namespace tandem {
namespace {

uint64_t HashOf(std::string_view text) { return std::hash<std::string_view>()(text); }

// Depends on the order (Stafford's mix of the first, then of the sum).
uint64_t Combine(uint64_t a, uint64_t b) {
  const auto mix = [](uint64_t x) {
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
  };
  return mix(mix(a + 0x9E3779B97F4A7C15u) + b);
}

template <typename TextHash>
uint64_t HashOf(const Example& example, TextHash text_hash) {
  uint64_t hash = Combine(static_cast<uint64_t>(example.kind), text_hash(example.anchor));
  for (const std::string& text : example.positives) hash = Combine(hash, text_hash(text));
  hash = Combine(hash, example.negatives.size());
  for (const std::string& text : example.negatives) hash = Combine(hash, text_hash(text));
  hash = Combine(hash, std::hash<float>()(example.score));
  return Combine(Combine(hash, example.similar ? 1 : 0), HashOf(example.label));
}

uint64_t FoldedHashOf(const std::string& text) { return HashOf(FoldText(text)); }

void Append(const Counted& part, Counted& whole) {
  const int64_t count = whole.count + part.count;
  for (const int64_t commit : part.commits) whole.Add(commit);
  whole.count = count;
}

}  // namespace

void TextTables::Add(const StoredExample& stored) {
  const Example& example = stored.example;
  AddDuplicate(stored);
  const int64_t rows = static_cast<int64_t>(example.positives.size());
  const bool pair = example.kind == ExampleKind::kPair;
  AddText(example.anchor, pair ? rows : 0, 0, stored.commit);
  for (const std::string& text : example.positives) {
    AddText(text, 0, pair ? 1 : 0, stored.commit);
    AddRow(example.anchor, text, stored.commit);
  }
  for (const std::string& text : example.negatives) AddText(text, 0, 0, stored.commit);
  if (example.kind == ExampleKind::kLabelledText) AddLabel(stored);
  AddContradictions(stored);
}

// Both sets are parted by the folded hash, so that an exact duplicate is in the same part as its folded ones.
void TextTables::AddDuplicate(const StoredExample& stored) {
  const Hash folded = HashOf(stored.example, FoldedHashOf);
  if (!IsMine(folded)) return;
  const bool new_folded = folded_.insert(folded).second;
  const bool new_exact =
      exact_.insert(HashOf(stored.example, [](const std::string& text) { return HashOf(text); })).second;
  if (!new_exact) {
    exact_duplicates_.Add(stored.commit);
  } else if (!new_folded) {
    folded_duplicates_.Add(stored.commit);
  }
}

void TextTables::AddText(std::string_view text, int64_t anchor_rows, int64_t positive_rows, int64_t commit) {
  const Hash hash = HashOf(text);
  if (!IsMine(hash)) return;
  TextUse& use = texts_.try_emplace(hash, TextUse{.commit = commit}).first->second;
  use.anchor_rows += anchor_rows;
  use.positive_rows += positive_rows;
}

void TextTables::AddRow(const std::string& first, const std::string& second, int64_t commit) {
  const Hash hash = Combine(HashOf(first), HashOf(second));
  if (IsMine(hash) && ++rows_[hash] > 1) repeated_pairs_.Add(commit);
}

// Of a pair the order of the two texts counts; a score or a label is the same either way.
void TextTables::AddContradictions(const StoredExample& stored) {
  const Example& example = stored.example;
  const Hash anchor = FoldedHashOf(example.anchor);
  const auto note_shared = [&](Hash hash, bool first) {
    if (!IsMine(hash)) return;
    Shared& shared = shared_[hash];
    shared.any = true;
    shared.first |= first;
  };
  note_shared(anchor, true);
  for (const std::string& text : example.positives) {
    const Hash hash = FoldedHashOf(text);
    note_shared(hash, false);
    if (hash == anchor && IsMine(hash) && example.kind == ExampleKind::kPair) equal_to_anchor_.Add(stored.commit);
    const bool ordered = example.kind == ExampleKind::kPair;
    const Hash key = ordered ? Combine(anchor, hash) : Combine(std::min(anchor, hash), std::max(anchor, hash));
    AddPairUse(key, example, ordered || example.similar, stored.commit);
  }
  for (const std::string& text : example.negatives) {
    const Hash hash = FoldedHashOf(text);
    note_shared(hash, false);
    AddPairUse(Combine(anchor, hash), example, false, stored.commit);
  }
}

void TextTables::AddPairUse(Hash pair, const Example& example, bool positive, int64_t commit) {
  // Pairs of different kinds say nothing about each other.
  const Hash key = Combine(pair, static_cast<Hash>(example.kind));
  if (!IsMine(key)) return;
  PairUse& use = pairs_[key];
  if (example.kind == ExampleKind::kScoredPair) {
    use.lowest = use.scored ? std::min(use.lowest, example.score) : example.score;
    use.highest = use.scored ? std::max(use.highest, example.score) : example.score;
    use.scored = true;
    if (!use.counted && static_cast<double>(use.highest) - use.lowest > score_range_ / 5) {
      use.counted = true;
      conflicting_scores_.Add(commit);
    }
    return;
  }
  (positive ? use.positive : use.negative) = true;
  if (!use.counted && use.positive && use.negative) {
    use.counted = true;
    contradictions_.Add(commit);
  }
}

void TextTables::AddLabel(const StoredExample& stored) {
  const Hash label = HashOf(stored.example.label);
  if (IsMine(label)) ++labels_[stored.example.label];
  const Hash text = FoldedHashOf(stored.example.anchor);
  if (!IsMine(text)) return;
  LabelUse& use = label_of_.try_emplace(text, LabelUse{.label = label}).first->second;
  if (use.label == label || use.conflicting) return;
  use.conflicting = true;
  conflicting_labels_.Add(stored.commit);
}

void TextTables::AddValidation(const StoredExample& stored) {
  const auto look_up = [&](const std::string& text, bool first) {
    const auto found = shared_.find(FoldedHashOf(text));
    if (found == shared_.end()) return;
    Shared& shared = found->second;
    if (!std::exchange(shared.any_counted, true)) shared_texts_.Add(stored.commit);
    if (first && shared.first && !std::exchange(shared.first_counted, true)) shared_anchors_.Add(stored.commit);
  };
  look_up(stored.example.anchor, true);
  for (const std::string& text : stored.example.positives) look_up(text, false);
  for (const std::string& text : stored.example.negatives) look_up(text, false);
}

double TextTables::row_pairs() const {
  const auto ordered_pairs = [](int64_t n) { return static_cast<double>(n) * static_cast<double>(n - 1); };
  double pairs = 0;
  for (const auto& [hash, use] : texts_) pairs += ordered_pairs(use.anchor_rows) + ordered_pairs(use.positive_rows);
  for (const auto& [hash, count] : rows_) pairs -= ordered_pairs(count);  // Those share both.
  return pairs;
}

void TextTables::Finish(DatasetReport& report) const {
  report.distinct_texts += static_cast<int64_t>(texts_.size());
  for (const auto& [hash, use] : texts_) {
    if (use.anchor_rows > 1) report.several_positives.Add(use.commit);
    if (use.positive_rows > 1) report.shared_positives.Add(use.commit);
    if (use.anchor_rows > 0 && use.positive_rows > 0) report.anchors_as_positives.Add(use.commit);
  }
  for (const auto& [label, size] : labels_) {
    LabelBalance& labels = report.labels ? *report.labels : report.labels.emplace();
    const bool first = labels.classes++ == 0;
    if (first || std::pair(size, label) < std::pair(labels.smallest_size, labels.smallest)) {
      labels.smallest = label;
      labels.smallest_size = size;
    }
    if (first || std::pair(-size, label) < std::pair(-labels.largest_size, labels.largest)) {
      labels.largest = label;
      labels.largest_size = size;
    }
    labels.single_texts += size == 1 ? 1 : 0;
    const double share =
        static_cast<double>(size) / static_cast<double>(report.forms[static_cast<size_t>(ExampleKind::kLabelledText)]);
    labels.entropy -= share * std::log2(share);
  }
  Append(exact_duplicates_, report.exact_duplicates);
  Append(folded_duplicates_, report.folded_duplicates);
  Append(repeated_pairs_, report.repeated_pairs);
  Append(equal_to_anchor_, report.equal_to_anchor);
  Append(contradictions_, report.contradictions);
  Append(conflicting_scores_, report.conflicting_scores);
  Append(conflicting_labels_, report.conflicting_labels);
  Append(shared_anchors_, report.shared_anchors);
  Append(shared_texts_, report.shared_texts);
}

}  // namespace tandem
