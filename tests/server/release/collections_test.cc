#include "server/release/collections.h"

#include <fstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "tests/server/release/collections_fixture.h"

namespace tandem {
namespace {

using test::kCollection;
using test::kTenant;
using testing::HasSubstr;

class CollectionsTest : public CollectionsFixture {};

TEST_F(CollectionsTest, UnknownCollectionsAreNotFound) {
  EXPECT_TRUE(absl::IsNotFound(world_.collections().Documents(kTenant, "nope").status()));
  EXPECT_TRUE(absl::IsNotFound(world_.collections().Live("other tenant", kCollection).status()));
  EXPECT_TRUE(absl::IsNotFound(world_.collections().Delete(kTenant, "nope")));
}

TEST_F(CollectionsTest, CreatingTwiceIsRefusedAndHarmsNothing) {
  world_.PutMany(0, 3);
  CollectionRecord record;
  record.tenant = kTenant;
  record.id = kCollection;
  EXPECT_TRUE(absl::IsAlreadyExists(world_.collections().Create(record, nullptr).status()));
  EXPECT_EQ(*world_.documents()->Count(), 3);
}

TEST_F(CollectionsTest, DocumentsAreStoredBeforeThereIsARelease) {
  EXPECT_EQ(world_.PutMany(0, 3), 3);
  EXPECT_TRUE(absl::IsFailedPrecondition(Live().status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(
      world_.collections().LiveAt(kTenant, kCollection, 3, {.deadline = absl::Now() + absl::Seconds(5)}).status()));
  EXPECT_TRUE(world_.collections().AdmitWrite(kTenant, kCollection, WriteKind::kUpsert).ok());
}

TEST_F(CollectionsTest, AReleaseBuildsIsSealedAndBecomesReady) {
  world_.PutMany(0, 150);
  const auto created = world_.CreateRelease("r1", "a");
  ASSERT_TRUE(created.ok()) << created.status();
  EXPECT_EQ(created->state, ReleaseState::kBuilding);
  EXPECT_EQ(created->contract, world_.meta().GetModelRevision(kTenant, "m", "a")->contract);
  EXPECT_EQ(world_.WaitBuilt("r1").state, ReleaseState::kReady);
  EXPECT_THAT(*Directory("r1").SealedCommits(), testing::ElementsAre(150));
  const auto progress = world_.collections().Progress(kTenant, kCollection, "r1");
  ASSERT_TRUE(progress.ok());
  EXPECT_EQ(progress->cursor, 150);
  EXPECT_EQ(progress->target_commit, 150);
  EXPECT_EQ(progress->documents_done, 150);
  EXPECT_EQ(progress->documents_total, 150);
  EXPECT_EQ(progress->time_left, absl::ZeroDuration());
  EXPECT_TRUE(absl::IsFailedPrecondition(Live().status())) << "READY is not LIVE";
}

TEST_F(CollectionsTest, AReleaseOfAnEmptyCollectionIsReadyAndServes) {
  world_.GoLive("r1", "a");
  ExpectExactAtHead();
  world_.PutMany(0, 5);
  ExpectExactAtHead();
}

TEST_F(CollectionsTest, AReleaseIsEvaluatedWhenItsBuildEnds) {
  world_.PutMany(0, 50);
  world_.CreateEvaluationSet("e", 20);
  GatePolicy gate;
  gate.evaluation_set = "e";
  world_.SetGate(gate);
  ASSERT_TRUE(world_.CreateRelease("good", "a").ok());
  ASSERT_TRUE(world_.CreateRelease("bad", "blind").ok());
  const ReleaseRecord good = world_.WaitBuilt("good"), bad = world_.WaitBuilt("bad");
  ASSERT_TRUE(good.evaluation.has_value());
  EXPECT_EQ(good.evaluation->evaluation_set, "e");
  EXPECT_EQ(good.evaluation->commit, 50);
  EXPECT_EQ(good.evaluation->metrics.queries, 20);
  EXPECT_DOUBLE_EQ(good.evaluation->metrics.ndcg_at_10, 1) << "each query's text is its document's";
  EXPECT_DOUBLE_EQ(good.evaluation->index_recall_at_10, 1) << "FLAT finds all";
  ASSERT_TRUE(bad.evaluation.has_value());
  EXPECT_LT(bad.evaluation->metrics.ndcg_at_10, 0.6);
}

// Every kind is sealed, measured, served and opened again.
TEST_F(CollectionsTest, AReleaseOfAnyKindOfIndexServes) {
  world_.PutMany(0, 400);
  world_.CreateEvaluationSet("e", 20);
  GatePolicy gate;
  gate.evaluation_set = "e";
  world_.SetGate(gate);
  const std::pair<const char*, IndexKind> kinds[] = {
      {"hnsw", IndexKind::kHnsw},          {"ivf", IndexKind::kIvfFlat}, {"pq", IndexKind::kIvfPq},
      {"sq", IndexKind::kScalarQuantized}, {"bits", IndexKind::kBinary},
  };
  for (const auto& [id, kind] : kinds) {
    world_.GoLive(id, "a", kind);
    EXPECT_EQ(world_.Row(id).index.kind, kind);
    EXPECT_GE(world_.Row(id).evaluation->index_recall_at_10, kind == IndexKind::kBinary ? 0.8 : 0.95) << id;
    for (const bool restarted : {false, true}) {
      if (restarted) world_.Restart();
      const auto live = world_.LiveAtHead();
      ASSERT_NE(live, nullptr);
      const test::Answer answer = test::Ask(world_, *live, "w7 w8");
      EXPECT_EQ(answer.release, id);
      EXPECT_EQ(answer.size, 400);
      EXPECT_EQ(answer.hits.size(), 10u) << id;
    }
  }
}

// Bits alone do not tell like vectors apart: with as many candidates as hits the index misses some.
TEST_F(CollectionsTest, AnIndexThatFindsTooLittleIsNotPromoted) {
  world_.PutMany(0, 400);
  world_.CreateEvaluationSet("e", 20);
  GatePolicy gate;
  gate.evaluation_set = "e";
  gate.min_index_recall = 1;
  world_.SetGate(gate);
  ReleaseRecord record;
  record.tenant = kTenant;
  record.collection = kCollection;
  record.id = "coarse";
  record.model = "m";
  record.revision = "a";
  record.index.kind = IndexKind::kBinary;
  record.index.rerank_factor = 1;
  ASSERT_TRUE(world_.collections().CreateRelease(record, nullptr).ok());
  const ReleaseRecord built = world_.WaitBuilt("coarse");
  ASSERT_TRUE(built.evaluation.has_value());
  EXPECT_LT(built.evaluation->index_recall_at_10, 1);
  const absl::Status refused = world_.Promote("coarse").status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("the index's recall@10 is"));
}

TEST_F(CollectionsTest, AnIndexThatIsNotAskedForIsChosenByTheNumberOfDocuments) {
  world_.PutMany(0, 20'000);
  EXPECT_EQ(world_.CreateRelease("small", "a", IndexKind::kBySize)->index.kind, IndexKind::kFlat);
  world_.PutMany(20'000, 1);
  EXPECT_EQ(world_.CreateRelease("large", "a", IndexKind::kBySize)->index.kind, IndexKind::kHnsw);
  EXPECT_EQ(world_.Row("large").index.kind, IndexKind::kHnsw);
  for (const char* id : {"small", "large"})
    EXPECT_TRUE(world_.collections().CancelRelease(kTenant, kCollection, id).ok());
}

TEST_F(CollectionsTest, SubquantizersThatDoNotDivideTheDimensionsAreRefused) {
  ReleaseRecord record;
  record.tenant = kTenant;
  record.collection = kCollection;
  record.id = "r1";
  record.model = "m";
  record.revision = "a";
  record.index.kind = IndexKind::kIvfPq;
  record.index.pq_subquantizers = world_.meta().GetModelRevision(kTenant, "m", "a")->contract.dimensions - 1;
  const absl::Status status = world_.collections().CreateRelease(record, nullptr).status();
  EXPECT_EQ(FieldPath(status), "index.ivf_pq.subquantizers") << status;
  EXPECT_TRUE(absl::IsNotFound(world_.meta().GetRelease(kTenant, kCollection, "r1").status()));
}

TEST_F(CollectionsTest, LiveFollowsWritesAndLiveAtWaitsForThem) {
  world_.PutMany(0, 100);
  world_.GoLive("r1", "a");
  ExpectExactAtHead();
  for (int round = 0; round < 10; ++round) {
    world_.Put({{Concat("d", round), Concat("w", 100 + round)}});
    world_.Delete({Concat("d", 50 + round)});
    ExpectExactAtHead();
  }
}

TEST_F(CollectionsTest, MinCommitBeyondTheNewestIsTheCallersFault) {
  world_.PutMany(0, 3);
  world_.GoLive("r1", "a");
  const absl::Status status =
      world_.collections().LiveAt(kTenant, kCollection, 4, {.deadline = absl::Now() + absl::Seconds(5)}).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_EQ(FieldPath(status), "min_commit");
  EXPECT_THAT(std::string(status.message()), HasSubstr("4: the newest commit of collections/faq is 3"));
}

TEST_F(CollectionsTest, LiveAtGivesUpAtItsDeadline) {
  world_.GoLive("r1", "a");
  const int64_t commit = world_.PutMany(0, 150);
  const absl::Status status =
      world_.collections().LiveAt(kTenant, kCollection, commit, {.deadline = absl::Now()}).status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  ExpectExactAtHead();
}

TEST_F(CollectionsTest, LiveAtGivesUpWhenTheCallerIsGone) {
  world_.GoLive("r1", "a");
  const int64_t commit = world_.PutMany(0, 2000);
  const Patience gone{.gone = [] { return true; }};
  const absl::Status status = world_.collections().LiveAt(kTenant, kCollection, commit, gone).status();
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
}

TEST_F(CollectionsTest, WritersArePushedBackWhenTheLiveReleaseIsTooFarBehind) {
  world_.Close();
  test::TemporaryDirectory data;
  ReleaseOptions options;
  options.max_lag = 50;
  test::ReleaseWorld world(data.path(), options);
  world.CreateCollection();
  world.GoLive("r1", "a");
  EXPECT_TRUE(world.collections().AdmitWrite(kTenant, kCollection, WriteKind::kUpsert).ok());
  world.PutMany(0, 199);
  world.PutMany(0, 199);
  const absl::Status status = world.collections().AdmitWrite(kTenant, kCollection, WriteKind::kUpsert);
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_TRUE(RetryDelay(status).has_value());
  EXPECT_THAT(std::string(status.message()), HasSubstr("the limit is 50"));
  world.LiveAtHead();
  EXPECT_TRUE(world.collections().AdmitWrite(kTenant, kCollection, WriteKind::kUpsert).ok());
}

TEST_F(CollectionsTest, SealsAgainInTheBackgroundWhenTheFreshPartGrows) {
  world_.Close();
  test::TemporaryDirectory data;
  ReleaseOptions options;
  options.seal_fresh = 20;
  test::ReleaseWorld world(data.path(), options);
  world.CreateCollection();
  world.GoLive("r1", "a");
  test::Oracle oracle(&world);
  for (int i = 0; i < 10; ++i) {
    world.PutMany(i * 15, 15);
    EXPECT_EQ(oracle.Check(test::Ask(world, *world.LiveAtHead(), "w1")), "");
  }
  const ReleaseDirectory directory(CollectionDirectory(data.path(), kTenant, kCollection), "r1");
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  while (world.documents()->GetCursor("r1")->sealed_commit < 100 && absl::Now() < deadline) {
    absl::SleepFor(absl::Milliseconds(5));
  }
  EXPECT_GE(world.documents()->GetCursor("r1")->sealed_commit, 100);
  EXPECT_EQ(oracle.Check(test::Ask(world, *world.LiveAtHead(), "w1")), "");
  world.Restart();
  EXPECT_EQ(directory.SealedCommits()->size(), 1U);
  EXPECT_EQ(oracle.Check(test::Ask(world, *world.LiveAtHead(), "w1")), "");
}

TEST_F(CollectionsTest, EverythingIsThereAfterARestart) {
  world_.PutMany(0, 100);
  world_.GoLive("r1", "a");
  ASSERT_TRUE(world_.CreateRelease("r2", "b").ok());
  ASSERT_EQ(world_.WaitBuilt("r2").state, ReleaseState::kReady);
  world_.PutMany(100, 20);
  world_.Delete({"d3"});
  ExpectExactAtHead();
  world_.Restart();
  ASSERT_TRUE(Live().ok()) << Live().status();
  EXPECT_EQ((*Live())->id, "r1");
  ExpectExactAtHead();
  ASSERT_TRUE(world_.Promote("r2", "restarted").ok());
  ExpectExactAtHead();
  world_.Restart();
  EXPECT_EQ((*Live())->id, "r2");
  EXPECT_TRUE(world_.Promote("r1").ok()) << "the previous release is still there to go back to";
  ExpectExactAtHead();
}

TEST_F(CollectionsTest, ABuildGoesOnAfterARestart) {
  world_.PutMany(0, 199);
  ASSERT_TRUE(world_.CreateRelease("r1", "a").ok());
  world_.Restart();
  EXPECT_EQ(world_.WaitBuilt("r1").state, ReleaseState::kReady);
  ASSERT_TRUE(world_.Promote("r1").ok());
  ExpectExactAtHead();
}

TEST_F(CollectionsTest, ABuildThatWasCancelledIsNoLongerUnderWay) {
  world_.PutMany(0, 3000);
  ASSERT_TRUE(world_.CreateRelease("r1", "a").ok());
  EXPECT_TRUE(world_.collections().Progress(kTenant, kCollection, "r1")->under_way);
  ASSERT_TRUE(world_.collections().CancelRelease(kTenant, kCollection, "r1").ok());
  EXPECT_FALSE(world_.collections().Progress(kTenant, kCollection, "r1")->under_way);
}

TEST_F(CollectionsTest, ThePreviousReleaseStaysCloseBehindWhileWritersFloodTheLog) {
  world_.PutMany(0, 100);
  world_.GoLive("r1", "a");
  world_.GoLive("r2", "b");
  for (int i = 0; i < 20; ++i) world_.PutMany(i * 100, 100);
  int64_t most = 0, samples = 0;
  while ((*Live())->index->snapshot()->commit() < world_.documents()->head()) {
    // The live one is read first: what it gains between the two reads is not the previous one's lag.
    const int64_t live = (*Live())->index->snapshot()->commit();
    const int64_t previous = world_.collections().Progress(kTenant, kCollection, "r1")->cursor;
    most = std::max(most, live - previous);
    ++samples;
  }
  EXPECT_GT(samples, 20);
  EXPECT_LE(most, 8 + 128) << "the lag that calls for a step of the previous one, and a step of the live one";
}

TEST_F(CollectionsTest, ACollectionWithoutItsDocumentsIsDataLossAndTheOthersAreServed) {
  CollectionRecord other;
  other.tenant = kTenant;
  other.id = "other";
  ASSERT_TRUE(world_.collections().Create(other, nullptr).ok());
  world_.Close();
  std::filesystem::remove(DocumentsPath(CollectionDirectory(data_.path(), kTenant, "other")));
  world_.Open();
  EXPECT_TRUE(absl::IsDataLoss(world_.collections().Documents(kTenant, "other").status()));
  EXPECT_TRUE(world_.collections().Documents(kTenant, kCollection).ok());
  EXPECT_TRUE(world_.collections().Delete(kTenant, "other").ok());
  EXPECT_TRUE(absl::IsNotFound(world_.collections().Documents(kTenant, "other").status()));
}

TEST_F(CollectionsTest, StartRemovesWhatNoRowNames) {
  world_.PutMany(0, 3);
  world_.GoLive("r1", "a");
  const auto releases = ReleasesDirectory(CollectionDirectory(data_.path(), kTenant, kCollection));
  ASSERT_TRUE(world_.documents()->Advance("ghost", 1, {}, {}, 16).ok());
  world_.Close();
  std::filesystem::create_directories(releases / "ghost" / "sealed-1");
  std::filesystem::create_directories(releases / "r1" / ".staging-sealed-9");
  std::filesystem::create_directories(data_.path() / "collections" / kTenant / "gone" / "releases");
  world_.Open();
  EXPECT_FALSE(std::filesystem::exists(releases / "ghost"));
  EXPECT_FALSE(std::filesystem::exists(releases / "r1" / ".staging-sealed-9"));
  EXPECT_FALSE(std::filesystem::exists(data_.path() / "collections" / kTenant / "gone"));
  EXPECT_EQ(world_.documents()->GetCursor("ghost")->commit, 0);
  ExpectExactAtHead();
}

TEST_F(CollectionsTest, CreateReleaseNamesWhatIsMissing) {
  EXPECT_TRUE(absl::IsNotFound(world_.CreateRelease("r1", "nope").status()));
  ASSERT_TRUE(world_.CreateRelease("r1", "a").ok());
  EXPECT_TRUE(absl::IsAlreadyExists(world_.CreateRelease("r1", "b").status()));
  EXPECT_EQ(world_.WaitBuilt("r1").revision, "a");
  EXPECT_TRUE(absl::IsNotFound(world_.collections().Progress(kTenant, kCollection, "r2").status()));
}

TEST_F(CollectionsTest, CancellingABuildMakesItFailedAndRemovesItsFiles) {
  world_.PutMany(0, 5000);
  ASSERT_TRUE(world_.CreateRelease("r1", "a").ok());
  const auto cancelled = world_.collections().CancelRelease(kTenant, kCollection, "r1");
  ASSERT_TRUE(cancelled.ok()) << cancelled.status();
  EXPECT_EQ(cancelled->state, ReleaseState::kFailed);
  EXPECT_EQ(cancelled->error_code, static_cast<int>(absl::StatusCode::kCancelled));
  EXPECT_TRUE(absl::IsFailedPrecondition(world_.Promote("r1", "please").status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(world_.collections().CancelRelease(kTenant, kCollection, "r1").status()));
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  while (std::filesystem::exists(world_.ReleasePath("r1")) && absl::Now() < deadline) {
    absl::SleepFor(absl::Milliseconds(5));
  }
  EXPECT_FALSE(std::filesystem::exists(world_.ReleasePath("r1")));
  EXPECT_EQ(world_.documents()->GetCursor("r1")->commit, 0);
}

TEST_F(CollectionsTest, DeletedReleasesLeaveNothingForTheNextOfTheirName) {
  world_.PutMany(0, 30);
  world_.GoLive("r1", "a");
  EXPECT_TRUE(absl::IsFailedPrecondition(world_.collections().DeleteRelease(kTenant, kCollection, "r1")));
  ASSERT_TRUE(world_.CreateRelease("r2", "b").ok());
  ASSERT_EQ(world_.WaitBuilt("r2").state, ReleaseState::kReady);
  ASSERT_TRUE(world_.collections().DeleteRelease(kTenant, kCollection, "r2").ok());
  ASSERT_TRUE(world_.CreateRelease("r2", "a").ok());
  ASSERT_EQ(world_.WaitBuilt("r2").state, ReleaseState::kReady);
  ASSERT_TRUE(world_.Promote("r2", "the test says so").ok());
  ExpectExactAtHead();
  ASSERT_TRUE(world_.collections().DeleteRelease(kTenant, kCollection, "r1").ok()) << "PREVIOUS may be deleted";
  EXPECT_TRUE(world_.meta().GetCollection(kTenant, kCollection)->previous_release.empty());
  ExpectExactAtHead();
}

TEST_F(CollectionsTest, DeletingACollectionEndsWaitsAndLetsItBeMadeAgain) {
  world_.PutMany(0, 50);
  world_.GoLive("r1", "a");
  const std::shared_ptr<DocumentStore> held = world_.documents();
  absl::Status waited;
  std::thread waiter([&] {
    int64_t version = 0;
    while (waited.ok()) {
      const auto next = world_.collections().WaitForChange(kTenant, kCollection, version, absl::Seconds(30));
      waited = next.status();
      if (next.ok()) version = *next;
    }
  });
  ASSERT_TRUE(world_.collections().Delete(kTenant, kCollection).ok());
  waiter.join();
  EXPECT_FALSE(std::filesystem::exists(CollectionDirectory(data_.path(), kTenant, kCollection)));
  EXPECT_TRUE(absl::IsNotFound(Live().status()));
  EXPECT_EQ(held->head(), 50) << "a call may outlive Delete";
  world_.CreateCollection();
  EXPECT_EQ(world_.documents()->head(), 0);
  world_.PutMany(0, 5);
  world_.GoLive("r1", "b");
  test::Oracle oracle(&world_);
  EXPECT_EQ(oracle.Check(test::Ask(world_, *world_.LiveAtHead(), "w1")), "");
}

TEST_F(CollectionsTest, HnswReleasesServeAndKeepServingAfterARestart) {
  world_.PutMany(0, 199);
  world_.GoLive("r1", "a", IndexKind::kHnsw);
  world_.PutMany(0, 20);
  const auto hits = test::Ask(world_, *world_.LiveAtHead(), "w5").hits;
  ASSERT_EQ(hits.size(), 10U);
  EXPECT_EQ(world_.documents()->ReadVersions(std::vector<int64_t>{hits[0].label}, false)->at(0).id, "d5");
  world_.Restart();
  EXPECT_EQ(test::Ask(world_, *world_.LiveAtHead(), "w5").hits[0].label, hits[0].label);
}

TEST_F(CollectionsTest, TheVersionGrowsWithEachChange) {
  const auto seen = world_.collections().WaitForChange(kTenant, kCollection, 0, absl::ZeroDuration());
  ASSERT_TRUE(seen.ok());
  EXPECT_EQ(*world_.collections().WaitForChange(kTenant, kCollection, *seen, absl::Milliseconds(20)), *seen)
      << "nothing changed";
  ASSERT_TRUE(world_.CreateRelease("r1", "a").ok());
  EXPECT_GT(*world_.collections().WaitForChange(kTenant, kCollection, *seen, absl::Seconds(20)), *seen);
}

}  // namespace
}  // namespace tandem
