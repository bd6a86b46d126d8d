// Rows of jobs that are no trainings: what they use, and what they append.

#include <string>
#include <vector>

#include <SQLiteCpp/SQLiteCpp.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/strings.h"
#include "tests/server/storage/storage_fixture.h"

namespace tandem {
namespace {

using testing::HasSubstr;

class MetaStoreJobsTest : public MetaStoreFixture {
 protected:
  void SetUp() override {
    MetaStoreFixture::SetUp();
    AddDataset("d");
    CollectionRecord collection;
    collection.tenant = "t";
    collection.id = "c";
    ASSERT_TRUE(store_->CreateCollection(collection, nullptr).ok());
  }
  static JobRecord MiningJob() {
    JobRecord job;
    job.tenant = "t";
    job.id = "j";
    job.kind = JobKind::kMineNegatives;
    job.dataset = "d";
    job.datasets = {"d"};
    job.collection = "c";
    job.target_dataset = "mined";
    return job;
  }
  void Run(JobRecord& job) {
    ASSERT_TRUE(store_->CreateJob(job, nullptr).ok());
    SetState(job, JobState::kRunning);
  }
  void SetState(JobRecord& job, JobState state) {
    job.state = state;
    ASSERT_TRUE(store_->UpdateJob(job).ok());
  }
  absl::StatusOr<int64_t> Append(const JobRecord& job, int pairs) {
    return store_->AppendJobExamples(job, std::vector<Example>(pairs, Example{.anchor = "a", .positives = {"p"}}),
                                     [](int64_t last) { return Concat("{\"last\":", last, "}"); });
  }
  std::string ResultOf(const JobRecord& job) { return store_->GetJob("t", job.id)->result_json; }
};

TEST_F(MetaStoreJobsTest, AJobWithoutABaseRevisionKeepsWhatItUses) {
  ASSERT_TRUE(store_->CreateJob(MiningJob(), nullptr).ok());
  Reopen();
  const JobRecord read = store_->GetJob("t", "j").value();
  EXPECT_EQ(read.kind, JobKind::kMineNegatives);
  EXPECT_EQ(read.collection, "c");
  EXPECT_EQ(read.target_dataset, "mined");
  EXPECT_EQ(read.base_revision, "");
  EXPECT_EQ(read.result_json, "");
}

TEST_F(MetaStoreJobsTest, AJobNeedsItsCollection) {
  JobRecord job = MiningJob();
  job.collection = "gone";
  EXPECT_EQ(store_->CreateJob(job, nullptr), absl::NotFoundError("collections/gone: not found"));
}

TEST_F(MetaStoreJobsTest, WhatAJobUsesCannotBeDeletedUntilItIsFinished) {
  AddDataset("mined");
  JobRecord job = MiningJob();
  ASSERT_TRUE(store_->CreateJob(job, nullptr).ok());
  for (const absl::Status& refused :
       {store_->DeleteDataset("t", "d"), store_->DeleteDataset("t", "mined"), store_->DeleteCollection("t", "c")}) {
    EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
    EXPECT_THAT(std::string(refused.message()), HasSubstr("jobs/j"));
  }
  SetState(job, JobState::kCancelled);
  EXPECT_TRUE(store_->DeleteDataset("t", "d").ok());
  EXPECT_TRUE(store_->DeleteDataset("t", "mined").ok());
  EXPECT_TRUE(store_->DeleteCollection("t", "c").ok());
}

TEST_F(MetaStoreJobsTest, TheFirstAppendMakesTheTargetAndEachStoresExamplesAndResultTogether) {
  JobRecord job = MiningJob();
  Run(job);
  EXPECT_EQ(Append(job, 3).value(), 3);
  EXPECT_EQ(Append(job, 2).value(), 5);
  Reopen();
  EXPECT_EQ(ResultOf(job), "{\"last\":5}");
  EXPECT_EQ(store_->GetDataset("t", "mined")->commit, 5);
  EXPECT_EQ(store_->ReadExamples("t", "mined", 0, 9, 9, 1 << 20)->size(), 5u);
}

TEST_F(MetaStoreJobsTest, AnAppendOfNothingMakesTheTarget) {
  JobRecord job = MiningJob();
  Run(job);
  EXPECT_EQ(Append(job, 0).value(), 0);
  EXPECT_EQ(store_->GetDataset("t", "mined")->commit, 0);
}

TEST_F(MetaStoreJobsTest, AnAppendGoesBehindWhatIsThere) {
  AddDataset("mined");
  ASSERT_TRUE(store_->AppendExamples("t", "mined", {}, {{.anchor = "x", .positives = {"y"}}}, "").ok());
  JobRecord job = MiningJob();
  Run(job);
  EXPECT_EQ(Append(job, 2).value(), 3);
  EXPECT_EQ(store_->ReadExamples("t", "mined", 0, 1, 9, 1 << 20)->at(0).example.anchor, "x");
}

TEST_F(MetaStoreJobsTest, AJobThatIsToBeCancelledBeginsNoAppendButEndsOne) {
  JobRecord job = MiningJob();
  Run(job);
  job.cancel_requested = true;
  SetState(job, JobState::kRunning);
  EXPECT_TRUE(absl::IsCancelled(Append(job, 1).status()));
  EXPECT_TRUE(absl::IsNotFound(store_->GetDataset("t", "mined").status()));
  job.cancel_requested = false;
  SetState(job, JobState::kRunning);
  ASSERT_TRUE(Append(job, 1).ok());
  job.cancel_requested = true;
  SetState(job, JobState::kRunning);
  EXPECT_EQ(Append(job, 1).value(), 2);
}

TEST_F(MetaStoreJobsTest, AJobThatDoesNotRunAppendsNothing) {
  JobRecord job = MiningJob();
  ASSERT_TRUE(store_->CreateJob(job, nullptr).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(Append(job, 1).status()));
  job.id = "gone";
  EXPECT_TRUE(absl::IsNotFound(Append(job, 1).status()));
}

TEST_F(MetaStoreJobsTest, UpdateJobLeavesTheResultAndFinishJobReplacesIt) {
  JobRecord job = MiningJob();
  Run(job);
  ASSERT_TRUE(Append(job, 1).ok());
  SetState(job, JobState::kRunning);  // With a row that was read before the append.
  EXPECT_EQ(ResultOf(job), "{\"last\":1}");
  job.state = JobState::kSucceeded;
  ASSERT_TRUE(store_->FinishJob(job, "{\"done\":1}").ok());
  EXPECT_EQ(ResultOf(job), "{\"done\":1}");
  EXPECT_TRUE(absl::IsFailedPrecondition(store_->FinishJob(job, "{}")));
}

TEST_F(MetaStoreJobsTest, JobsOfTheFormatBeforeUseNoCollection) {
  AddRevision("r1");
  ASSERT_TRUE(store_->CreateJob(MakeJob("old"), nullptr).ok());
  store_.reset();
  {
    SQLite::Database file(File("meta.db").string(), SQLite::OPEN_READWRITE);
    file.exec(
        "ALTER TABLE jobs DROP COLUMN collection; ALTER TABLE jobs DROP COLUMN target_dataset;"
        "ALTER TABLE jobs DROP COLUMN result; ALTER TABLE revisions DROP COLUMN "
        "comparison;" TANDEM_TEST_UNDO_SINCE_MINING "PRAGMA user_version = 3");
  }
  Reopen();
  const JobRecord read = store_->GetJob("t", "old").value();
  EXPECT_EQ(read.kind, JobKind::kTrain);
  EXPECT_EQ(read.collection, "");
  EXPECT_EQ(read.target_dataset, "");
  EXPECT_EQ(read.result_json, "");
}

}  // namespace
}  // namespace tandem
