#pragma once
// Pictures of what a training did to the vectors of a sample of texts.

#include <string>
#include <vector>

#include "client/report/embedding_sample.h"

namespace tandem::report {

std::string DrawChanges(const std::vector<Change>& changes);  // A table, with intervals.

// Cosines of pairs and of other pairs, before beside after, on the same axes.
std::string DrawCosines(const SampleFigures& before, const SampleFigures& after);

// Both maps, on the same axes. REQUIRES: the sample has texts.
std::string DrawMaps(const EmbeddingSample& sample);

}  // namespace tandem::report
