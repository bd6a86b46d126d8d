#include "server/training/job_examples.h"

#include <set>
#include <string>

#include <gtest/gtest.h>

#include "tests/server/training/every_loss.h"
#include "tests/server/training/job.h"

namespace tandem {
namespace {

TEST(JobExamplesTest, EveryLossGetsExamplesOfTheFormThatItTakes) {
  for (const NamedLoss& loss : EveryLoss()) {
    TrainerOptions options = QuickOptions();
    options.objectives = {{loss.loss}};
    const Job job("examples", options);
    job.WriteExamples(0, ExampleLines(loss, 20));
    const auto examples = ReadJobExamples(job.directory, options);
    ASSERT_TRUE(examples.ok()) << loss.name << ": " << examples.status();
    EXPECT_EQ(examples->training[0].size(), 20) << loss.name;
    EXPECT_TRUE(examples->validation.empty());
  }
}

TEST(JobExamplesTest, PositivesStayTogetherOnlyForALossThatTakesSeveral) {
  TrainerOptions options = QuickOptions();
  for (const bool together : {false, true}) {
    options.objectives = {{.loss = {InfoNceOptions{.several_positives = together}, {}}}};
    const Job job("several", options);
    job.WriteExamples(0, ExampleLines(ExampleForm::kPair, 20, false, /*several=*/true));
    const auto examples = ReadJobExamples(job.directory, options);
    ASSERT_TRUE(examples.ok()) << examples.status();
    EXPECT_EQ(examples->training[0].size(), together ? 20 : 30);
    EXPECT_EQ(examples->training[0].examples[0].positives.size(), together ? 2u : 1u);
  }
}

TEST(JobExamplesTest, ALossThatDoesNotTakeTheFormNamesTheFile) {
  TrainerOptions options = QuickOptions();
  options.objectives = {{}, {.loss = {CosentOptions(), {}}}};
  const Job job("wrong_form", options);
  job.WriteExamples(1, ExampleLines(ExampleForm::kLabelledText, 20));
  const absl::Status status = ReadJobExamples(job.directory, options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("examples-1.jsonl"), std::string::npos) << status;
  EXPECT_NE(status.message().find("cosent"), std::string::npos) << status;
}

TEST(JobExamplesTest, AnExplicitTripletWithoutNegativeIsNamed) {
  TrainerOptions options = QuickOptions();
  options.objectives = {{.loss = {TripletOptions(), {}}}};
  const Job job("no_negative", options);
  const absl::Status status = ReadJobExamples(job.directory, options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("example 2 has no negative"), std::string::npos) << status;
}

std::set<std::string> Anchors(const ExampleSet& set, const TextTable& texts) {
  std::set<std::string> anchors;
  for (const TrainingExample& example : set.examples) anchors.insert(texts.texts()[example.anchor]);
  return anchors;
}

TEST(JobExamplesTest, WhatTheFirstObjectiveHoldsOutNoObjectiveTrainsOn) {
  TrainerOptions options = QuickOptions();
  options.validation_fraction = 0.3;
  options.objectives = {{}, {.loss = {SimCseOptions(), {}}}};
  const Job job("held_out", options);
  job.WriteExamples(1, ExampleLines(ExampleForm::kText, 64));
  const auto examples = ReadJobExamples(job.directory, options);
  ASSERT_TRUE(examples.ok()) << examples.status();
  EXPECT_EQ(examples->validation.form, ExampleForm::kPair);
  EXPECT_GT(examples->validation.size(), 8);
  for (const ExampleSet& set : examples->training) {
    EXPECT_EQ(set.size() + examples->validation.size(), 64);
    const auto anchors = Anchors(set, examples->texts);
    for (const std::string& text : Anchors(examples->validation, examples->texts)) EXPECT_FALSE(anchors.contains(text));
  }
  EXPECT_NE(examples->summary.find("objective 1, sim_cse: "), std::string::npos) << examples->summary;
}

}  // namespace
}  // namespace tandem
