#pragma once
// Principal components (Pearson 1901): the two directions in which vectors differ most, for maps of embeddings.

#include <cstddef>
#include <vector>

#include "client/report/series.h"

namespace tandem::report {

// Rows of equal length.
using Vectors = std::vector<std::vector<float>>;

struct Projection {
  std::vector<std::vector<Point>> sets;  // Of each set its rows' places, in order.
  std::vector<double> explained;         // Of each set the share of its variance that the two directions hold, [0, 1].
};

// One pair of directions for all sets, each set centred on its own mean first: a shift that all texts share is no
// structure. Directions come from subspace iteration with a fixed start, and point where their largest entry is
// positive, so the same vectors give the same map. REQUIRES: at least one set; no set is empty; all rows have the same
// length.
Projection Project(const std::vector<Vectors>& sets);

}  // namespace tandem::report
