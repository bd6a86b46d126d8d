// Feedback: judgements become examples, and examples lead to rounds, with a real collection and a stand-in for the
// trainer's work.
#include "server/jobs/feedback.h"

#include <thread>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/strings.h"
#include "server/jobs/feedback_round.h"
#include "tests/support/release_world.h"
#include "tests/support/temporary_directory.h"

namespace tandem {
namespace {

using test::kCollection;
using test::kTenant;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

HitJudgement Said(const std::string& document, bool relevant, const std::string& text) {
  return {.document = document, .relevant = relevant, .text = text};
}

TEST(ExamplesOfTest, ARelevantDocumentIsAPositiveWithTheOthersAsNegatives) {
  const std::vector<Example> made =
      ExamplesOf("q", Said("a", true, "A"), {Said("b", false, "B"), Said("c", true, "C"), Said("d", false, "D")});
  ASSERT_EQ(made.size(), 1u);
  EXPECT_EQ(made[0].kind, ExampleKind::kPair);
  EXPECT_EQ(made[0].anchor, "q");
  EXPECT_THAT(made[0].positives, ElementsAre("A"));
  EXPECT_THAT(made[0].negatives, ElementsAre("B", "D"));
}

TEST(ExamplesOfTest, ANegativeWaitsForAPositive) {
  EXPECT_THAT(ExamplesOf("q", Said("b", false, "B"), {}), IsEmpty());
  EXPECT_THAT(ExamplesOf("q", Said("b", false, "B"), {Said("d", false, "D")}), IsEmpty());
  const std::vector<Example> made =
      ExamplesOf("q", Said("b", false, "B"), {Said("a", true, "A"), Said("c", true, "C")});
  ASSERT_EQ(made.size(), 1u);
  EXPECT_THAT(made[0].positives, ElementsAre("A", "C"));
  EXPECT_THAT(made[0].negatives, ElementsAre("B"));
}

TEST(ExamplesOfTest, ATextIsNeverBothAndItsOwnOldJudgementDoesNotCount) {
  const std::vector<Example> made =
      ExamplesOf("q", Said("a", true, "A"), {Said("a", false, "A"), Said("b", false, "A")});
  ASSERT_EQ(made.size(), 1u);
  EXPECT_THAT(made[0].negatives, IsEmpty());
}

TEST(ExamplesOfTest, AnExampleStaysBelowTheSizeThatADatasetTakes) {
  std::vector<HitJudgement> others;
  for (int i = 0; i < 100; ++i) others.push_back(Said(Concat("n", i), false, Concat("negative ", i)));
  EXPECT_EQ(ExamplesOf("q", Said("a", true, "A"), others)[0].negatives.size(), 64u);
  others.clear();
  for (int i = 0; i < 5; ++i)
    others.push_back(Said(Concat("n", i), false, std::string(1 << 20, static_cast<char>('a' + i))));
  const Example large = ExamplesOf("q", Said("a", true, "A"), others)[0];
  EXPECT_EQ(large.positives.size(), 1u);
  EXPECT_EQ(large.negatives.size(), 2u);
}

TEST(FeedbackTrainingTest, ItsFormOnDiskComesBack) {
  FeedbackTraining training{.target_model = "m2", .validation_dataset = "v"};
  training.options.epochs = 7;
  training.options.learning_rate = 1e-3;
  const FeedbackTraining back = FeedbackTrainingFromJson(ToJson(training)).value();
  EXPECT_EQ(ToJson(back), ToJson(training));
  EXPECT_EQ(back.options.epochs, 7);
  EXPECT_TRUE(absl::IsInvalidArgument(FeedbackTrainingFromJson("{}").status()));
}

class FeedbackTest : public testing::Test {
 protected:
  FeedbackTest() {
    world_.CreateCollection();
    world_.PutMany(0, 60);
    world_.CreateEvaluationSet("e", 40);
    world_.SetGate({.evaluation_set = "e"});
    EXPECT_TRUE(meta().CreateDataset(kTenant, "clicks", "", nullptr).ok());
    log_ = SearchLog::Open(data_.path() / "search_log.db", {}).value();
    TrainingJobsOptions options;
    options.data_directory = data_.path() / "data";
    options.trainer_binary = "/bin/false";
    jobs_ = std::make_unique<TrainingJobs>(options, &meta(), ServerJobBodies{});  // Not started: jobs stay QUEUED.
    feedback_ = std::make_unique<Feedback>(
        Feedback::Rooms{.meta = &meta(), .collections = &world_.collections(), .jobs = jobs_.get(), .log = log_.get()});
  }

