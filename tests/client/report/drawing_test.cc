#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "client/report/axis.h"
#include "client/report/chart.h"
#include "client/report/markup.h"
#include "client/report/series.h"

namespace tandem::report {
namespace {

using ::testing::DoubleEq;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(MarkupTest, WhatCouldBeMarkupIsEscaped) {
  EXPECT_EQ(Escape("<script>alert(\"1\" & '2')</script>"),
            "&lt;script&gt;alert(&quot;1&quot; &amp; &#39;2&#39;)&lt;/script&gt;");
}

TEST(MarkupTest, ControlBytesBecomeSpacesAndBrokenBytesAreReplaced) {
  EXPECT_EQ(Escape(std::string("a\0b\x1b[31m\x7f", 9)), "a b [31m ");
  EXPECT_EQ(Escape("caf\xe9"), "caf\uFFFD");
  EXPECT_EQ(Escape("\uFFFF"), "\uFFFD");
}

TEST(MarkupTest, NoTextTurnsTheDirectionOfWhatFollows) {
  const std::string html = UserText("\u202Eevil\u2067 مرحبا");
  EXPECT_EQ(html, "<bdi> evil مرحبا</bdi>");
}

TEST(MarkupTest, LongTextsAreCutBetweenCharacters) {
  EXPECT_EQ(Shorten("abcdef", 4), "abc…");
  EXPECT_EQ(Shorten("abcd", 4), "abcd");
  EXPECT_EQ(Shorten(std::string(100'000, 'x'), 10), "xxxxxxxxx…");
  std::string marks = "e";
  for (int i = 0; i < 50'000; ++i) marks += "\u0301";  // They take no column.
  EXPECT_LT(Shorten(marks, 10).size(), 50u);
  EXPECT_EQ(Escape(Shorten(marks, 10)).find("\uFFFD"), std::string::npos);
}

TEST(MarkupTest, CoordinatesAreShortAndNeverNoNumber) {
  EXPECT_EQ(Coordinate(12.5), "12.5");
  EXPECT_EQ(Coordinate(3), "3");
  EXPECT_EQ(Coordinate(-0.001), "0");
  EXPECT_EQ(Coordinate(NAN), "0");
}

TEST(SeriesTest, SmoothingIsTheMeanOfTheLastPoints) {
  const std::vector<Point> smooth = Smooth({{1, 4}, {2, 2}, {3, 0}, {4, 6}}, 2);
  std::vector<double> values;
  for (const Point& point : smooth) values.push_back(point.y);
  EXPECT_THAT(values, ElementsAre(DoubleEq(4), DoubleEq(3), DoubleEq(1), DoubleEq(3)));
}

TEST(SeriesTest, ALongCurveKeepsItsExtremesAndItsEnds) {
  std::vector<Point> points;
  for (int i = 0; i < 100'000; ++i) points.push_back({static_cast<double>(i), std::sin(i * 0.01)});
  points[54'321].y = 1000;
  points[54'322].y = -1000;
  const std::vector<Point> drawn = Downsample(points, 1000);
  EXPECT_LE(drawn.size(), 1000u);
  EXPECT_GE(drawn.size(), 900u);
  EXPECT_EQ(drawn.front().x, 0);
  EXPECT_EQ(drawn.back().x, 99'999);
  EXPECT_TRUE(std::is_sorted(drawn.begin(), drawn.end(), [](const Point& a, const Point& b) { return a.x < b.x; }));
  const auto has = [&](double y) {
    return std::any_of(drawn.begin(), drawn.end(), [y](const Point& point) { return point.y == y; });
  };
  EXPECT_TRUE(has(1000));
  EXPECT_TRUE(has(-1000));
}

TEST(SeriesTest, AShortCurveStaysAsItIs) { EXPECT_EQ(Downsample({{1, 2}, {2, 3}}, 1000).size(), 2u); }

TEST(SeriesTest, EvenlySpreadHasBothEndsAndNothingTwice) {
  EXPECT_THAT(EvenlySpread(10, 4), ElementsAre(0, 3, 6, 9));
  EXPECT_THAT(EvenlySpread(3, 10), ElementsAre(0, 1, 2));
  EXPECT_THAT(EvenlySpread(0, 10), ElementsAre());
  EXPECT_THAT(EvenlySpread(5, 0), ElementsAre());
  const std::vector<size_t> many = EvenlySpread(301, 300);
  EXPECT_EQ(std::adjacent_find(many.begin(), many.end()), many.end());
}

TEST(AxisTest, TicksAreOneTwoOrFiveTimesAPowerOfTen) {
  const Axis axis({0, 0.83}, 0, 100, 5);
  std::vector<std::string> labels;
  for (double tick : axis.ticks()) labels.push_back(axis.Label(tick));
  EXPECT_THAT(labels, ElementsAre("0", "0.2", "0.4", "0.6", "0.8", "1.0"));
  EXPECT_DOUBLE_EQ(axis.At(0.5), 50);
}

TEST(AxisTest, LargeAndSmallTicksReadWell) {
  EXPECT_EQ(Axis({0, 100'000}, 0, 1, 5).Label(20'000), "20,000");
  EXPECT_EQ(Axis({0, 5e-5}, 0, 1, 5).Label(2e-5), "2e-05");
}

TEST(AxisTest, RangesOfNothingOfOneValueAndOfWhatIsNoNumberCanBeDrawn) {
  for (const std::vector<double>& values :
       {std::vector<double>{}, {0}, {3, 3}, {-7}, {NAN, INFINITY}, {1e-300}, {NAN, 2}}) {
    const Range range = RangeOf(values);
    EXPECT_LT(range.low, range.high);
    EXPECT_LT(Axis(range, 0, 100, 5).ticks().size(), 20u);
  }
}

TEST(ChartTest, PointsThatAreNoNumbersAreLeftOut) {
  const LineChart chart{.title = "loss",
                        .curves = {{.name = "loss", .points = {{1, 2}, {2, NAN}, {3, INFINITY}, {4, 1}}}}};
  const std::string svg = Draw(chart);
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, Not(HasSubstr("inf")));
  EXPECT_THAT(svg, HasSubstr("class=\"curve c0"));
}

TEST(ChartTest, OnePointIsADot) {
  const std::string svg = Draw(LineChart{.title = "loss", .curves = {{.name = "loss", .points = {{1, 2}}}}});
  EXPECT_THAT(svg, HasSubstr("<circle class=\"dot f0\""));
}

TEST(ChartTest, ALongCurveHasAtMostAThousandPoints) {
  LineChart chart{.title = "loss", .curves = {{.name = "loss"}}};
  for (int i = 1; i <= 100'000; ++i) chart.curves[0].points.push_back({static_cast<double>(i), 1.0 / i});
  const std::string svg = Draw(chart);
  const size_t curve = svg.find("curve c0");
  EXPECT_LE(std::count(svg.begin() + static_cast<ptrdiff_t>(curve), svg.end(), 'L'), 1000);
  EXPECT_LT(svg.size(), 40'000u);
}

TEST(HistogramTest, SharesAddUpToOneAndOutermostBinsTakeTheRest) {
  const Histogram histogram{.groups = {{.name = "a", .values = {-2, 0.1, 0.9, 1, 7}}}, .range = {0, 1}, .bins = 2};
  EXPECT_THAT(Shares(histogram), ElementsAre(ElementsAre(DoubleEq(0.4), DoubleEq(0.6))));
}

}  // namespace
}  // namespace tandem::report
