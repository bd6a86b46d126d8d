#include "server/analysis/dataset_counts.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "server/base/status.h"

namespace tandem {
namespace {

constexpr size_t kTextsAtOnce = 1024, kBytesAtOnce = 4 << 20;
constexpr int64_t kLongestCounted = 1 << 17;  // Longer texts count as of this length.

// The least length that at least the share `p` of all texts does not exceed.
int64_t NearestRank(const std::vector<int64_t>& texts_of_length, int64_t texts, double p) {
  int64_t seen = 0;
  for (size_t length = 0; length < texts_of_length.size(); ++length) {
    seen += texts_of_length[length];
    if (static_cast<double>(seen) >= p * static_cast<double>(texts)) return static_cast<int64_t>(length);
  }
  return 0;
}

}  // namespace

absl::Status LengthCounter::Add(const std::string& text, int64_t commit) {
  waiting_.push_back(text);
  waiting_commits_.push_back(commit);
  waiting_bytes_ += text.size();
  return waiting_.size() < kTextsAtOnce && waiting_bytes_ < kBytesAtOnce ? absl::OkStatus() : Flush();
}

absl::Status LengthCounter::Flush() {
  if (waiting_.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::vector<int64_t> counts, options_->count_tokens(waiting_, first_texts_));
  for (size_t i = 0; i < counts.size(); ++i) {
    const size_t length = static_cast<size_t>(std::min(counts[i], kLongestCounted));
    if (length >= texts_of_length_.size()) texts_of_length_.resize(length + 1);
    ++texts_of_length_[length];
    const size_t bucket = length <= 1 ? 0 : static_cast<size_t>(std::bit_width(length - 1));
    if (bucket >= lengths_.histogram.size()) lengths_.histogram.resize(bucket + 1);
    ++lengths_.histogram[bucket];
    if (counts[i] > options_->max_length) lengths_.truncated.Add(waiting_commits_[i]);
    lengths_.longest = std::max(lengths_.longest, counts[i]);
    tokens_ += counts[i];
  }
  lengths_.texts += static_cast<int64_t>(counts.size());
  waiting_.clear();
  waiting_commits_.clear();
  waiting_bytes_ = 0;
  return absl::OkStatus();
}

std::optional<TextLengths> LengthCounter::Lengths() const {
  if (lengths_.texts == 0) return std::nullopt;
  TextLengths lengths = lengths_;
  lengths.mean = static_cast<double>(tokens_) / static_cast<double>(lengths.texts);
  lengths.median = NearestRank(texts_of_length_, lengths.texts, 0.5);
  lengths.percentile_90 = NearestRank(texts_of_length_, lengths.texts, 0.9);
  lengths.percentile_99 = NearestRank(texts_of_length_, lengths.texts, 0.99);
  return lengths;
}

DatasetCounts::DatasetCounts(const AnalysisOptions* options)
    : options_(options), first_(options, true), second_(options, false) {}

absl::Status DatasetCounts::Add(const StoredExample& stored) {
  const Example& example = stored.example;
  ++counts_.examples;
  ++counts_.forms[static_cast<size_t>(example.kind)];
  counts_.rows += std::max<int64_t>(1, static_cast<int64_t>(example.positives.size()));
  counts_.texts += 1 + static_cast<int64_t>(example.positives.size() + example.negatives.size());
  if (example.kind == ExampleKind::kLabelledPair) ++(example.similar ? counts_.similar : counts_.dissimilar);
  if (example.kind == ExampleKind::kScoredPair) {
    if (!counts_.scores) counts_.scores = {.lowest = example.score, .highest = example.score};
    counts_.scores->lowest = std::min<double>(counts_.scores->lowest, example.score);
    counts_.scores->highest = std::max<double>(counts_.scores->highest, example.score);
    score_sum_ += example.score;
  }
  if (!options_->count_tokens) return absl::OkStatus();
  RETURN_IF_ERROR(first_.Add(example.anchor, stored.commit));
  for (const std::string& text : example.positives) RETURN_IF_ERROR(second_.Add(text, stored.commit));
  for (const std::string& text : example.negatives) RETURN_IF_ERROR(second_.Add(text, stored.commit));
  return absl::OkStatus();
}

absl::Status DatasetCounts::Finish(DatasetReport& report) {
  RETURN_IF_ERROR(first_.Flush());
  RETURN_IF_ERROR(second_.Flush());
  report = counts_;
  report.first_lengths = first_.Lengths();
  report.second_lengths = second_.Lengths();
  if (report.scores) {
    report.scores->mean =
        score_sum_ / static_cast<double>(counts_.forms[static_cast<size_t>(ExampleKind::kScoredPair)]);
  }
  return absl::OkStatus();
}

}  // namespace tandem