  MetaStore& meta() { return world_.meta(); }
  void SetPolicy(std::optional<int64_t> retrain_after = std::nullopt) {
    FeedbackPolicy policy{.tenant = kTenant,
                          .collection = kCollection,
                          .dataset = "clicks",
                          .retrain_after = retrain_after,
                          .training_json = ToJson(FeedbackTraining{})};
    ASSERT_TRUE(feedback_->SetPolicy(policy).ok());
  }
  // A search whose hits are the documents d<first>..., at their commits.
  void Searched(const std::string& id, const std::string& query, int first, int hits = 3) {
    LoggedSearch search{
        .tenant = kTenant, .collection = kCollection, .search_id = id, .time = absl::Now(), .query = query};
    for (int i = first; i < first + hits; ++i) search.hits.push_back({i + 1, Concat("d", i)});
    feedback_->Record(search);
  }
  std::vector<Example> Examples() {
    std::vector<Example> examples;
    const auto stored = meta().ReadExamples(kTenant, "clicks", 0, 1 << 20, 1 << 20, 1 << 30);
    for (const StoredExample& each : *stored) examples.push_back(each.example);
    return examples;
  }
  FeedbackPolicy Policy() { return meta().GetFeedbackPolicy(kTenant, kCollection).value(); }
  void Advance() {
    const std::function<bool()> stop = [] { return false; };
    const absl::Status status = AdvanceRound({&meta(), &world_.collections(), jobs_.get()}, Policy(), stop);
    EXPECT_TRUE(status.ok()) << status;
  }
  // The round's training ends with one of the revisions that are there.
  void FinishTraining(const std::string& revision) {
    JobRecord job = meta().GetJob(kTenant, Policy().last.job).value();
    job.state = JobState::kRunning;
    ASSERT_TRUE(meta().UpdateJob(job).ok());
    job.state = JobState::kSucceeded;
    job.target_model = "m";
    job.result_revision = Concat("models/m/revisions/", revision);
    ASSERT_TRUE(meta().UpdateJob(job).ok());
  }
  // Enough feedback for a round.
  void GiveFeedback(const std::string& prefix, int count) {
    for (int i = 0; i < count; ++i) {
      const std::string id = Concat(prefix, i);
      Searched(id, Concat("w", i, " w", i + 1), i);
      ASSERT_TRUE(feedback_->Judge(kTenant, id, Concat("d", i), true).ok());
    }
  }

