#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "client/cli/report_job.h"
#include "client/cli/report_release.h"
#include "client/cli/report_sample.h"

namespace tandem::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

v1::JobEvent Step(int attempt, int64_t step, double loss) {
  v1::JobEvent event;
  event.set_attempt(attempt);
  event.mutable_step()->set_step(step);
  event.mutable_step()->set_loss(loss);
  return event;
}

TEST(ReportJobTest, StepsThatAnAttemptRepeatsCountOnceAndItsBeginningIsMarked) {
  v1::JobEvent checkpoint;
  checkpoint.mutable_checkpoint()->set_step(1);
  report::TrainingReport report;
  AddEvents({Step(1, 1, 3), checkpoint, Step(1, 2, 2.5), Step(2, 2, 2), Step(2, 3, 1)}, &report);
  ASSERT_EQ(report.steps.size(), 3u);
  EXPECT_EQ(report.steps[1].loss, 2);
  EXPECT_THAT(report.checkpoints, ElementsAre(1));
  ASSERT_EQ(report.restarts.size(), 1u);
  EXPECT_EQ(report.restarts[0].attempt, 2);
  EXPECT_EQ(report.restarts[0].step, 1);
}

TEST(ReportJobTest, StepsKnowTheirObjectiveWhereSeveralTakeTurns) {
  v1::JobEvent second = Step(1, 2, 0.5);
  second.mutable_step()->set_objective(1);
  report::TrainingReport report;
  AddEvents({Step(1, 1, 3), second}, &report);
  EXPECT_EQ(report.steps[0].objective, -1);
  EXPECT_EQ(report.steps[1].objective, 1);
}

TEST(ReportJobTest, TheLastComparisonIsShownAndSaid) {
  v1::JobEvent event;
  v1::TrainingComparison* const comparison = event.mutable_comparison();
  comparison->set_step(7);
  report::TrainingReport report;
  AddEvents({event}, &report);
  EXPECT_FALSE(report.comparison.has_value()) << "without metrics there is nothing to draw";
  comparison->add_metrics()->set_name("spearman");
  comparison->mutable_after()->mutable_similarity()->set_spearman(0.75);
  comparison->mutable_metrics(0)->mutable_after()->set_value(0.75);
  comparison->mutable_metrics(0)->mutable_difference()->set_upper(-0.125);
  comparison->add_fell()->set_text("a ↔ b");
  AddEvents({event}, &report);
  ASSERT_TRUE(report.comparison.has_value());
  EXPECT_EQ(report.comparison->step, 7);
  EXPECT_EQ(report.comparison->metrics[0].name, "Spearman");
  EXPECT_EQ(report.comparison->metrics[0].after.value, 0.75);
  EXPECT_EQ(report.comparison->fell[0].text, "a ↔ b");
  ASSERT_EQ(report.log.size(), 1u);
  EXPECT_EQ(report.log[0].text.rfind("Spearman FELL by", 0), 0u) << report.log[0].text;
}

TEST(ReportJobTest, AValidationHasTheMetricsOfItsForm) {
  v1::JobEvent event;
  event.mutable_validation()->set_step(5);
  event.mutable_validation()->set_best(true);
  v1::ValidationMetrics* metrics = event.mutable_validation()->mutable_metrics();
  metrics->mutable_similarity()->set_spearman(0.5);
  metrics->set_loss(2);
  report::TrainingReport report;
  AddEvents({event}, &report);
  ASSERT_EQ(report.validations.size(), 1u);
  ASSERT_EQ(report.validations[0].metrics.size(), 3u);
  EXPECT_EQ(report.validations[0].metrics[0].name, "Spearman");
  EXPECT_EQ(report.validations[0].metrics[2].place, report::ValidationMetric::kAlone);
  EXPECT_EQ(report.log.size(), 1u);
}

