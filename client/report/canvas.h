#pragma once
// A rectangle of SVG with axes around the part that is drawn in.

#include <string>

#include "absl/strings/string_view.h"
#include "client/report/axis.h"

namespace tandem::report {

struct Margins {
  double left = 58, right = 18, top = 12, bottom = 40;
};

// Opens an <svg> that tells `title` to readers who do not see it; "</svg>" closes it.
std::string OpenSvg(absl::string_view title, double width, double height);

std::string SvgText(double x, double y, absl::string_view anchor, absl::string_view text, absl::string_view style = "");
std::string SvgLine(double x1, double y1, double x2, double y2, absl::string_view style);

// Grid, ticks and their labels: `x` below, `y` at the left.
std::string Frame(const Axis& x, const Axis& y, absl::string_view x_name, double width, double height,
                  const Margins& margins);

}  // namespace tandem::report