  test::TemporaryDirectory data_;
  test::ReleaseWorld world_{data_.path() / "data", {}};
  std::unique_ptr<SearchLog> log_;
  std::unique_ptr<TrainingJobs> jobs_;
  std::unique_ptr<Feedback> feedback_;
};

TEST_F(FeedbackTest, JudgementsOfASearchBecomePairsOnce) {
  SetPolicy();
  EXPECT_TRUE(feedback_->Logs(kTenant, kCollection));
  EXPECT_FALSE(feedback_->Logs("other", kCollection));
  Searched("s1", "a query", 10);
  ASSERT_TRUE(feedback_->Judge(kTenant, "s1", "d12", false).ok());
  EXPECT_THAT(Examples(), IsEmpty());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(feedback_->Judge(kTenant, "s1", "d10", true).ok());
  ASSERT_EQ(Examples().size(), 1u);
  EXPECT_EQ(Examples()[0].anchor, "a query");
  EXPECT_THAT(Examples()[0].positives, ElementsAre("w10"));
  EXPECT_THAT(Examples()[0].negatives, ElementsAre("w12"));
  ASSERT_TRUE(feedback_->Judge(kTenant, "s1", "d11", false).ok());
  ASSERT_EQ(Examples().size(), 2u);
  EXPECT_THAT(Examples()[1].positives, ElementsAre("w10"));
  EXPECT_THAT(Examples()[1].negatives, ElementsAre("w11"));
  EXPECT_EQ(Policy().new_examples, 2);
}

TEST_F(FeedbackTest, ThePositiveIsTheTextThatWasShown) {
  SetPolicy();
  Searched("s1", "a query", 10);
  world_.Put({{"d10", "another text"}});
  ASSERT_TRUE(feedback_->Judge(kTenant, "s1", "d10", true).ok());
  EXPECT_THAT(Examples()[0].positives, ElementsAre("w10"));
}

TEST_F(FeedbackTest, WhatCannotBeJudgedIsRefused) {
  Searched("s1", "a query", 10);
  EXPECT_TRUE(absl::IsFailedPrecondition(feedback_->Judge(kTenant, "s1", "d10", true)));  // No policy.
  SetPolicy();
  EXPECT_TRUE(absl::IsNotFound(feedback_->Judge(kTenant, "s9", "d10", true)));
  EXPECT_TRUE(absl::IsNotFound(feedback_->Judge(kTenant, "s1", "d40", true)));
  EXPECT_TRUE(absl::IsNotFound(feedback_->Judge("other", "s1", "d10", true)));
  FeedbackPolicy none{.tenant = kTenant, .collection = kCollection};
  ASSERT_TRUE(feedback_->SetPolicy(none).ok());
  EXPECT_FALSE(feedback_->Logs(kTenant, kCollection));
  none.dataset = "gone";
  EXPECT_TRUE(absl::IsNotFound(feedback_->SetPolicy(none)));
  EXPECT_THAT(Examples(), IsEmpty());
}

TEST_F(FeedbackTest, ARoundTrainsBuildsAndPromotesWhenEnoughHasComeIn) {
  world_.GoLive("r1", "blind");
  SetPolicy(5);
  GiveFeedback("a", 4);
  Advance();
  EXPECT_EQ(Policy().last.number, 0);
  GiveFeedback("b", 2);
  Advance();
  EXPECT_EQ(Policy().last.number, 1);
  EXPECT_EQ(Policy().new_examples, 0);
  EXPECT_EQ(Policy().last.outcome, "training");
  GiveFeedback("c", 2);  // For the next round.
  Advance();
  const JobRecord job = meta().GetJob(kTenant, Policy().last.job).value();
  EXPECT_EQ(job.base_revision, "models/m/revisions/blind");
  EXPECT_THAT(job.datasets, ElementsAre("clicks"));
  EXPECT_EQ(job.target_model, "m");
  Advance();
  EXPECT_EQ(Policy().last.state, RoundState::kTraining);
  FinishTraining("a");
  Advance();
  EXPECT_EQ(Policy().last.release, "feedback-" + Policy().last.job);
  EXPECT_EQ(world_.WaitBuilt(Policy().last.release).state, ReleaseState::kReady);
  Advance();
  EXPECT_EQ(Policy().last.outcome, "promoted");
  EXPECT_EQ(Policy().last.state, RoundState::kIdle);
  EXPECT_EQ(meta().GetCollection(kTenant, kCollection)->live_release, Policy().last.release);
  EXPECT_EQ(Policy().new_examples, 2);
  Advance();
  EXPECT_EQ(Policy().last.number, 1);  // Two are not five.
}

TEST_F(FeedbackTest, AWorseReleaseIsRefusedAndGoesWhenTheNextRoundBegins) {
  world_.GoLive("r1", "a");
  SetPolicy(3);
  GiveFeedback("a", 3);
  Advance();
  Advance();
  FinishTraining("blind");
  Advance();
  EXPECT_EQ(world_.WaitBuilt(Policy().last.release).state, ReleaseState::kReady);
  Advance();
  EXPECT_THAT(Policy().last.outcome, HasSubstr("refused: "));
  EXPECT_THAT(Policy().last.outcome, HasSubstr("nDCG@10"));
  EXPECT_EQ(meta().GetCollection(kTenant, kCollection)->live_release, "r1");
  const std::string refused = Policy().last.release;
  EXPECT_TRUE(world_.Row(refused).gate.has_value());
  GiveFeedback("b", 3);
  Advance();
  EXPECT_EQ(Policy().last.number, 2);
  EXPECT_TRUE(absl::IsNotFound(meta().GetRelease(kTenant, kCollection, refused).status()));
}

TEST_F(FeedbackTest, AStepThatWasNotRecordedIsNotTakenTwice) {
  world_.GoLive("r1", "blind");
  SetPolicy(3);
  GiveFeedback("a", 3);
  Advance();
  FeedbackPolicy before = Policy();
  Advance();
  const std::string job = Policy().last.job;
  ASSERT_TRUE(meta().UpdateFeedbackRound(before, 0).ok());  // As if the server had ended before it was stored.
  Advance();
  EXPECT_EQ(Policy().last.job, job);
  EXPECT_EQ(meta().ListJobs(kTenant, {})->size(), 1u);
  FinishTraining("a");
  before = Policy();
  Advance();
  ASSERT_TRUE(meta().UpdateFeedbackRound(before, 0).ok());
  Advance();
  EXPECT_EQ(Policy().last.release, "feedback-" + Policy().last.job);
  EXPECT_EQ(world_.WaitBuilt(Policy().last.release).state, ReleaseState::kReady);
  before = Policy();
  Advance();
  ASSERT_TRUE(meta().UpdateFeedbackRound(before, 0).ok());
  Advance();
  EXPECT_EQ(Policy().last.outcome, "promoted");
}

TEST_F(FeedbackTest, ATrainingThatFailsOrIsCancelledEndsTheRound) {
  world_.GoLive("r1", "a");
  SetPolicy(3);
  GiveFeedback("a", 3);
  Advance();
  Advance();
  ASSERT_TRUE(jobs_->Cancel(kTenant, Policy().last.job).ok());
  Advance();
  EXPECT_EQ(Policy().last.outcome, "failed: its training was cancelled");
  EXPECT_EQ(Policy().last.state, RoundState::kIdle);
  GiveFeedback("b", 3);
  Advance();
  Advance();
  JobRecord job = meta().GetJob(kTenant, Policy().last.job).value();
  job.state = JobState::kRunning;
  ASSERT_TRUE(meta().UpdateJob(job).ok());
  job.state = JobState::kFailed;
  job.error_message = "out of luck";
  ASSERT_TRUE(meta().UpdateJob(job).ok());
  Advance();
  EXPECT_EQ(Policy().last.outcome, "failed: out of luck");
}

TEST_F(FeedbackTest, WithoutALiveReleaseARoundWaits) {
  SetPolicy(3);
  GiveFeedback("a", 3);
  Advance();
  EXPECT_EQ(Policy().last.number, 0);
  world_.GoLive("r1", "a");
  Advance();
  EXPECT_EQ(Policy().last.number, 1);
}

TEST_F(FeedbackTest, ThePolicyAndItsRoundOutliveARestartAndGoWithTheCollection) {
  world_.GoLive("r1", "a");
  SetPolicy(3);
  GiveFeedback("a", 3);
  Advance();
  feedback_.reset();
  jobs_.reset();
  world_.Restart();
  EXPECT_EQ(Policy().last.number, 1);
  EXPECT_EQ(Policy().dataset, "clicks");
  ASSERT_TRUE(world_.collections().Delete(kTenant, kCollection).ok());
  EXPECT_THAT(meta().AllFeedbackPolicies().value(), IsEmpty());
}

}  // namespace
}  // namespace tandem
