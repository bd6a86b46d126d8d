#pragma once
// What the analysis of a training's dataset found, and the part of a page that shows it. Strings are as users and the
// server wrote them; drawing escapes and shortens them.

#include <cstdint>
#include <string>
#include <vector>

#include "client/report/page.h"

namespace tandem::report {

struct DataFinding {
  std::string severity;  // "error", "warning" or "note".
  std::string advice;
  std::string where;  // "commits 3, 8"; may be empty.
};

// Texts by their number of tokens, before truncation.
struct TextLengthFigures {
  std::string name;            // "first texts"
  std::vector<int64_t> texts;  // Element i: of at most 2^i tokens and more than 2^(i-1).
};

struct TrainingData {
  std::string source;                 // "faq up to commit 1,203, analysed by j3"; of the sentence above the rest.
  std::vector<DataFinding> findings;  // Gravest first.
  std::vector<Fact> counts, balance;
  std::vector<TextLengthFigures> lengths;  // At most two.
  int64_t max_length = 0;                  // Where training cuts; 0: not known.
  // Scored pairs in equal parts of [lowest, highest]; empty for other forms.
  std::vector<int64_t> scores;
  double lowest_score = 0, highest_score = 0;
};

// The body of a section.
std::string DrawTrainingData(const TrainingData& data);

}  // namespace tandem::report
