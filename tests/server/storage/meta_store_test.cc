#include "server/storage/meta_store.h"

#include <fstream>

#include <SQLiteCpp/SQLiteCpp.h>

#include "server/base/status.h"
#include "tests/server/storage/storage_fixture.h"

namespace tandem {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class MetaStoreTest : public MetaStoreFixture {};

template <typename Records>
std::vector<std::string> Ids(const Records& records) {
  std::vector<std::string> ids;
  for (const auto& record : records.value()) ids.push_back(record.id);
  return ids;
}

TEST_F(MetaStoreTest, DatasetsBelongToTheirTenantAndListById) {
  for (const char* id : {"b", "a", "c"}) AddDataset(id);
  ASSERT_TRUE(store_->CreateDataset("other", "a", "", nullptr).ok());
  EXPECT_THAT(Ids(store_->ListDatasets("t", {2, ""})), ElementsAre("a", "b"));
  EXPECT_THAT(Ids(store_->ListDatasets("t", {2, "b"})), ElementsAre("c"));
  EXPECT_THAT(Ids(store_->ListDatasets("other", {10, ""})), ElementsAre("a"));
  EXPECT_TRUE(absl::IsAlreadyExists(store_->CreateDataset("t", "a", "", nullptr).status()));
  EXPECT_EQ(store_->GetDataset("t", "x").status(), absl::NotFoundError("datasets/x: not found"));
}

TEST_F(MetaStoreTest, ExamplesOfEveryKindComeBackWithNulBytes) {
  AddDataset("d");
  const std::string nul("a\0b", 3);
  const std::vector<Example> examples = {
      {.kind = ExampleKind::kPair, .anchor = nul, .positives = {nul, ""}, .negatives = {std::string(1, '\0')}},
      {.kind = ExampleKind::kScoredPair, .anchor = "x", .positives = {"y"}, .score = 0.3f},
      {.kind = ExampleKind::kLabelledPair, .anchor = "x", .positives = {"y"}, .similar = true},
      {.kind = ExampleKind::kLabelledText, .anchor = "x", .label = nul},
      {.kind = ExampleKind::kText, .anchor = nul}};
  EXPECT_EQ(store_->AppendExamples("t", "d", {}, examples, "")->commit, 5);
  Reopen();
  const std::vector<StoredExample> read = store_->ReadExamples("t", "d", 0, 100, 100, 1 << 30).value();
  ASSERT_EQ(read.size(), 5u);
  for (size_t i = 0; i < read.size(); ++i) {
    EXPECT_EQ(read[i].commit, static_cast<int64_t>(i) + 1);
    EXPECT_EQ(read[i].example.kind, examples[i].kind);
    EXPECT_EQ(read[i].example.anchor, examples[i].anchor);
    EXPECT_EQ(read[i].example.positives, examples[i].positives);
    EXPECT_EQ(read[i].example.negatives, examples[i].negatives);
    EXPECT_EQ(read[i].example.score, examples[i].score);
    EXPECT_EQ(read[i].example.similar, examples[i].similar);
    EXPECT_EQ(read[i].example.label, examples[i].label);
  }
  EXPECT_EQ(store_->ReadExamples("t", "d", 1, 3, 100, 1 << 30)->size(), 2u);
  EXPECT_EQ(store_->ReadExamples("t", "d", 0, 100, 3, 1 << 30)->size(), 3u);
  EXPECT_EQ(store_->GetDataset("t", "d")->example_count, 5);
}

TEST_F(MetaStoreTest, ARepeatedSequenceIsAnsweredAndNotStoredTwice) {
  AddDataset("d");
  const std::vector<Example> one = {{.anchor = "a", .positives = {"p"}}};
  ASSERT_TRUE(store_->AppendExamples("t", "d", {"s", 1, "f"}, one, "[1]").ok());
  ASSERT_TRUE(store_->AppendExamples("t", "d", {"s", 2, "f"}, {}, "[2]").ok());
  Reopen();
  const AppendResult again = store_->AppendExamples("t", "d", {"s", 1, "f"}, one, "[other]").value();
  EXPECT_TRUE(again.repeated);
  EXPECT_EQ(again.commit, 1);
  EXPECT_EQ(again.accepted, 1);
  EXPECT_EQ(again.errors_json, "[1]");
  EXPECT_EQ(store_->GetDataset("t", "d")->commit, 1);
  const absl::Status gap = store_->AppendExamples("t", "d", {"s", 4, "f"}, one, "").status();
  EXPECT_EQ(FieldPath(gap), "sequence");
  EXPECT_THAT(std::string(gap.message()), HasSubstr("is 3"));
  EXPECT_FALSE(store_->AppendExamples("t", "d", {"another", 1, "f"}, one, "")->repeated);
}

TEST_F(MetaStoreTest, OtherContentUnderAStoredSequenceIsRefused) {
  AddDataset("d");
  const std::vector<Example> one = {{.anchor = "a", .positives = {"p"}}};
  ASSERT_TRUE(store_->AppendExamples("t", "d", {"s", 1, "f"}, one, "").ok());
  Reopen();
  const absl::Status status = store_->AppendExamples("t", "d", {"s", 1, "g"}, one, "").status();
  EXPECT_EQ(FieldPath(status), "request_id");
  EXPECT_THAT(std::string(status.message()), HasSubstr("was used with other content"));
  EXPECT_EQ(store_->GetDataset("t", "d")->commit, 1);
}

TEST_F(MetaStoreTest, ReadExamplesEndsWithTheFirstExampleOverItsBytes) {
  AddDataset("d");
  const std::vector<Example> three(3, Example{.anchor = "a", .positives = {"p"}, .negatives = {"n", "m"}});
  ASSERT_TRUE(store_->AppendExamples("t", "d", {}, three, "").ok());
  EXPECT_EQ(store_->ReadExamples("t", "d", 0, 3, 3, 3)->size(), 1u);
  EXPECT_EQ(store_->ReadExamples("t", "d", 0, 3, 3, 4)->size(), 2u);
  EXPECT_EQ(store_->ReadExamples("t", "d", 0, 3, 3, 8)->size(), 3u);
}

TEST_F(MetaStoreTest, StreamsAreForgottenAfterADay) {
  AddDataset("d");
  ASSERT_TRUE(store_->AppendExamples("t", "d", {"s", 1, "f"}, {}, "").ok());
  ASSERT_TRUE(store_->AppendExamples("t", "d", {"s", 2, "f"}, {}, "").ok());
  {
    SQLite::Database file(File("meta.db").string(), SQLite::OPEN_READWRITE);
    file.exec("UPDATE stream_results SET time_us = time_us - 86401000000 WHERE sequence = 1");
  }
  EXPECT_THAT(std::string(store_->AppendExamples("t", "d", {"s", 1, "f"}, {}, "").status().message()),
              HasSubstr("a day ago"));
  {
    SQLite::Database file(File("meta.db").string(), SQLite::OPEN_READWRITE);
    file.exec("UPDATE streams SET time_us = time_us - 86401000000");
  }
  EXPECT_THAT(std::string(store_->AppendExamples("t", "d", {"s", 3, "f"}, {}, "").status().message()),
              HasSubstr("is 1"));
  EXPECT_FALSE(store_->AppendExamples("t", "d", {"s", 1, "f"}, {}, "")->repeated);
}

TEST_F(MetaStoreTest, DeleteDatasetIsRefusedWhileAJobReadsItAndFreesEveryExample) {
  AddDataset("d");
  AddRevision("r1");
  const std::vector<Example> many(4500, Example{.anchor = "a", .positives = {"p"}});
  ASSERT_TRUE(store_->AppendExamples("t", "d", {}, many, "").ok());
  ASSERT_TRUE(store_->CreateJob(MakeJob("j"), nullptr).ok());
  EXPECT_THAT(std::string(store_->DeleteDataset("t", "d").message()), HasSubstr("jobs/j"));
  JobRecord job = MakeJob("j");
  job.state = JobState::kCancelled;
  ASSERT_TRUE(store_->UpdateJob(job).ok());
  ASSERT_TRUE(store_->DeleteDataset("t", "d").ok());
  AddDataset("d");
  EXPECT_TRUE(store_->ReadExamples("t", "d", 0, 1 << 20, 10, 1 << 30)->empty());
  SQLite::Database file(File("meta.db").string());
  EXPECT_EQ(file.execAndGet("SELECT count(*) FROM examples").getInt(), 0);
}

TEST_F(MetaStoreTest, AJobThatIsNotFinishedKeepsAllItsDatasets) {
  for (const char* id : {"d", "second", "validation"}) AddDataset(id);
  AddRevision("r1");
  JobRecord job = MakeJob("j");
  job.datasets = {"d", "second", "gone"};
  EXPECT_TRUE(absl::IsNotFound(store_->CreateJob(job, nullptr)));
  job.datasets = {"d", "second", "validation"};
  ASSERT_TRUE(store_->CreateJob(job, nullptr).ok());
  Reopen();
  EXPECT_EQ(store_->GetJob("t", "j")->datasets, job.datasets);
  for (const std::string& id : job.datasets) {
    EXPECT_TRUE(absl::IsFailedPrecondition(store_->DeleteDataset("t", id))) << id;
  }
  job.state = JobState::kCancelled;
  ASSERT_TRUE(store_->UpdateJob(job).ok());
  for (const std::string& id : job.datasets) EXPECT_TRUE(store_->DeleteDataset("t", id).ok()) << id;
}

TEST_F(MetaStoreTest, ADatabaseOfTheFormatBeforeKeepsItsExamplesAndJobs) {
  AddDataset("d");
  AddRevision("r1");
  ASSERT_TRUE(store_->AppendExamples("t", "d", {}, {{.anchor = "a", .positives = {"p"}}}, "").ok());
  ASSERT_TRUE(store_->CreateJob(MakeJob("j"), nullptr).ok());
  store_.reset();
  {
    SQLite::Database file(File("meta.db").string(), SQLite::OPEN_READWRITE);
    file.exec(
        "ALTER TABLE jobs DROP COLUMN datasets; ALTER TABLE revisions DROP COLUMN sources;"
        "ALTER TABLE revisions DROP COLUMN comparison;"
        "ALTER TABLE jobs DROP COLUMN collection; ALTER TABLE jobs DROP COLUMN target_dataset;"
        "ALTER TABLE jobs DROP COLUMN result;" TANDEM_TEST_UNDO_SINCE_MINING "PRAGMA user_version = 2");
  }
  Reopen();
  EXPECT_EQ(store_->ReadExamples("t", "d", 0, 9, 9, 1 << 20)->at(0).example.anchor, "a");
  EXPECT_TRUE(store_->GetJob("t", "j")->datasets.empty());
  EXPECT_TRUE(absl::IsFailedPrecondition(store_->DeleteDataset("t", "d")));
  EXPECT_TRUE(store_->AppendExamples("t", "d", {}, {{.kind = ExampleKind::kText, .anchor = "x"}}, "").ok());
}

TEST_F(MetaStoreTest, ARevisionComesBackWithItsSourcesAndValidation) {
  ModelRevisionRecord revision;
  revision.tenant = "t";
  revision.model = "m";
  revision.id = "r";
  revision.contract.max_length = 256;
  revision.contract.dimensions = 384;
  revision.sources = {{"a", 3}, {"b", 7}};
  revision.validation.emplace().loss = 0.5;
  revision.validation->metrics.similarity = SimilarityMetrics{0.25, 0.125};
  revision.validation->metrics.uniformity = -2.5;
  revision.comparison = TrainingComparison{.step = 9, .before = {}, .after = *revision.validation};
  revision.comparison->metrics = {{"spearman", {{0.125, 0, 0.5}, {0.25, 0, 0.5}, {0.125, -0.5, 0.5}}}};
  ASSERT_TRUE(store_->AddModelRevision(revision).ok());
  Reopen();
  const ModelRevisionRecord read = store_->GetModelRevision("t", "m", "r").value();
  EXPECT_EQ(ToJson(*read.comparison), ToJson(*revision.comparison));
  EXPECT_EQ(read.sources, revision.sources);
  EXPECT_EQ(ToJson(*read.validation), ToJson(*revision.validation));
}

TEST_F(MetaStoreTest, ARequestIdGivesItsAnswerForADayAndRefusesOtherContent) {
  const MetaStore::Request request{"t", "CreateDataset", "id", "print", "datasets/d"};
  EXPECT_EQ(store_->FindAnswer(request).value(), std::nullopt);
  ASSERT_TRUE(store_->CreateDataset("t", "d", "", &request).ok());
  EXPECT_EQ(store_->FindAnswer(request).value(), "datasets/d");
  EXPECT_TRUE(absl::IsAborted(store_->CreateDataset("t", "e", "", &request).status()));
  EXPECT_TRUE(absl::IsNotFound(store_->GetDataset("t", "e").status()));
  MetaStore::Request other = request;
  other.fingerprint = "another";
  EXPECT_EQ(FieldPath(store_->FindAnswer(other).status()), "request_id");
  other.tenant = "u";
  EXPECT_EQ(store_->FindAnswer(other).value(), std::nullopt);
  {
    SQLite::Database file(File("meta.db").string(), SQLite::OPEN_READWRITE);
    file.exec("UPDATE requests SET time_us = time_us - 86401000000");
  }
  EXPECT_EQ(store_->FindAnswer(request).value(), std::nullopt);
}

TEST_F(MetaStoreTest, ARefusedChangeStoresNoAnswer) {
  AddDataset("d");
  const MetaStore::Request request{"t", "CreateDataset", "id", "print", "datasets/d"};
  EXPECT_TRUE(absl::IsAlreadyExists(store_->CreateDataset("t", "d", "", &request).status()));
  EXPECT_EQ(store_->FindAnswer(request).value(), std::nullopt);
}

TEST_F(MetaStoreTest, AModelIsMadeByItsFirstRevisionAndKnowsItsNewest) {
  EXPECT_TRUE(absl::IsNotFound(store_->GetModel("t", "m").status()));
  for (const char* id : {"r1", "r3", "r2"}) AddRevision(id);
  EXPECT_EQ(store_->GetModel("t", "m")->newest_revision, "r2");
  EXPECT_EQ(store_->GetModel("t", "m")->revision_count, 3);
  EXPECT_THAT(Ids(store_->ListModelRevisions("t", "m", {2, ""})), ElementsAre("r2", "r3"));
  EXPECT_THAT(Ids(store_->ListModelRevisions("t", "m", {2, "r3"})), ElementsAre("r1"));
  EXPECT_EQ(FieldPath(store_->ListModelRevisions("t", "m", {2, "gone"}).status()), "page_token");
  Reopen();
  const ModelRevisionRecord read = store_->GetModelRevision("t", "m", "r1").value();
  EXPECT_EQ(read.contract.query_prompt, "query: ");
  EXPECT_EQ(read.contract.dimensions, 384);
  EXPECT_EQ(read.validation->metrics.retrieval->ndcg_at_10, 0.1 + 0.2);
  EXPECT_EQ(read.validation->metrics.retrieval->queries, 7);
  EXPECT_EQ(absl::ToUnixMicros(read.create_time), 1'700'000'000'000'001);
  EXPECT_EQ(store_->AllModelRevisions()->size(), 3u);
}

TEST_F(MetaStoreTest, ARevisionInUseCannotBeDeleted) {
  AddDataset("d");
  AddRevision("r1");
  AddRevision("r2");
  ASSERT_TRUE(store_->CreateJob(MakeJob("j"), nullptr).ok());
  EXPECT_THAT(std::string(store_->DeleteModelRevision("t", "m", "r1").message()), HasSubstr("jobs/j"));
  EXPECT_TRUE(absl::IsFailedPrecondition(store_->DeleteModel("t", "m").status()));
  EXPECT_TRUE(store_->DeleteModelRevision("t", "m", "r2").ok());
  JobRecord job = MakeJob("j");
  job.state = JobState::kCancelled;
  ASSERT_TRUE(store_->UpdateJob(job).ok());
  EXPECT_THAT(store_->DeleteModel("t", "m").value(), ElementsAre("r1"));
  EXPECT_TRUE(absl::IsNotFound(store_->GetModelRevision("t", "m", "r1").status()));
}

TEST_F(MetaStoreTest, AJobTakesOnlyLegalSteps) {
  AddDataset("d");
  AddRevision("r1");
  ASSERT_TRUE(store_->CreateJob(MakeJob("j"), nullptr).ok());
  JobRecord job = MakeJob("j");
  job.state = JobState::kSucceeded;
  const absl::Status refused = store_->UpdateJob(job);
  EXPECT_TRUE(absl::IsFailedPrecondition(refused));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("is QUEUED, cannot become SUCCEEDED"));
  for (const JobState state : {JobState::kRunning, JobState::kQueued, JobState::kRunning, JobState::kFailed}) {
    job.state = state;
    EXPECT_TRUE(store_->UpdateJob(job).ok());
  }
  job.state = JobState::kRunning;
  EXPECT_THAT(std::string(store_->UpdateJob(job).message()), HasSubstr("is FAILED, cannot become RUNNING"));
}

TEST_F(MetaStoreTest, JobsListNewestFirstAndKeepEveryField) {
  AddDataset("d");
  AddRevision("r1");
  for (const char* id : {"j2", "j1", "j3"}) ASSERT_TRUE(store_->CreateJob(MakeJob(id), nullptr).ok());
  EXPECT_THAT(Ids(store_->ListJobs("t", {2, ""})), ElementsAre("j3", "j1"));
  EXPECT_THAT(Ids(store_->ListJobs("t", {2, "j1"})), ElementsAre("j2"));
  EXPECT_THAT(Ids(store_->AllJobs(JobState::kQueued)), ElementsAre("j2", "j1", "j3"));
  JobRecord job = MakeJob("j1");
  job.state = JobState::kRunning;
  job.start_time = absl::FromUnixMicros(5);
  job.attempt = 2;
  job.cancel_requested = true;
  job.options_json = "{}";
  job.error_code = 13;
  job.error_message = std::string("a\0b", 3);
  ASSERT_TRUE(store_->UpdateJob(job).ok());
  Reopen();
  const JobRecord read = store_->GetJob("t", "j1").value();
  EXPECT_EQ(read.start_time, job.start_time);
  EXPECT_EQ(read.end_time, std::nullopt);
  EXPECT_EQ(read.attempt, 2);
  EXPECT_TRUE(read.cancel_requested);
  EXPECT_EQ(read.error_message, job.error_message);
  EXPECT_TRUE(absl::IsFailedPrecondition(store_->DeleteJob("t", "j1")));
}

TEST_F(MetaStoreTest, FinishTrainingMakesRevisionAndStateVisibleTogether) {
  AddDataset("d");
  AddRevision("r1");
  ASSERT_TRUE(store_->CreateJob(MakeJob("j"), nullptr).ok());
  ModelRevisionRecord revision = store_->GetModelRevision("t", "m", "r1").value();
  revision.id = "r2";
  EXPECT_TRUE(absl::IsFailedPrecondition(store_->FinishTraining(MakeJob("j"), revision)));
  EXPECT_TRUE(absl::IsNotFound(store_->GetModelRevision("t", "m", "r2").status()));
  JobRecord job = MakeJob("j");
  job.state = JobState::kRunning;
  ASSERT_TRUE(store_->UpdateJob(job).ok());
  ASSERT_TRUE(store_->FinishTraining(job, revision).ok());
  EXPECT_EQ(store_->GetJob("t", "j")->result_revision, "models/m/revisions/r2");
  EXPECT_TRUE(store_->DeleteJob("t", "j").ok());
  EXPECT_TRUE(store_->GetModelRevision("t", "m", "r2").ok());
}

TEST_F(MetaStoreTest, AJobNeedsItsDatasetAndRevision) {
  EXPECT_EQ(store_->CreateJob(MakeJob("j"), nullptr), absl::NotFoundError("datasets/d: not found"));
  AddDataset("d");
  EXPECT_EQ(store_->CreateJob(MakeJob("j"), nullptr), absl::NotFoundError("models/m/revisions/r1: not found"));
}

TEST_F(MetaStoreTest, AFileThatIsNoDatabaseIsDataLossAndANewerFormatIsRefused) {
  std::ofstream(File("bad.db")) << std::string(8192, 'x');
  EXPECT_EQ(MetaStore::Open(File("bad.db")).status().code(), absl::StatusCode::kDataLoss);
  {
    SQLite::Database file(File("new.db").string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
    file.exec("PRAGMA user_version = 99");
  }
  const absl::Status newer = MetaStore::Open(File("new.db")).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(newer));
  EXPECT_THAT(std::string(newer.message()), HasSubstr("format 99 is newer"));
  EXPECT_TRUE(absl::IsInternal(MetaStore::Open(File("no/such/meta.db")).status()));
}

TEST_F(MetaStoreTest, AThousandExamplesTakeWellUnderFiftyMilliseconds) {
  AddDataset("d");
  const std::vector<Example> examples(1000,
                                      Example{.anchor = std::string(60, 'a'), .positives = {std::string(300, 'p')}});
  ASSERT_TRUE(store_->AppendExamples("t", "d", {"s", 1, "f"}, examples, "").ok());
  absl::Duration fastest = absl::InfiniteDuration();  // Other programs share the machine.
  for (int sequence = 2; sequence < 12; ++sequence) {
    const absl::Time begin = absl::Now();
    ASSERT_TRUE(store_->AppendExamples("t", "d", {"s", sequence, "f"}, examples, "").ok());
    fastest = std::min(fastest, absl::Now() - begin);
  }
  RecordProperty("fastest_us", static_cast<int>(absl::ToInt64Microseconds(fastest)));
  EXPECT_LT(fastest, absl::Milliseconds(50));
}

}  // namespace
}  // namespace tandem
