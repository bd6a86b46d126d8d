#pragma once
// Which documents become an anchor's hard negatives, by their rank and score among all documents: of jobs that mine a
// dataset against a collection, and of mining during training. Names as in sentence-transformers' mine_hard_negatives
// (6.2.0) where it has them; the margins are TopK-MarginPos and TopK-PercPos of NV-Retriever (Moreira et al. 2024,
// arXiv:2407.15831).
//
// Never among the ranked documents, so that they have no rank: the anchor's own text, and every text that is a positive
// of the same anchor text. Texts are compared byte by byte, like training's rules on false negatives: one that differs
// in a blank or in case is another text.
//
// Differences from mine_hard_negatives: a rank is that among the documents, before any score is looked at (the peer
// drops its range_min first ones from those that passed the scores); the window ends at max_rank for every anchor (the
// peer's is longer by as many places as the anchor has fewer positives than the richest anchor); the anchor's own text
// is left out (the peer keeps it); random numbers are SplitMix64's.

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

// Negatives of an example, given and mined together.
inline constexpr int kMostNegatives = 64;

struct NegativeMiningOptions {
  // Values reach disk: do not change. kTop: the first ones. kRandom: each candidate with the same chance.
  enum class Sampling { kTop = 1, kRandom = 2 };

  int negatives = 5;   // Of an anchor, at most; [1, kMostNegatives], and not more than there are ranks.
  int min_rank = 1;    // From 1, the best; the ranks min_rank to max_rank are candidates.
  int max_rank = 100;  // [min_rank, 1000]
  // A candidate only when its score is at most that of the anchor's lowest-scored positive less this; [0, 2].
  std::optional<double> margin;
  // The same, as a share of the positive's score: at most positive - |positive| * relative_margin; [0, 1].
  std::optional<double> relative_margin;
  std::optional<double> min_score;  // [-1, 1], of a candidate; not above max_score.
  std::optional<double> max_score;  // [-1, 1]
  Sampling sampling = Sampling::kTop;
  int64_t seed = 42;  // Of kRandom; not negative.

  // Errors name the field below `path` ("options.mining.options").
  absl::Status Validate(std::string_view path) const;
};

// Keys as the fields; what is not set is left out. A key that is missing has its default; an unknown one is
// INVALID_ARGUMENT. Ranges are Validate's.
nlohmann::json ToJson(const NegativeMiningOptions& options);
absl::StatusOr<NegativeMiningOptions> NegativeMiningOptionsFromJson(const nlohmann::json& json);

struct RankedDocument {
  int64_t id = 0;   // The caller's.
  float score = 0;  // Cosine with the anchor.
};

// The ids of the hard negatives, best first; fewer than options.negatives, or none, when not as many are candidates.
// `ranked`: the documents by falling score, at least up to max_rank or all that there are. `positive_score`: of the
// anchor's lowest-scored positive. kRandom's choice depends on the seed, `anchor_key` (the same for the same anchor,
// another for another) and the candidates alone.
std::vector<int64_t> ChooseNegatives(std::span<const RankedDocument> ranked, float positive_score,
                                     const NegativeMiningOptions& options, uint64_t anchor_key);

}  // namespace tandem
