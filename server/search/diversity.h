#pragma once
// Maximal marginal relevance, Carbonell and Goldstein 1998: hits are taken one by one, each with the highest
// lambda * score - (1 - lambda) * (its highest similarity to those taken).

#include <cstddef>
#include <functional>
#include <vector>

#include "server/search/fusion.h"

namespace tandem {

// The first `count` of `candidates`, which are best first; ties go to the better one. `similarity` of two candidates,
// by their places, on the scale of the scores.
std::vector<FoundHit> TakeDiverse(const std::vector<FoundHit>& candidates, size_t count, double lambda,
                                  const std::function<float(size_t, size_t)>& similarity);

}  // namespace tandem
