#pragma once
// Curves over steps, and histograms, as SVG. Colours come from the page's style sheet, so a picture follows light and
// dark.

#include <string>
#include <vector>

#include "client/report/axis.h"
#include "client/report/series.h"

namespace tandem::report {

struct Curve {
  std::string name;  // In the legend.
  std::vector<Point> points;
  int color = 0;       // 0 to 3; each has its own dashes as well.
  bool faint = false;  // A thin, pale line.
  bool dots = false;   // Each point is shown, with its numbers on hover.
};

// Something that happened at one step.
struct Mark {
  enum Kind {
    kTick,
    kLine,
    kRing
  };  // A triangle on the axis; a dashed line, labelled; a ring around (x, y), labelled.
  Kind kind = kTick;
  double x = 0, y = 0;
  std::string text;
};

struct LineChart {
  std::string title;  // For readers that do not see the picture.
  std::string x_name;
  std::vector<Curve> curves;  // x is a step, from 0.
                              // Points that are not finite are left out; longer ones than 1,000 points are thinned.
  std::vector<Mark> marks;
  double width = 1072, height = 300;
};

std::string Draw(const LineChart& chart);
std::string Legend(const std::vector<Curve>& curves);

// Shares of values in equal bins, one area for each group; the groups share bins and axes.
struct Histogram {
  struct Group {
    std::string name;
    std::vector<double> values;
    int color = 0;
  };
  std::string title, x_name;
  std::vector<Group> groups;
  Range range;  // Of x: bins divide it. Values outside count in the outermost bins.
  int bins = 40;
  double highest = 0;  // Share at the top of the y axis; 0: the largest of the picture.
  double width = 520, height = 240;
};

// The share of each bin, for each group.
std::vector<std::vector<double>> Shares(const Histogram& histogram);
std::string Draw(const Histogram& histogram);
std::string Legend(const std::vector<Histogram::Group>& groups);

}  // namespace tandem::report
