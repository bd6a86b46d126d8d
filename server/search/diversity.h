#pragma once
// Maximal marginal relevance, Carbonell and Goldstein 1998: hits are taken one by one, each with the highest
// lambda * score - (1 - lambda) * (its highest similarity to those taken).

#include <cstddef>
#include <functional>
#include <vector>

#include "absl/time/time.h"
#include "server/search/fusion.h"

namespace tandem {

// The first `count` of `candidates`, which are best first; ties go to the better one. `similarity` of two candidates,
// by their places, on the scale of the scores. Ends with fewer when `deadline` passes: up to 11,000 squared
// similarities.
std::vector<FoundHit> TakeDiverse(const std::vector<FoundHit>& candidates, size_t count, double lambda,
                                  const std::function<float(size_t, size_t)>& similarity,
                                  absl::Time deadline = absl::InfiniteFuture());

}  // namespace tandem
