#pragma once
// How the hits of the vector half and those of the keyword half become one list.

#include <cstdint>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "index/vector_index.h"
#include "server/storage/document_store.h"

namespace tandem {

struct FoundHit {
  int64_t label = 0;
  float score = 0;
  std::optional<float> vector_score, keyword_score;  // Of hybrid hits: what the halves gave it that found it.
};

// Cormack, Clarke and Buettcher 2009: the sum over the halves of weight / (constant + rank), ranks from 1.
struct ReciprocalRankFusion {
  int constant = 60;
  double vector_weight = 1, keyword_weight = 1;
};

// Each half's scores brought to [0, 1] by its lowest and highest; a half that did not find a hit gives 0.
struct WeightedFusion {
  double vector_weight = 0.5;
};

// Each half as the probability that a candidate is the one, exp(score / temperature) over the sum of its candidates,
// and their weighted sum. It needs no scale that is common to cosines and BM25, and a half whose candidates are all
// alike says little: by ranks, an encoder that does not know the documents' language takes 0.39 of the keyword half's
// 0.97 nDCG@10 (tests/bench/RESULTS.md, "Hybrid search"). 0.05 is the temperature at which sentence-transformers trains
// cosines; 3 was chosen on the sets of that table, where 2.5 to 3.5 do about as well.
struct SoftmaxFusion {
  double vector_weight = 0.5;
  double vector_temperature = 0.05;
  double keyword_temperature = 3;
};

using Fusion = std::variant<SoftmaxFusion, WeightedFusion, ReciprocalRankFusion>;

// Both halves best first; `cosines` of the query with each of `vectors`, which SoftmaxFusion alone reads. All hits of
// either half, best first, ties by label.
std::vector<FoundHit> Fuse(const std::vector<ScoredLabel>& vectors, std::span<const float> cosines,
                           const DocumentStore::KeywordHits& words, const Fusion& fusion);

}  // namespace tandem
