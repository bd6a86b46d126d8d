#pragma once
// A model before and after its training, on the same validation examples.

#include <cstdint>
#include <string>
#include <vector>

#include "server/base/training_comparison.h"
#include "server/training/example_file.h"
#include "server/training/validation_outcomes.h"

namespace tandem {

// What the outcomes of a validation are of, in their order: of pairs the queries, each anchor once, by first
// appearance; of plain texts nothing; else the examples.
struct ValidationItems {
  ExampleForm form = ExampleForm::kPair;
  std::vector<std::string> texts;  // As a comparison names them, cut short; "first ↔ second" of two.
  std::vector<double> scores;      // Of scored pairs.
  std::vector<char> similar;       // Of labelled pairs, 1 or 0.
};
ValidationItems ItemsOf(const ExampleSet& set, const TextTable& texts);

// Metrics, the deciding one first: means of the outcomes of pairs and labelled texts; Spearman and Pearson of scored
// pairs; average precision of labelled pairs. Intervals are those of 10,000 resamples, of more than 20,000 items of
// fewer, at least 1,000, so that they take seconds.
//
// Changes are of higher values better: the deciding metric of a query or text. A scored pair's value is 1 - |r - s|,
// where r is the share of the other pairs whose cosine is lower than its own (of equal ones half) and s the same of the
// scores: what it does to Spearman's correlation. A labelled pair's value is the share of the pairs of the other kind
// that it is on the right side of, equal cosines counting half: their mean over the similar ones is the area under the
// ROC curve.
//
// Outcomes that are not of all items, as a trainer with other rules might have left them, have no metric.
TrainingComparison Compare(const ValidationItems& items, const ValidationOutcomes& before,
                           const ValidationOutcomes& after, int64_t step);

}  // namespace tandem