TEST(ReportJobTest, OptionsAreNamedByTheirPathsAndEnumsByTheirValues) {
  std::vector<std::pair<std::string, std::string>> options;
  for (const report::Fact& fact : DescribeOptions(R"({"base_directory": "../x", "threads": 2, "schedule": 2,
      "batch_size": 4096, "learning_rate": 5e-05, "objectives": [{"loss": {"info_nce": {"scale": 20.0}}}]})")) {
    options.emplace_back(fact.name, fact.value);
  }
  EXPECT_THAT(options, ElementsAre(Pair("batch_size", "4,096"), Pair("learning_rate", "5e-05"),
                                   Pair("objectives[0].loss.info_nce.scale", "20.0"), Pair("schedule", "cosine")));
  EXPECT_TRUE(DescribeOptions("").empty());
  EXPECT_TRUE(DescribeOptions("{broken").empty());
}

TEST(ReportSampleTest, PairsAreQueriesAndDocumentsThatBelongTogether) {
  std::vector<v1::Example> examples(2);
  for (v1::Example& example : examples) {
    example.mutable_pair()->set_anchor("q");
    example.mutable_pair()->add_positives("a");
    example.mutable_pair()->add_negatives("n");
  }
  const report::EmbeddingSample sample = SampleOf(examples);
  EXPECT_THAT(sample.texts, ElementsAre("q", "a", "q", "a"));
  EXPECT_THAT(sample.pairs, ElementsAre(Pair(0, 1), Pair(2, 3)));
}

TEST(ReportSampleTest, OnlyPairsThatAreCalledSimilarBelongTogether) {
  std::vector<v1::Example> examples(2);
  for (v1::Example& example : examples) example.mutable_labelled_pair()->set_first("x");
  examples[1].mutable_labelled_pair()->set_similar(true);
  EXPECT_THAT(SampleOf(examples).pairs, ElementsAre(Pair(2, 3)));
  for (v1::Example& example : examples) example.mutable_scored_pair()->set_score(0.4f);
  examples[0].mutable_scored_pair()->set_score(0.6f);
  const report::EmbeddingSample sample = SampleOf(examples);
  EXPECT_THAT(sample.pairs, ElementsAre(Pair(0, 1)));
}

TEST(ReportSampleTest, TextsOfAClassArePairedAndRareClassesShareAColour) {
  std::vector<v1::Example> examples;
  for (const char* label : {"a", "b", "a", "c", "d", "e", "b", "a"}) {
    v1::LabelledText* text = examples.emplace_back().mutable_labelled_text();
    text->set_text("text");
    text->set_label(label);
  }
  const report::EmbeddingSample sample = SampleOf(examples);
  EXPECT_THAT(sample.kinds, ElementsAre("a", "b", "c", "other classes"));
  EXPECT_THAT(sample.kind, ElementsAre(0, 1, 0, 2, 3, 3, 1, 0));
  EXPECT_THAT(sample.pairs, ElementsAre(Pair(0, 2), Pair(1, 6), Pair(2, 7)));
}

TEST(ReportReleaseTest, AReleaseBesideItsGate) {
  v1::Release release;
  release.set_name("collections/docs/releases/r1");
  release.set_state(v1::Release::LIVE);
  release.mutable_gate()->set_overridden(true);
  release.mutable_gate()->mutable_candidate()->set_evaluation_set("collections/docs/evaluationSets/e");
  release.mutable_gate()->mutable_live()->set_evaluation_set("collections/docs/evaluationSets/e");
  release.mutable_gate()->add_fell()->set_text("lost");
  v1::GatePolicy gate;
  gate.set_margin(0.02);
  const report::ReleaseReport report = ReportOf(release, gate);
  EXPECT_EQ(report.name, "docs/r1");
  EXPECT_EQ(report.state, "live");
  ASSERT_TRUE(report.verdict);
  EXPECT_EQ(report.verdict->result, "refused, and overridden");
  EXPECT_TRUE(report.verdict->has_difference);
  ASSERT_EQ(report.verdict->fell.size(), 1u);
  EXPECT_EQ(report.verdict->fell[0].text, "lost");
  EXPECT_EQ(report.verdict->margin, 0.02);
  EXPECT_FALSE(report.evaluation);
}

}  // namespace
}  // namespace tandem::cli
