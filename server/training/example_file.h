#pragma once
// The examples of a training job as the job's directory holds them: one JSON object a line,
//   {"anchor": "...", "positives": ["...", ...], "negatives": ["...", ...]}
// "positives" has at least one text; "negatives" may be missing. Texts are kept once each (TextTable) and examples name
// them by number, so that equality of texts is equality of numbers.

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

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

// An anchor with one of its positives: what the trainer trains on. An example with several positives becomes as many
// pairs, in order, each with all negatives of the example. They share the anchor, so batches without duplicates
// (sampler.h) never hold two of them, and no positive is taken for a negative of its own anchor.
struct TrainingPair {
  TextId anchor = 0;
  TextId positive = 0;
  std::vector<TextId> negatives;
};

// Appends the pairs of one line. INVALID_ARGUMENT says what is wrong with it.
absl::Status ParseExample(std::string_view line, TextTable& texts, std::vector<TrainingPair>& pairs);

// Appends the pairs of a file. Errors name file and line, from 1; NOT_FOUND when there is no file. Empty lines are
// passed over.
absl::Status ReadExampleFile(const std::filesystem::path& path, TextTable& texts, std::vector<TrainingPair>& pairs);

struct ExampleSplit {
  std::vector<TrainingPair> training, validation;
};

// Moves the pairs whose anchor's hash falls into the lowest `fraction` of all hashes to `validation`. Depends on the
// anchor's text alone: the same anchors are held out whatever the seed, the order and the other examples are, and no
// anchor is on both sides.
ExampleSplit SplitByAnchor(std::vector<TrainingPair> pairs, const TextTable& texts, double fraction);

// Removes the pairs whose anchor is one of `validation`'s from `training`; returns how many.
int64_t RemoveSharedAnchors(const std::vector<TrainingPair>& validation, std::vector<TrainingPair>& training);

}  // namespace tandem
