// Promotion: who may go live, when, and what is in memory and on disk afterwards.
#include <atomic>
#include <functional>
#include <set>
#include <thread>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "server/base/strings.h"
#include "server/release/collections.h"
#include "tests/support/release_world.h"
#include "tests/support/temporary_directory.h"

namespace tandem {
namespace {

using test::kCollection;
using test::kTenant;
using testing::HasSubstr;

class PromotionTest : public testing::Test {
 protected:
  PromotionTest() {
    world_.CreateCollection();
    world_.PutMany(0, 60);
  }

  void Build(const std::string& id, const std::string& revision) {
    ASSERT_TRUE(world_.CreateRelease(id, revision).ok());
    ASSERT_EQ(world_.WaitBuilt(id).state, ReleaseState::kReady);
  }
  void UseEvaluationSet() {
    world_.CreateEvaluationSet("e", 40);
    GatePolicy gate;
    gate.evaluation_set = "e";
    world_.SetGate(gate);
  }
  std::string LiveId() { return (*world_.collections().Live(kTenant, kCollection))->id; }
  void ExpectExactAtHead() { EXPECT_EQ(oracle_.Check(test::Ask(world_, *world_.LiveAtHead(), "w3")), ""); }
  CollectionRecord Collection() { return *world_.meta().GetCollection(kTenant, kCollection); }

  test::TemporaryDirectory data_;
  test::ReleaseWorld world_{data_.path(), {}};
  test::Oracle oracle_{&world_};
};

TEST_F(PromotionTest, TheFirstReleaseIsJudgedByTheFloorsAlone) {
  Build("r1", "blind");
  const auto promoted = world_.Promote("r1");
  ASSERT_TRUE(promoted.ok()) << promoted.status();
  EXPECT_TRUE(promoted->gate->passed);
  EXPECT_FALSE(promoted->gate->overridden);
  EXPECT_FALSE(promoted->gate->live.has_value());
  EXPECT_EQ(promoted->release.state, ReleaseState::kLive);
  EXPECT_TRUE(promoted->release.promote_time.has_value());
  EXPECT_FALSE(promoted->previous.has_value());
  EXPECT_EQ(LiveId(), "r1");
  ExpectExactAtHead();
}

TEST_F(PromotionTest, AFloorOfNdcgNeedsAnEvaluationSet) {
  GatePolicy gate;
  gate.min_ndcg = 0.9;
  world_.SetGate(gate);
  Build("r1", "blind");
  EXPECT_THAT(std::string(world_.Promote("r1").status().message()), HasSubstr("evaluation set"));
  world_.CreateEvaluationSet("e", 40);
  gate.evaluation_set = "e";
  world_.SetGate(gate);
  const absl::Status refused = world_.Promote("r1").status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("its floor is 0.9000"));
  Build("r2", "a");
  EXPECT_TRUE(world_.Promote("r2").ok());
}

TEST_F(PromotionTest, ReplacingWithoutAnEvaluationSetIsRefusedUnlessOverridden) {
  Build("r1", "a");
  Build("r2", "b");
  ASSERT_TRUE(world_.Promote("r1").ok());
  const absl::Status refused = world_.Promote("r2").status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("gate.evaluation_set"));
  EXPECT_EQ(LiveId(), "r1");
  const auto overridden = world_.Promote("r2", "measured elsewhere");
  ASSERT_TRUE(overridden.ok()) << overridden.status();
  EXPECT_FALSE(overridden->gate->passed);
  EXPECT_TRUE(overridden->gate->overridden);
  EXPECT_EQ(overridden->gate->override_reason, "measured elsewhere");
  EXPECT_EQ(overridden->gate->overridden_by, "the tests");
  EXPECT_THAT(overridden->gate->reason, HasSubstr("gate.evaluation_set")) << "what the gate said is kept";
  ASSERT_TRUE(world_.Row("r2").gate.has_value()) << "and recorded with the release";
  EXPECT_EQ(world_.Row("r2").gate->override_reason, "measured elsewhere");
  EXPECT_EQ(world_.Row("r2").gate->overridden_by, "the tests");
  EXPECT_EQ(LiveId(), "r2");
  EXPECT_EQ(world_.Row("r1").state, ReleaseState::kPrevious);
}

