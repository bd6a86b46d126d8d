#include "server/base/negative_mining.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "server/base/field_checks.h"
#include "server/base/object_reader.h"
#include "server/base/random.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

constexpr int kMostRank = 1000;

absl::Status CheckOptional(const std::string& path, std::optional<double> value, double least, double most) {
  return value ? CheckBetween(path, *value, least, most) : absl::OkStatus();
}

// In double: the limits are decimal fractions, the scores are not. A score that is not a number is in no range.
bool IsCandidate(double score, double positive, const NegativeMiningOptions& options) {
  if (!(score >= options.min_score.value_or(-1e9) && score <= options.max_score.value_or(1e9))) return false;
  if (options.margin && !(score <= positive - *options.margin)) return false;
  // Not positive * (1 - relative_margin), which is above a positive below 0.
  return !options.relative_margin || score <= positive - std::abs(positive) * *options.relative_margin;
}

// `count` of `candidates`, in their order.
void KeepAtRandom(std::vector<int64_t>& candidates, size_t count, SplitMix64 random) {
  // Selection sampling (Knuth, TAOCP 3.4.2, algorithm S).
  size_t kept = 0;
  for (size_t i = 0; i < candidates.size() && kept < count; ++i) {
    if (random.Below(candidates.size() - i) < count - kept) candidates[kept++] = candidates[i];
  }
  candidates.resize(kept);
}

}  // namespace

absl::Status NegativeMiningOptions::Validate(std::string_view path) const {
  const std::string at(path);
  RETURN_IF_ERROR(CheckRange(at + ".negatives", negatives, 1, kMostNegatives));
  RETURN_IF_ERROR(CheckRange(at + ".max_rank", max_rank, 1, kMostRank));
  RETURN_IF_ERROR(CheckRange(at + ".min_rank", min_rank, 1, max_rank));
  const int ranks = max_rank - min_rank + 1;
  if (negatives > ranks) {
    return InvalidField(at + ".negatives", Concat(negatives, ": must be at most ", ranks, ", the number of ranks from ",
                                                  min_rank, " to ", max_rank));
  }
  RETURN_IF_ERROR(CheckOptional(at + ".margin", margin, 0, 2));
  RETURN_IF_ERROR(CheckOptional(at + ".relative_margin", relative_margin, 0, 1));
  RETURN_IF_ERROR(CheckOptional(at + ".max_score", max_score, -1, 1));
  RETURN_IF_ERROR(CheckOptional(at + ".min_score", min_score, -1, max_score.value_or(1)));
  return CheckAtLeast(at + ".seed", seed, 0);
}

nlohmann::json ToJson(const NegativeMiningOptions& options) {
  nlohmann::json json = {{"negatives", options.negatives},
                         {"min_rank", options.min_rank},
                         {"max_rank", options.max_rank},
                         {"sampling", static_cast<int>(options.sampling)},
                         {"seed", options.seed}};
  if (options.margin) json["margin"] = *options.margin;
  if (options.relative_margin) json["relative_margin"] = *options.relative_margin;
  if (options.min_score) json["min_score"] = *options.min_score;
  if (options.max_score) json["max_score"] = *options.max_score;
  return json;
}

absl::StatusOr<NegativeMiningOptions> NegativeMiningOptionsFromJson(const nlohmann::json& json) {
  NegativeMiningOptions options;
  ObjectReader reader("options of negative mining", json);
  reader.Read("negatives", options.negatives);
  reader.Read("min_rank", options.min_rank);
  reader.Read("max_rank", options.max_rank);
  reader.Read("margin", options.margin);
  reader.Read("relative_margin", options.relative_margin);
  reader.Read("min_score", options.min_score);
  reader.Read("max_score", options.max_score);
  reader.ReadEnum("sampling", options.sampling, NegativeMiningOptions::Sampling::kRandom);
  reader.Read("seed", options.seed);
  RETURN_IF_ERROR(reader.Finish());
  return options;
}

std::vector<int64_t> ChooseNegatives(std::span<const RankedDocument> ranked, float positive_score,
                                     const NegativeMiningOptions& options, uint64_t anchor_key) {
  const size_t count = options.negatives;
  const size_t end = std::min<size_t>(ranked.size(), options.max_rank);
  std::vector<int64_t> chosen;
  for (size_t i = options.min_rank - 1; i < end; ++i) {
    if (IsCandidate(ranked[i].score, positive_score, options)) chosen.push_back(ranked[i].id);
  }
  if (chosen.size() <= count) return chosen;
  switch (options.sampling) {
    case NegativeMiningOptions::Sampling::kTop:
      chosen.resize(count);
      break;
    case NegativeMiningOptions::Sampling::kRandom:
      KeepAtRandom(chosen, count, SplitMix64(MixBits(MixBits(static_cast<uint64_t>(options.seed)) ^ anchor_key)));
      break;
  }
  return chosen;
}

}  // namespace tandem
