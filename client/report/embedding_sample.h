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
  Vectors before, after;                         // Of each text, of length 1.
};

// What one model makes of a sample.
struct SampleFigures {
  std::vector<double> pair_cosines;   // Of each pair.
  std::vector<double> other_cosines;  // Of the first text of each pair with every different second text of other pairs.
  std::vector<double> other_means;    // The mean of those, of each pair; NaN where there are none.
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

// The name of one of the changes below, for those who show it apart.
inline constexpr char kGap[] = "difference of the two cosines";

// Mean cosine of pairs, of others, and their distance.
std::vector<Change> CompareSample(const SampleFigures& before, const SampleFigures& after);

}  // namespace tandem::report