TEST_F(PromotionTest, AWorseReleaseIsRefusedWithTheFiguresAndABetterOnePasses) {
  UseEvaluationSet();
  Build("good", "a");
  Build("bad", "blind");
  ASSERT_TRUE(world_.Promote("good").ok());
  const absl::Status refused = world_.Promote("bad").status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("against 1.0000 of the live release"));
  EXPECT_EQ(LiveId(), "good");
  ASSERT_TRUE(world_.Promote("bad", "to see it fail").ok());
  EXPECT_EQ(LiveId(), "bad");
  Build("better", "b");
  const auto promoted = world_.Promote("better");
  ASSERT_TRUE(promoted.ok()) << promoted.status();
  EXPECT_TRUE(promoted->gate->passed);
  EXPECT_GT(promoted->gate->ndcg.lower, 0);
  ASSERT_TRUE(promoted->gate->candidate && promoted->gate->live);
  EXPECT_EQ(promoted->gate->candidate->commit, promoted->gate->live->commit);
  EXPECT_EQ(world_.Row("bad").state, ReleaseState::kPrevious);
  EXPECT_EQ(world_.Row("good").state, ReleaseState::kRetired);
  ExpectExactAtHead();
}

TEST_F(PromotionTest, BothAreMeasuredAtTheStateOfThePromotion) {
  UseEvaluationSet();
  Build("r1", "a");
  ASSERT_TRUE(world_.Promote("r1").ok());
  Build("r2", "b");
  const int64_t head = world_.Delete({"d1", "d2", "d3"});  // Three of forty answers are gone: nDCG falls for both.
  const auto promoted = world_.Promote("r2");
  ASSERT_TRUE(promoted.ok()) << promoted.status();
  EXPECT_EQ(promoted->gate->candidate->commit, promoted->gate->live->commit);
  EXPECT_LE(promoted->gate->live->commit, head);
  world_.LiveAtHead();
  Build("r3", "a");
  const auto next = world_.Promote("r3");
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_EQ(next->gate->live->commit, head);
  EXPECT_NEAR(next->gate->live->metrics.ndcg_at_10, 37.0 / 40, 1e-9);
  EXPECT_EQ(world_.Row("r2").evaluation->commit, head) << "the newest evaluation is kept with the release";
}

TEST_F(PromotionTest, RollingBackAsksNoGateAndGoesBackAndForth) {
  UseEvaluationSet();
  Build("good", "a");
  Build("bad", "blind");
  ASSERT_TRUE(world_.Promote("good").ok());
  ASSERT_TRUE(world_.Promote("bad", "a mistake").ok());
  world_.PutMany(60, 30);
  const auto back = world_.Promote("good");
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_FALSE(back->gate.has_value()) << "going back asks no gate";
  EXPECT_EQ(back->previous->id, "bad");
  ExpectExactAtHead();
  EXPECT_TRUE(world_.Promote("bad").ok()) << "the previous release is promoted without the gate";
  EXPECT_EQ(LiveId(), "bad");
  ExpectExactAtHead();
}

TEST_F(PromotionTest, ThePromotedReleaseNeverHasLessThanTheLiveOneHad) {
  Build("r1", "a");
  Build("r2", "b");
  ASSERT_TRUE(world_.Promote("r1").ok());
  const char* next = "r2";
  for (int round = 0; round < 10; ++round) {
    const int64_t commit = world_.PutMany(round * 10, 30);
    const auto before =
        world_.collections().LiveAt(kTenant, kCollection, commit, {.deadline = absl::Now() + absl::Seconds(30)});
    ASSERT_TRUE(before.ok());
    ASSERT_TRUE(world_.Promote(next, "round and round").ok());
    EXPECT_GE((*world_.collections().Live(kTenant, kCollection))->index->snapshot()->commit(), commit);
    next = std::string_view(next) == "r2" ? "r1" : "r2";
    ExpectExactAtHead();
  }
}

