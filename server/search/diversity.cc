#include "server/search/diversity.h"

#include <algorithm>
#include <limits>

#include "absl/time/clock.h"

namespace tandem {

std::vector<FoundHit> TakeDiverse(const std::vector<FoundHit>& candidates, size_t count, double lambda,
                                  const std::function<float(size_t, size_t)>& similarity, absl::Time deadline) {
  std::vector<FoundHit> taken;
  std::vector<bool> is_taken(candidates.size());
  std::vector<double> nearest(candidates.size(), -std::numeric_limits<double>::infinity());  // To those taken.
  while (taken.size() < std::min(count, candidates.size()) && absl::Now() < deadline) {
    size_t best = candidates.size();
    double best_value = 0;
    for (size_t i = 0; i < candidates.size(); ++i) {
      if (is_taken[i]) continue;
      const double penalty = taken.empty() ? 0 : nearest[i];
      const double value = lambda * candidates[i].score - (1 - lambda) * penalty;
      if (best == candidates.size() || value > best_value) {
        best = i;
        best_value = value;
      }
    }
    is_taken[best] = true;
    taken.push_back(candidates[best]);
    for (size_t i = 0; i < candidates.size(); ++i) {
      if (!is_taken[i]) nearest[i] = std::max(nearest[i], double{similarity(best, i)});
    }
  }
  return taken;
}

}  // namespace tandem
