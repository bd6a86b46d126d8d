#pragma once
// Pictures of what a training did to the vectors of a sample of texts.

#include <string>
#include <vector>

#include "client/report/embedding_sample.h"
#include "client/report/query_changes.h"

namespace tandem::report {

// The first text of each pair of a retrieval sample, with the place of its answer among all answers; 1 is first.
std::vector<QueryChange> RankChanges(const EmbeddingSample& sample, const SampleFigures& before,
                                     const SampleFigures& after);

// Two tables: the `count` that gained most and the `count` that lost most, by reciprocal rank, so that going from first
// to third counts more than from 50th to 20th. "" when none changed.
std::string DrawRankChanges(std::vector<QueryChange> changes, size_t count);

std::string DrawChanges(const std::vector<Change>& changes);  // A table, with intervals.

// Cosines of pairs and of other pairs, before beside after, on the same axes.
std::string DrawCosines(const SampleFigures& before, const SampleFigures& after);

// Both maps, on the same axes. REQUIRES: the sample has texts.
std::string DrawMaps(const EmbeddingSample& sample);

}  // namespace tandem::report