TEST_F(PromotionTest, AReleaseThatIsReplacedAnswersTheCallsThatHoldIt) {
  Build("r1", "a");
  Build("r2", "b");
  ASSERT_TRUE(world_.Promote("r1").ok());
  const auto held = world_.LiveAtHead();
  ASSERT_TRUE(world_.Promote("r2", "swap").ok());
  EXPECT_EQ(held->id, "r1");
  EXPECT_EQ(oracle_.Check(test::Ask(world_, *held, "w3")), "");
}

TEST_F(PromotionTest, StaleEtagIsAborted) {
  Build("r1", "a");
  const int64_t etag = Collection().etag;
  EXPECT_TRUE(absl::IsAborted(world_.Promote("r1", "", etag + 1).status()));
  ASSERT_TRUE(world_.Promote("r1", "", etag).ok());
  EXPECT_EQ(Collection().etag, etag + 1);
  Build("r2", "b");
  EXPECT_TRUE(absl::IsAborted(world_.Promote("r2", "over", etag).status()));
  EXPECT_EQ(LiveId(), "r1");
}

TEST_F(PromotionTest, OfConcurrentPromotionsWithOneEtagOneWins) {
  Build("r1", "a");
  Build("r2", "b");
  Build("r3", "a");
  ASSERT_TRUE(world_.Promote("r1").ok());
  const int64_t etag = Collection().etag;
  absl::Status second, third;
  std::thread a([&] { second = world_.Promote("r2", "over", etag).status(); });
  std::thread b([&] { third = world_.Promote("r3", "over", etag).status(); });
  a.join();
  b.join();
  EXPECT_NE(second.ok(), third.ok()) << second << " " << third;
  EXPECT_TRUE(absl::IsAborted(second.ok() ? third : second));
  EXPECT_EQ(LiveId(), second.ok() ? "r2" : "r3");
}

TEST_F(PromotionTest, TheLiveReleaseAndUnknownOnesCannotBePromoted) {
  Build("r1", "a");
  ASSERT_TRUE(world_.Promote("r1").ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(world_.Promote("r1").status()));
  EXPECT_TRUE(absl::IsNotFound(world_.Promote("r9").status()));
}

TEST_F(PromotionTest, AfterItsRollbackWindowAReleaseRetiresAndCatchesUpWhenPromoted) {
  world_.Close();
  test::TemporaryDirectory data;
  test::ReleaseWorld world(data.path(), {});
  world.CreateCollection(/*rollback_window=*/absl::ZeroDuration());
  world.PutMany(0, 50);
  world.GoLive("r1", "a");
  world.GoLive("r2", "b");
  world.WaitState("r1", ReleaseState::kRetired);
  EXPECT_TRUE(world.meta().GetCollection(kTenant, kCollection)->previous_release.empty());
  // What was embedded before, replaced twice while nobody followed, must be gone when it answers again.
  world.PutMany(0, 10);
  world.PutMany(0, 10);
  world.Delete({"d20"});
  world.LiveAtHead();
  EXPECT_LT(world.documents()->GetCursor("r1")->commit, world.documents()->head()) << "RETIRED follows no more";
  EXPECT_TRUE(absl::IsFailedPrecondition(world.Promote("r1").status())) << "its window has passed: the gate is asked";
  EXPECT_EQ(world.Row("r1").state, ReleaseState::kRetired);
  ASSERT_TRUE(world.Row("r1").gate.has_value()) << "a refusal is recorded";
  EXPECT_FALSE(world.Row("r1").gate->passed || world.Row("r1").gate->overridden);
  EXPECT_FALSE(world.collections().Progress(kTenant, kCollection, "r1")->under_way);
  world.PutMany(50, 2000);  // So much to catch up with that it can be watched.
  std::atomic<bool> done{false};
  std::set<int64_t> cursors;
  std::thread watcher([&] {
    while (!done) {
      const auto progress = world.collections().Progress(kTenant, kCollection, "r1");
      if (progress.ok() && progress->under_way) cursors.insert(progress->cursor);
      absl::SleepFor(absl::Milliseconds(1));
    }
  });
  const auto promoted = world.Promote("r1", "back again");
  done = true;
  watcher.join();
  ASSERT_TRUE(promoted.ok()) << promoted.status();
  EXPECT_GT(cursors.size(), 3U) << "its cursor is seen to grow while it catches up";
  test::Oracle oracle(&world);
  for (const char* query : {"w0", "w5", "w20"})
    EXPECT_EQ(oracle.Check(test::Ask(world, *world.LiveAtHead(), query)), "");
  EXPECT_EQ((*world.collections().Live(kTenant, kCollection))->id, "r1");
}

