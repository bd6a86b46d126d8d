#pragma once
// The examples of a training job as the job's directory holds them: one JSON object a line, all lines of a file in one
// form, which the keys of its first line tell:
//   kPair          {"anchor": "...", "positives": ["...", ...], "negatives": ["...", ...]}; "negatives" may be missing
//   kScoredPair    {"first": "...", "second": "...", "score": 0.5}
//   kLabelledPair  {"first": "...", "second": "...", "similar": true}
//   kLabelledText  {"text": "...", "label": "..."}
//   kText          {"text": "..."}
// Texts are kept once each (TextTable) and examples name them by number, so that equality of texts is equality of
// numbers.

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/loss_options.h"

namespace tandem {

using TextId = int32_t;  // Index into TextTable::texts().

class TextTable {
 public:
  // The number of `text`, a new one when it was not there yet.
  TextId Intern(std::string text);
  const std::vector<std::string>& texts() const { return texts_; }

 private:
  std::vector<std::string> texts_;
  std::unordered_multimap<uint64_t, TextId> by_hash_;
};

struct TrainingExample {
  TextId anchor = 0;              // The first text: a pair's anchor, `first`, or `text`.
  std::vector<TextId> positives;  // Of a pair, at least one; `second` of a scored or labelled pair; else none.
  std::vector<TextId> negatives;  // Of a pair.
  float score = 0;                // Of a scored pair.
  bool similar = false;           // Of a labelled pair.
  int32_t label = -1;             // Of a labelled text: the number of its class, by first appearance in the file.
};

struct ExampleSet {
  ExampleForm form = ExampleForm::kPair;
  std::vector<TrainingExample> examples;

  bool empty() const { return examples.empty(); }
  int64_t size() const { return static_cast<int64_t>(examples.size()); }
};

// Visits every text of an example: first text, positives, negatives.
template <typename Visit>
void ForEachText(const TrainingExample& example, Visit visit) {
  visit(example.anchor);
  for (const TextId text : example.positives) visit(text);
  for (const TextId text : example.negatives) visit(text);
}

// The examples of a file. Errors name file and line, from 1: INVALID_ARGUMENT says what is wrong with the line,
// NOT_FOUND that there is no file. Empty lines are passed over; a file without examples is an empty set of pairs.
absl::StatusOr<ExampleSet> ReadExampleFile(const std::filesystem::path& path, TextTable& texts);

// Examples with several positives become as many with one each, in order, each with all negatives. They share the
// anchor, so batches without duplicates (sampler.h) never hold two of them, and no positive is taken for a negative of
// its own anchor.
ExampleSet OnePositiveEach(ExampleSet set);

// SimCSE's: of each example the first text, with itself as its positive. The form is kText.
ExampleSet TwoViewsEach(ExampleSet set);

struct ExampleSplit {
  ExampleSet training, validation;
};

// Moves the examples whose first text's hash falls into the lowest `fraction` of all hashes to `validation`. Depends on
// that text alone: the same texts are held out whatever the seed, the order and the other examples are, and no first
// text is on both sides.
ExampleSplit SplitByAnchor(ExampleSet set, const TextTable& texts, double fraction);

// Removes the examples whose first text is one of `validation`'s from `training`; returns how many.
int64_t RemoveSharedAnchors(const ExampleSet& validation, ExampleSet& training);

}  // namespace tandem
