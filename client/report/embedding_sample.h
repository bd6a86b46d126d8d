#pragma once
// Texts of a dataset as the model before a training and the one after it see them, and what that says of the training.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/report/projection.h"

namespace tandem::report {

struct EmbeddingSample {
  std::string source;   // "150 examples of faq".
  bool unseen = false;  // The training did not learn from them: they are of its validation dataset.
  std::vector<std::string> texts;
  std::vector<std::string> kinds;                // What the texts are: "query" and "document", or classes. At most 4.
  std::vector<int> kind;                         // Of each text, its place in `kinds`.
  std::vector<std::pair<size_t, size_t>> pairs;  // Texts that belong together.
  bool retrieval = false;                        // The first text of a pair is a query that the second answers.
  Vectors before, after;                         // Of each text, of length 1.
};

// What one model makes of a sample.
struct SampleFigures {
  std::vector<double> pair_cosines;   // Of each pair.
  std::vector<double> other_cosines;  // Of the first text of each pair with every different second text of other pairs.
  std::vector<double> other_means;    // The mean of those, of each pair; NaN where there are none.
  // Of each pair, of a retrieval sample: 1 + the second texts that are nearer to the first than its own.
  std::vector<int> ranks;
};

SampleFigures Measure(const EmbeddingSample& sample, const Vectors& vectors);

// A mean before and after, with the 95% interval of its change: paired bootstrap over the pairs, 1,000 resamples with a
// fixed seed (Efron and Tibshirani 1993).
struct Change {
  std::string name;
  double before = 0, after = 0, lower = 0, upper = 0;
};

// REQUIRES: as many values before as after, at least one.
Change CompareMeans(std::string name, const std::vector<double>& before, const std::vector<double>& after);

// Names of two of the changes below, for those who show them apart.
inline constexpr char kFoundFirst[] = "own answer found first";
inline constexpr char kGap[] = "difference of the two cosines";

// Mean cosine of pairs, of others, their distance; of a retrieval sample how often and how early the partner is found.
std::vector<Change> CompareSample(const SampleFigures& before, const SampleFigures& after);

}  // namespace tandem::report
