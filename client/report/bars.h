#pragma once
// Counts in bins whose edges have names of their own, as powers of two have, as SVG: one area for each group.

#include <optional>
#include <string>
#include <vector>

namespace tandem::report {

struct Bars {
  struct Group {
    std::string name;
    std::vector<double> counts;  // One a bin; drawn as shares of their sum.
    int color = 0;               // 0 to 3.
  };
  // A dashed line, labelled, at a place in [0, bins]: 1.5 is the middle of the second bin.
  struct Mark {
    double place = 0;
    std::string text;
  };
  std::string title;  // For readers that do not see the picture.
  std::string x_name;
  std::vector<std::string> edges;  // One more than bins; of many, only some are written.
  std::vector<Group> groups;
  std::optional<Mark> mark;
  double width = 1072, height = 260;
};

// REQUIRES: at least one bin, and in each group a count for each.
std::string Draw(const Bars& bars);

}  // namespace tandem::report
