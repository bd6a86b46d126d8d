#include "client/cli/report_data.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/client/fake_services.h"

namespace tandem::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <class T>
T Parse(const std::string& text) {
  T message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

// Keeps what it was asked.
class Asked {
 public:
  Analyse analyse() {
    return [this](const v1::AnalyzeDatasetRequest& request) -> absl::StatusOr<v1::Job> {
      requests.push_back(request);
      if (request.dataset() == "datasets/gone") return absl::NotFoundError("datasets/gone does not exist");
      v1::Job job;
      job.set_name("jobs/a1");
      job.mutable_analysis()->set_dataset(request.dataset());
      return job;
    };
  }
  std::vector<v1::AnalyzeDatasetRequest> requests;
};

const char kTraining[] = "name: 'jobs/t' kind: TRAIN dataset: 'datasets/faq' base_revision: 'models/m/revisions/r' ";

TEST(ReportDataTest, ATrainingIsAnalysedAsFarAsItLearnedAndBesideItsValidation) {
  Asked asked;
  report::TrainingReport report;
  const auto revision = Parse<v1::ModelRevision>(
      "dataset: 'datasets/faq' dataset_commit: 9 options_json: '{\"batch_size\": 64, \"max_length\": 128}'");
  AddTrainingData(Parse<v1::Job>(std::string(kTraining) + "datasets: 'datasets/faq' datasets: 'datasets/held'"),
                  &revision, asked.analyse(), &report);
  ASSERT_EQ(asked.requests.size(), 1u);
  const v1::AnalyzeDatasetRequest& request = asked.requests[0];
  EXPECT_EQ(request.dataset(), "datasets/faq");
  EXPECT_EQ(request.dataset_commit(), 9);
  EXPECT_EQ(request.validation_dataset(), "datasets/held");
  EXPECT_EQ(request.base_revision(), "models/m/revisions/r");
  EXPECT_EQ(request.batch_size(), 64);
  EXPECT_EQ(request.max_length(), 128);
  EXPECT_EQ(report.training_data.size(), 1u);
}

TEST(ReportDataTest, EachDatasetIsAnalysedOnceAndOneThatIsGoneIsTold) {
  Asked asked;
  report::TrainingReport report;
  const auto revision = Parse<v1::ModelRevision>(R"(
      dataset: 'datasets/faq' dataset_commit: 9 sources { dataset: 'datasets/faq' commit: 9 }
      sources { dataset: 'datasets/gone' commit: 3 } sources { dataset: 'datasets/faq' commit: 9 })");
  AddTrainingData(Parse<v1::Job>(std::string(kTraining) + "datasets: 'datasets/faq' datasets: 'datasets/gone'"),
                  &revision, asked.analyse(), &report);
  ASSERT_EQ(asked.requests.size(), 2u);
  EXPECT_EQ(asked.requests[0].validation_dataset(), "") << "the last dataset is trained on";
  EXPECT_EQ(asked.requests[1].dataset_commit(), 3);
  EXPECT_EQ(report.training_data.size(), 1u);
  EXPECT_THAT(report.no_training_data, HasSubstr("gone cannot be analysed: datasets/gone does not exist"));
}

TEST(ReportDataTest, AJobWithoutARevisionIsAnalysedToo) {
  Asked asked;
  report::TrainingReport report;
  AddTrainingData(Parse<v1::Job>(kTraining), nullptr, asked.analyse(), &report);
  ASSERT_EQ(asked.requests.size(), 1u);
  EXPECT_EQ(asked.requests[0].dataset(), "datasets/faq");
  EXPECT_FALSE(asked.requests[0].has_dataset_commit());
}

TEST(ReportDataTest, AnAnalysisBecomesFactsFindingsAndFigures) {
  const report::TrainingData data = TrainingDataOf(Parse<v1::Job>(R"(name: 'jobs/a1' analysis {
      dataset: 'datasets/faq' dataset_commit: 1200 examples: 1200 max_length: 64
      first_lengths { histogram: 1 histogram: 5 } second_lengths { histogram: 2 }
      labels { classes: 3 largest: 'x' } scores { lowest: 0.5 highest: 1 histogram: 4 }
      findings { severity: WARNING advice: 'Look.' commits: 2 } })"));
  EXPECT_EQ(data.source, "faq up to commit 1,200, analysed by job a1");
  ASSERT_EQ(data.findings.size(), 1u);
  EXPECT_EQ(data.findings[0].severity, "warning");
  EXPECT_EQ(data.findings[0].where, "commit 2");
  ASSERT_EQ(data.lengths.size(), 2u);
  EXPECT_THAT(data.lengths[0].texts, ElementsAre(1, 5));
  EXPECT_THAT(data.scores, ElementsAre(4));
  EXPECT_EQ(data.max_length, 64);
  EXPECT_EQ(data.balance[0].value, "3");
}

// Answers with the jobs that it was made with; those that run have ended when they are asked for.
class FakeAnalyses : public v1::JobService::Service {
 public:
  explicit FakeAnalyses(std::vector<v1::Job> jobs) : jobs_(std::move(jobs)) {}

  grpc::Status ListJobs(grpc::ServerContext*, const v1::ListJobsRequest*, v1::ListJobsResponse* response) override {
    for (const v1::Job& job : jobs_) *response->add_jobs() = job;
    return grpc::Status::OK;
  }
  grpc::Status GetJob(grpc::ServerContext*, const v1::GetJobRequest* request, v1::Job* job) override {
    for (const v1::Job& known : jobs_) {
      if (known.name() == request->name()) *job = known;
    }
    if (job->state() != v1::Job::RUNNING) return grpc::Status::OK;
    job->set_state(v1::Job::SUCCEEDED);
    job->mutable_analysis()->set_dataset_commit(9);
    return grpc::Status::OK;
  }
  grpc::Status WatchJob(grpc::ServerContext*, const v1::WatchJobRequest*, grpc::ServerWriter<v1::JobEvent>*) override {
    return grpc::Status::OK;
  }

 private:
  const std::vector<v1::Job> jobs_;
};

std::string Found(std::vector<v1::Job> jobs) {
  FakeAnalyses service(std::move(jobs));
  ServedBy server(&service);
  Client client = server.client();
  Session session;
  v1::AnalyzeDatasetRequest request;
  request.set_dataset("datasets/faq");
  request.set_dataset_commit(9);
  const absl::StatusOr<v1::Job> job = FindOrAnalyse(client, session, request);
  return job.ok() ? job->name() : std::string(absl::StatusCodeToString(job.status().code()));
}

v1::Job Analysis(const std::string& name, v1::Job::State state, int64_t commit) {
  v1::Job job;
  job.set_name(name);
  job.set_kind(v1::Job::ANALYZE_DATASET);
  job.set_state(state);
  job.set_dataset("datasets/faq");
  if (state == v1::Job::SUCCEEDED) job.mutable_analysis()->set_dataset_commit(commit);
  return job;
}

TEST(ReportDataTest, TheNewestAnalysisOfTheCommitIsTakenAndOneThatRunsIsWaitedFor) {
  const v1::Job other_commit = Analysis("jobs/a5", v1::Job::SUCCEEDED, 8),
                fits = Analysis("jobs/a4", v1::Job::SUCCEEDED, 9);
  const v1::Job older = Analysis("jobs/a3", v1::Job::SUCCEEDED, 9), failed = Analysis("jobs/a6", v1::Job::FAILED, 0);
  EXPECT_EQ(Found({failed, other_commit, fits, older}), "jobs/a4");
  EXPECT_EQ(Found({Analysis("jobs/a7", v1::Job::RUNNING, 0), fits}), "jobs/a7");
  v1::Job training = fits;
  training.set_kind(v1::Job::TRAIN);
  EXPECT_EQ(Found({training, other_commit}), "UNIMPLEMENTED") << "one is started, which this server cannot";
}

}  // namespace
}  // namespace tandem::cli
