#include "client/report/training_data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "client/report/bars.h"
#include "client/report/training_report.h"

namespace tandem::report {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TrainingData Data() {
  return {.source = "faq up to commit 9",
          .findings = {{"error", "Two texts contradict each other.", "commits 3, 8"}},
          .counts = {{"examples", "9"}},
          .lengths = {{"first texts", {0, 0, 4, 12}}, {"positives and negatives", {0, 0, 0, 3, 1}}},
          .max_length = 6};
}

TEST(TrainingDataTest, FindingsCountsAndLengthsAreDrawn) {
  const std::string html = DrawTrainingData(Data());
  for (const char* shown :
       {"<bdi>faq up to commit 9</bdi>.", "<b>error</b> <bdi>Two texts contradict each other.</bdi>", "commits 3, 8",
        "aria-label=\"Lengths of texts in tokens\"", "cut at 6", ">2</text>", ">16</text>",
        "<tr><td>up to 4</td><td>4</td><td>0</td></tr>", "<tr><td>up to 16</td><td>0</td><td>1</td></tr>"}) {
    EXPECT_THAT(html, HasSubstr(shown));
  }
  EXPECT_THAT(html, Not(HasSubstr("up to 2<"))) << "bins without a text at the ends";
  EXPECT_THAT(html, Not(HasSubstr("Balance")));
}

TEST(TrainingDataTest, AnEmptyAnalysisCanBeDrawn) {
  const std::string html = DrawTrainingData({.source = "faq", .lengths = {{"first texts", {}}}});
  EXPECT_THAT(html, HasSubstr("Nothing was found that would have to change."));
  EXPECT_THAT(html, Not(HasSubstr("<svg")));
}

TEST(TrainingDataTest, ScoresAndBalanceAreDrawnWhereThereAreAny) {
  TrainingData data{
      .source = "graded", .balance = {{"classes", "3"}}, .scores = {1, 0, 3}, .lowest_score = 0.25, .highest_score = 1};
  const std::string html = DrawTrainingData(data);
  EXPECT_THAT(html, HasSubstr("Balance"));
  EXPECT_THAT(html, HasSubstr("<td>0.75 on</td><td>3</td>"));
  data.highest_score = 0.25;  // All are equal.
  EXPECT_THAT(DrawTrainingData(data), Not(HasSubstr("nan")));
}

TEST(TrainingDataTest, NoTextOfUsersBecomesMarkup) {
  const std::string hostile = "\"><script>alert('x')</script>\x01\xff\u202E";
  TrainingReport report{.name = "j1", .state = "succeeded"};
  report.training_data = {Data(), Data()};
  TrainingData& data = report.training_data[0];
  data.source = data.findings[0].advice = data.findings[0].where = data.findings[0].severity = hostile;
  data.counts = data.balance = {{hostile, hostile}};
  data.lengths[0].name = hostile;
  report.no_training_data = hostile;
  const std::string html = Draw(report);
  EXPECT_THAT(html, HasSubstr("Training data"));
  for (const char* raw : {"<script", "\x01", "\xff", "\u202E"}) EXPECT_THAT(html, Not(HasSubstr(raw)));
}

TEST(BarsTest, SharesAreDrawnInTheirBinsAndTheMarkStaysInside) {
  Bars bars{.title = "t", .edges = {"0", "1", "2"}, .groups = {{"g", {1, 3}}}, .width = 376, .height = 252};
  // Left 58, right 358, so a bin is 150 wide; the highest share, 0.75, is at the tick 0.8 or below it.
  const std::string svg = Draw(bars);
  EXPECT_THAT(svg, HasSubstr("d=\"M58 212V"));
  EXPECT_THAT(svg, HasSubstr("H208V"));
  EXPECT_THAT(svg, HasSubstr("H358V212Z"));
  bars.mark = Bars::Mark{7, "far away"};
  EXPECT_THAT(Draw(bars), HasSubstr("M358 12L358 212"));
}

}  // namespace
}  // namespace tandem::report
