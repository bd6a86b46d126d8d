#include "client/report/canvas.h"

#include "absl/strings/str_cat.h"
#include "client/report/markup.h"

namespace tandem::report {

std::string OpenSvg(absl::string_view title, double width, double height) {
  return absl::StrCat("<svg viewBox=\"0 0 ", Coordinate(width), " ", Coordinate(height),
                      "\" role=\"img\" aria-label=\"", Escape(title), "\">\n");
}

std::string SvgText(double x, double y, absl::string_view anchor, absl::string_view text, absl::string_view style) {
  std::string html =
      absl::StrCat("<text x=\"", Coordinate(x), "\" y=\"", Coordinate(y), "\" text-anchor=\"", anchor, "\"");
  if (!style.empty()) absl::StrAppend(&html, " class=\"", style, "\"");
  return absl::StrCat(html, ">", Escape(text), "</text>\n");
}

std::string SvgLine(double x1, double y1, double x2, double y2, absl::string_view style) {
  return absl::StrCat("<path class=\"", style, "\" d=\"M", Coordinate(x1), " ", Coordinate(y1), "L", Coordinate(x2),
                      " ", Coordinate(y2), "\"/>\n");
}

std::string Frame(const Axis& x, const Axis& y, absl::string_view x_name, double width, double height,
                  const Margins& margins) {
  const double right = width - margins.right, bottom = height - margins.bottom;
  std::string svg;
  for (double tick : y.ticks()) {
    svg += SvgLine(margins.left, y.At(tick), right, y.At(tick), "grid");
    svg += SvgText(margins.left - 8, y.At(tick) + 4, "end", y.Label(tick));
  }
  svg += SvgLine(margins.left, bottom, right, bottom, "axis");
  for (double tick : x.ticks()) {
    svg += SvgLine(x.At(tick), bottom, x.At(tick), bottom + 4, "axis");
    svg += SvgText(x.At(tick), bottom + 17, "middle", x.Label(tick));
  }
  return svg + SvgText((margins.left + right) / 2, height - 5, "middle", x_name);
}

}  // namespace tandem::report
