#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "client/report/release_report.h"
#include "client/report/training_report.h"

namespace tandem::report {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kHostile[] = "\"><script>alert('x')</script>\x01\xff\u202E";

TrainingReport Training(int steps) {
  TrainingReport report{.name = "j1",
                        .state = "succeeded",
                        .base = "mini/base",
                        .result = "mini/r1",
                        .data = "faq",
                        .step = steps,
                        .total_steps = steps,
                        .duration = "0:10"};
  for (int i = 1; i <= steps; ++i) report.steps.push_back({i, 1.0 / i, 2e-5, 1.5, 40});
  return report;
}

// A page that is all there, runs nothing and asks for nothing else.
void ExpectWhole(const std::string& html) {
  EXPECT_EQ(html.rfind("<!DOCTYPE html>", 0), 0u);
  EXPECT_THAT(html, HasSubstr("</html>"));
  for (const char* forbidden :
       {"<script", "src=", "href=", "url(", "@import", "http:", "https:", "onload", "nan", "inf "}) {
    EXPECT_THAT(html, Not(HasSubstr(forbidden)));
  }
}

TEST(TrainingReportTest, AJobWithoutStepsHasAPage) {
  TrainingReport report = Training(0);
  report.state = "failed";
  report.error = "the loss is too large";
  report.no_sample = "The job has made no model revision.";
  const std::string html = Draw(report);
  ExpectWhole(html);
  EXPECT_THAT(html, HasSubstr("the loss is too large"));
  EXPECT_THAT(html, HasSubstr("No step of the training has been reported."));
  EXPECT_THAT(html, HasSubstr("The job has made no model revision."));
  EXPECT_THAT(html, Not(HasSubstr("role=\"img\"")));
}

TEST(TrainingReportTest, AJobOfOneStepHasAPage) {
  const std::string html = Draw(Training(1));
  ExpectWhole(html);
  EXPECT_THAT(html, HasSubstr("Gradient norm"));
}

TEST(TrainingReportTest, APageOfAHundredThousandStepsIsSmall) {
  TrainingReport report = Training(100'000);
  for (int i = 1; i <= 1000; ++i) report.checkpoints.push_back(i * 100);
  for (int i = 1; i <= 1000; ++i) report.validations.push_back({i * 100, i == 1, {{"nDCG@10", 0.5}}});
  for (int i = 1; i <= 5000; ++i) report.log.push_back({"10:00", "validation"});
  const std::string html = Draw(report);
  ExpectWhole(html);
  EXPECT_LT(html.size(), 600'000u);
  EXPECT_THAT(html, HasSubstr("200 of 100,000 steps, evenly spread."));
}

TEST(TrainingReportTest, TheBestValidationIsMarkedAndComparedWithTheFirst) {
  TrainingReport report = Training(30);
  report.validations = {{10, true, {{"nDCG@10", 0.5}, {"loss", 2, ValidationMetric::kAlone}}},
                        {20, true, {{"nDCG@10", 0.75}, {"loss", 1, ValidationMetric::kAlone}}},
                        {30, false, {{"nDCG@10", 0.625}, {"loss", 1.5, ValidationMetric::kAlone}}}};
  const std::string html = Draw(report);
  ExpectWhole(html);
  EXPECT_THAT(html, HasSubstr("best nDCG@10 0.7500 at step 20"));
  EXPECT_THAT(html, HasSubstr("0.5000 → 0.7500"));
  EXPECT_THAT(html, HasSubstr("Validation: loss"));
}

TEST(TrainingReportTest, TheComparisonIsShownWithIntervalsAndWithTheQueriesThatLost) {
  TrainingReport report = Training(30);
  report.validations = {{0, false, {{"nDCG@10", 0.5}}}, {30, true, {{"nDCG@10", 0.25}}}};
  report.comparison = Comparison{.step = 30,
                                 .verdict = "nDCG@10 FELL by 0.2500",
                                 .metrics = {{"nDCG@10", {0.5, 0.4, 0.6}, {0.25, 0.2, 0.3}, {-0.25, -0.3, -0.125}},
                                             {"MAP", {0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}, {0, 0, 0}}},
                                 .changes = "nDCG@10 of the query",
                                 .rose = {{"gains", 0.25, 0.75}},
                                 .fell = {{kHostile, 1, 0.125}}};
  const std::string html = Draw(report);
  ExpectWhole(html);
  for (const char* shown :
       {"0.5000 → 0.2500", "-0.2500, 95% interval [-0.3000, -0.1250]", "nDCG@10 FELL by 0.2500.",
        "aria-label=\"Metrics before and after training\"", "class=\"worse\">[-0.3000, -0.1250]",
        "nDCG@10 of the query, before and after", "<td>0.2500</td><td>0.7500</td>", "<td>1.0000</td><td>0.1250</td>"}) {
    EXPECT_THAT(html, HasSubstr(shown));
  }
}

TEST(TrainingReportTest, ObjectivesThatTakeTurnsHaveALossCurveEach) {
  TrainingReport report = Training(40);
  for (StepFigures& step : report.steps) step.objective = step.step % 4 == 0 ? 2 : 0;
  report.objectives = {"objective 0: info_nce on pairs"};
  const std::string html = Draw(report);
  ExpectWhole(html);
  for (const char* shown : {"Training loss of objective 0 over steps", "Training loss of objective 2 over steps",
                            "Loss: objective 0: info_nce on pairs", "Loss: objective 2", "Of its own 10 steps."}) {
    EXPECT_THAT(html, HasSubstr(shown));
  }
  EXPECT_THAT(html, Not(HasSubstr("Training loss over steps")));
  EXPECT_THAT(Draw(Training(40)), HasSubstr("Training loss over steps"));
}

TEST(TrainingReportTest, CheckpointsAndRestartsAreMarked) {
  TrainingReport report = Training(30);
  report.checkpoints = {10, 20};
  report.restarts = {{2, 20}};
  const std::string html = Draw(report);
  EXPECT_THAT(html, HasSubstr("<title>checkpoint at step 20</title>"));
  EXPECT_THAT(html, HasSubstr(">attempt 2</text>"));
}

TEST(TrainingReportTest, NoTextOfUsersBecomesMarkup) {
  TrainingReport report = Training(3);
  report.name = report.state = report.error = report.base = report.result = report.data = report.duration = kHostile;
  report.facts = {{kHostile, kHostile}};
  report.options = {{kHostile, std::string(100'000, '<')}};
  report.validations = {{1, true, {{kHostile, 0.5}}}};
  report.log = {{kHostile, kHostile}};
  report.sample = EmbeddingSample{.source = kHostile,
                                  .texts = {kHostile, kHostile, "x", "y"},
                                  .kinds = {kHostile, kHostile},
                                  .kind = {0, 1, 0, 1},
                                  .pairs = {{0, 1}, {2, 3}},
                                  .before = {{1, 0}, {0, 1}, {1, 0}, {0.6f, 0.8f}},
                                  .after = {{1, 0}, {1, 0}, {0, 1}, {0, 1}}};
  const std::string html = Draw(report);
  ExpectWhole(html);
  for (const char* raw : {"\x01", "\xff", "\u202E", "<<"}) EXPECT_THAT(html, Not(HasSubstr(raw)));
  EXPECT_LT(html.size(), 100'000u);
}

TEST(TrainingReportTest, ASampleOfOnePairOrOfTextsAloneHasAPage) {
  TrainingReport report = Training(3);
  report.sample = EmbeddingSample{.texts = {"q", "a"},
                                  .kinds = {"query", "document"},
                                  .kind = {0, 1},
                                  .pairs = {{0, 1}},
                                  .before = {{1, 0}, {0, 1}},
                                  .after = {{1, 0}, {1, 0}}};
  ExpectWhole(Draw(report));
  report.sample =
      EmbeddingSample{.texts = {"t"}, .kinds = {"text"}, .kind = {0}, .before = {{1, 0}}, .after = {{0, 1}}};
  const std::string html = Draw(report);
  ExpectWhole(html);
  EXPECT_THAT(html, HasSubstr("Map of the embeddings"));
}

TEST(ReleaseReportTest, TheVerdictIsShownWithItsIntervalAndOverride) {
  ReleaseReport report{.name = "docs/r2", .state = "live", .model = "mini/r1"};
  report.evaluation = EvaluationRow{"docs/r2", 0.7, 0.8, 0.6, 0.99, 500};
  report.verdict = Verdict{.result = "refused, and overridden",
                           .reason = "it is worse",
                           .override_reason = kHostile,
                           .overridden_by = kHostile,
                           .compared = {*report.evaluation},
                           .has_difference = true,
                           .difference = -0.03,
                           .lower = -0.05,
                           .upper = -0.01,
                           .margin = 0.01,
                           .rose = {{"gains", 0.25, 0.75}},
                           .fell = {{kHostile, 1, 0.125}}};
  const std::string html = Draw(report);
  ExpectWhole(html);
  for (const char* shown : {"it is worse", "-0.0300", "-0.0500", "-0.0100", "tolerated", "refused, and overridden",
                            "<td>0.2500</td><td>0.7500</td>", "<td>1.0000</td><td>0.1250</td>"}) {
    EXPECT_THAT(html, HasSubstr(shown));
  }
}

TEST(ReleaseReportTest, AReleaseThatWasNeverAskedAboutHasAPage) {
  const std::string html = Draw(
      ReleaseReport{.name = "docs/r1", .state = "building", .error = kHostile, .cursor = 40, .target_commit = 100});
  ExpectWhole(html);
  EXPECT_THAT(html, HasSubstr("60 commits"));
  EXPECT_THAT(html, Not(HasSubstr("Gate")));
}

TEST(ReleaseReportTest, ADifferenceOfNothingCanBeDrawn) {
  ReleaseReport report{.name = "docs/r1", .state = "ready"};
  report.verdict = Verdict{.result = "passed", .has_difference = true};
  ExpectWhole(Draw(report));
}

}  // namespace
}  // namespace tandem::report
