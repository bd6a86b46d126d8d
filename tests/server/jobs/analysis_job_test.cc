#include "server/jobs/analysis_job.h"

#include <map>
#include <string>
#include <vector>

#include "server/base/status.h"
#include "server/jobs/job_plan.h"
#include "tests/server/jobs/training_jobs_fixture.h"
#include "tests/support/tiny_model.h"

namespace tandem {
namespace {

class AnalysisJobTest : public TrainingJobsFixture {
 protected:
  void SetUp() override {
    TrainingJobsFixture::SetUp();
    test::WriteTinyModel(RevisionDirectory(data_, "t", "base", "r1"), {});
    bodies_.analyze_dataset = AnalysisBody(data_, store_.get());
  }

  void Add(const std::string& dataset, const std::vector<Example>& examples) {
    ASSERT_TRUE(store_->CreateDataset("t", dataset, "", nullptr).ok());
    if (examples.empty()) return;
    ASSERT_TRUE(store_->AppendExamples("t", dataset, {}, examples, "").ok());
  }
  // A repeated pair, one that differs only in case, one that is cut at 6 tokens, and one that validation has.
  void AddFaults() {
    Add("faults", {{.anchor = "w1", .positives = {"w2"}},
                   {.anchor = "w1", .positives = {"w2"}},
                   {.anchor = "W1", .positives = {"w2"}},
                   {.anchor = "w3 w4 w5 w6 w7 w8", .positives = {"w9"}},
                   {.anchor = "w10", .positives = {"w11"}}});
    Add("held", {{.anchor = "w10", .positives = {"w12"}}});
  }
  AnalysisRequest Request(const std::string& dataset) { return {.tenant = "t", .dataset = {dataset, std::nullopt}}; }
  AnalysisRequest RequestOfFaults() {
    AnalysisRequest request = Request("faults");
    request.validation_dataset = "held";
    request.base_model = "base";
    request.base_revision = "r1";
    request.max_length = 6;
    request.batch_size = 4;
    return request;
  }
  absl::StatusOr<AnalysisResult> Run(const AnalysisPlan& plan,
                                     const std::function<absl::Status(int64_t, int64_t)>& proceed) {
    return RunAnalysis(data_, "t", plan, store_.get(), proceed);
  }
};

absl::Status GoOn(int64_t, int64_t) { return absl::OkStatus(); }

TEST_F(AnalysisJobTest, APlanHasTheCommitsAndTheLengthThatTheRequestStoodFor) {
  AddFaults();
  AnalysisRequest request = RequestOfFaults();
  request.max_length.reset();
  request.dataset.commit = 3;
  const AnalysisPlan plan = PlanAnalysis(request, store_.get()).value();
  EXPECT_EQ(plan.dataset, (DatasetCommit{"faults", 3}));
  EXPECT_EQ(plan.validation, (DatasetCommit{"held", 1}));
  EXPECT_EQ(plan.max_length, 128);
  EXPECT_EQ(PlanAnalysis(Request("faults"), store_.get())->max_length, 0);
  const JobRecord job = AnalysisJob("t", plan);
  EXPECT_EQ(job.kind, JobKind::kAnalyzeDataset);
  EXPECT_EQ(job.datasets, (std::vector<std::string>{"faults", "held"}));
  EXPECT_EQ(job.base_revision, "models/base/revisions/r1");
}

TEST_F(AnalysisJobTest, WhatCannotBeAnalysedIsNamed) {
  AddFaults();
  Add("empty", {});
  EXPECT_TRUE(absl::IsNotFound(PlanAnalysis(Request("nothing"), store_.get()).status()));
  EXPECT_EQ(FieldPath(PlanAnalysis(Request("empty"), store_.get()).status()), "dataset");
  AnalysisRequest request = Request("faults");
  request.dataset.commit = 6;
  EXPECT_EQ(FieldPath(PlanAnalysis(request, store_.get()).status()), "dataset_commit");
  request = Request("faults");
  request.validation_dataset = "empty";
  EXPECT_EQ(FieldPath(PlanAnalysis(request, store_.get()).status()), "validation_dataset");
  request = RequestOfFaults();
  request.base_revision = "r2";
  EXPECT_TRUE(absl::IsNotFound(PlanAnalysis(request, store_.get()).status()));
}

TEST_F(AnalysisJobTest, PlansAndResultsComeBackFromTheirJson) {
  AddFaults();
  for (const AnalysisRequest& request : {Request("faults"), RequestOfFaults()}) {
    const AnalysisPlan plan = PlanAnalysis(request, store_.get()).value();
    const auto again = AnalysisPlanFromJson(ToJson(plan));
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(ToJson(*again), ToJson(plan));
    const AnalysisResult result = Run(plan, GoOn).value();
    const auto result_again = AnalysisResultFromJson(ToJson(result));
    ASSERT_TRUE(result_again.ok()) << result_again.status();
    EXPECT_EQ(ToJson(*result_again), ToJson(result));
  }
  EXPECT_TRUE(absl::IsInvalidArgument(AnalysisPlanFromJson({{"dataset", "faults"}}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(AnalysisResultFromJson(nullptr).status()));
}

TEST_F(AnalysisJobTest, AJobFindsWhatIsWrong) {
  AddFaults();
  StartJobs();
  const AnalysisPlan plan = PlanAnalysis(RequestOfFaults(), store_.get()).value();
  const JobRecord job = FinishedJob(jobs_->Submit(AnalysisJob("t", plan), nullptr).value().id);
  ASSERT_EQ(job.state, JobState::kSucceeded) << job.error_message;
  const AnalysisResult result = AnalysisResultFromJson(nlohmann::json::parse(job.result_json)).value();
  const DatasetReport& report = result.report;
  EXPECT_EQ(result.plan.dataset, plan.dataset);
  EXPECT_EQ(report.examples, 5);
  EXPECT_EQ(report.exact_duplicates.commits, std::vector<int64_t>{2});
  EXPECT_EQ(report.folded_duplicates.commits, std::vector<int64_t>{3});
  EXPECT_EQ(report.shared_anchors.count, 1);
  ASSERT_TRUE(report.first_lengths);
  EXPECT_EQ(report.first_lengths->longest, 8) << "six words between two special tokens";
  EXPECT_EQ(report.first_lengths->truncated.commits, std::vector<int64_t>{4});
  ASSERT_FALSE(report.findings.empty());
  EXPECT_EQ(report.findings[0].kind, "shared_anchors");
  EXPECT_EQ(report.findings[0].severity, Severity::kError);
}

TEST_F(AnalysisJobTest, WithoutAModelThereAreNoLengths) {
  AddFaults();
  const auto result = Run(PlanAnalysis(Request("faults"), store_.get()).value(), GoOn);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_FALSE(result->report.first_lengths || result->report.second_lengths);
  EXPECT_EQ(result->report.examples, 5);
}

TEST_F(AnalysisJobTest, ProgressGrowsToItsTotalAndItsErrorEndsTheAnalysis) {
  AddFaults();
  const AnalysisPlan plan = PlanAnalysis(RequestOfFaults(), store_.get()).value();
  std::vector<int64_t> done;
  int64_t total = 0;
  ASSERT_TRUE(Run(plan, [&](int64_t now, int64_t all) {
                if (done.empty() || now != done.back()) done.push_back(now);
                total = all;
                return absl::OkStatus();
              }).ok());
  EXPECT_EQ(done.size(), 10u) << "five examples, twice";
  EXPECT_EQ(done.front(), 1);
  EXPECT_EQ(done.back(), total);
  const auto stop = [](int64_t now, int64_t) { return now < 7 ? absl::OkStatus() : absl::CancelledError("stop"); };
  EXPECT_TRUE(absl::IsCancelled(Run(plan, stop).status()));
}

TEST_F(AnalysisJobTest, AModelThatCannotBeOpenedFailsTheJob) {
  AddFaults();
  std::filesystem::remove_all(RevisionDirectory(data_, "t", "base", "r1"));
  StartJobs();
  const AnalysisPlan plan = PlanAnalysis(RequestOfFaults(), store_.get()).value();
  const JobRecord job = FinishedJob(jobs_->Submit(AnalysisJob("t", plan), nullptr).value().id);
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_TRUE(job.result_json.empty());
}

}  // namespace
}  // namespace tandem