TEST_F(PromotionTest, APromotionPastItsDeadlineChangesNothing) {
  Build("r1", "a");
  const absl::Status status = world_.Promote("r1", "", std::nullopt, -absl::Seconds(1)).status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_EQ(world_.Row("r1").state, ReleaseState::kReady);
  EXPECT_TRUE(world_.Promote("r1").ok());
}

// The caller goes away at each of the moments at which a promotion asks for it; the last is right before the swap.
TEST_F(PromotionTest, ACallerWhoIsGoneAtAnyMomentLeavesTheLiveReleaseLive) {
  UseEvaluationSet();
  Build("r1", "a");
  Build("r2", "b");
  ASSERT_TRUE(world_.Promote("r1").ok());
  const int64_t etag = Collection().etag;
  int moments = 0;
  for (absl::Status status = absl::CancelledError(); !status.ok(); ++moments) {
    ASSERT_LT(moments, 100);
    int asked = 0;
    const Patience patience{.gone = [&] { return asked++ >= moments; }};
    status = world_.collections().Promote(kTenant, kCollection, "r2", etag, {"over", "tester"}, patience, nullptr)
                 .status();
    if (status.ok()) break;
    ASSERT_TRUE(absl::IsCancelled(status)) << status;
    EXPECT_EQ(LiveId(), "r1");
    EXPECT_EQ(Collection().live_release, "r1");
    EXPECT_EQ(Collection().etag, etag);
    EXPECT_EQ(world_.Row("r2").state, ReleaseState::kReady);
  }
  EXPECT_GE(moments, 2) << "asked at the beginning and before the swap";
  EXPECT_EQ(LiveId(), "r2");
  ExpectExactAtHead();
}

TEST_F(PromotionTest, ACancelledPromotionEndsSoonWhetherItWaitsOrEvaluates) {
  Build("r1", "a");
  Build("r2", "b");
  Build("r3", "b");
  ASSERT_TRUE(world_.Promote("r1").ok());
  world_.CreateEvaluationSet("e", 50'000);  // Takes long.
  GatePolicy gate;
  gate.evaluation_set = "e";
  world_.SetGate(gate);
  std::atomic<int> asked = 0;
  std::atomic<bool> gone = false;
  const auto promote = [&](const char* id, std::function<bool()> is_gone) {
    const Patience patience{.gone = std::move(is_gone)};
    return world_.collections().Promote(kTenant, kCollection, id, std::nullopt, {}, patience, nullptr).status();
  };
  absl::Status evaluates;
  std::thread first([&] { evaluates = promote("r2", [&] { return ++asked > 0 && gone; }); });
  while (asked < 3) absl::SleepFor(absl::Milliseconds(1));  // By then it evaluates.
  int calls = 0;
  const absl::Status waits = promote("r3", [&] { return calls++ > 1; });
  gone = true;
  first.join();
  EXPECT_TRUE(absl::IsCancelled(waits)) << waits;
  EXPECT_THAT(std::string(waits.message()), HasSubstr("the promotion of r2 was still under way"));
  EXPECT_TRUE(absl::IsCancelled(evaluates)) << evaluates;
  EXPECT_EQ(LiveId(), "r1");
}

}  // namespace
}  // namespace tandem
