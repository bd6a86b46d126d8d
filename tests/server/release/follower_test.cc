// What a crash can leave between any two steps of a follower, made by hand: each must open to the same index.
#include "server/release/follower.h"

#include <fstream>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "tests/server/release/follower_fixture.h"

namespace tandem {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

TEST_F(FollowerTest, FollowsWritesReplacementsAndDeletions) {
  world_.Put({{"a", "w1"}, {"b", "w2"}, {"c", "w3"}});  // 1, 2, 3
  auto follower = Open();
  Follow(*follower);
  EXPECT_THAT(Labels(*follower), ElementsAre(1, 2, 3));
  world_.Put({{"b", "w4"}});  // 4 replaces 2
  world_.Delete({"a"});       // 5 removes 1
  Follow(*follower);
  EXPECT_THAT(Labels(*follower), ElementsAre(3, 4));
  EXPECT_EQ(follower->cursor(), 5);
  EXPECT_EQ(follower->release()->index->snapshot()->commit(), 5);
  ExpectExact(*follower);
}

TEST_F(FollowerTest, StepStopsAtTheCommitItWasGiven) {
  world_.PutMany(0, 10);
  world_.Put({{"d0", "w50"}});  // 11 replaces 1
  auto follower = Open();
  ASSERT_TRUE(follower->Step(4, StepSize::kLong).ok());
  EXPECT_EQ(follower->cursor(), 4);
  EXPECT_THAT(Labels(*follower), ElementsAre(1, 2, 3, 4));  // Commit 4 still has the version that 11 replaces.
  ExpectExact(*follower);
  Follow(*follower);
  EXPECT_EQ(follower->cursor(), 11);
  ExpectExact(*follower);
}

TEST_F(FollowerTest, ABuilderPassesOverWhatIsSupersededWhenItStarts) {
  for (int i = 0; i < 5; ++i) world_.PutMany(0, 40);  // 200 versions of 40 documents.
  auto follower = Open(/*building=*/true);
  EXPECT_FALSE(follower->caught_up());
  EXPECT_EQ(follower->Progress().documents_total, 40);
  Follow(*follower);
  EXPECT_TRUE(follower->caught_up());
  EXPECT_EQ(follower->Progress().documents_done, 40);
  EXPECT_EQ(follower->Progress().documents_total, 40);
  EXPECT_EQ(documents_->ReadVectors("r", 0, 1000, 16)->commits.size(), 40);
  ExpectExact(*follower);
}

// The versions that an interrupted builder has embedded may be superseded by ones that the next run passes over.
TEST_F(FollowerTest, ABuilderThatWasInterruptedForgetsWhatWasReplacedTwiceMeanwhile) {
  world_.PutMany(0, 300);
  auto first = Open(/*building=*/true);
  ASSERT_TRUE(first->Step(documents_->head(), StepSize::kLong).ok());
  ASSERT_LT(first->cursor(), 300);
  first.reset();
  world_.Put({{"d0", "w100"}});
  world_.Put({{"d0", "w101"}});
  world_.Put({{"d1", "w102"}});
  world_.Delete({"d1"});
  auto second = Open(/*building=*/true);
  EXPECT_FALSE(second->caught_up());
  Follow(*second);
  EXPECT_EQ(second->release()->index->snapshot()->size(), 299);
  ExpectExact(*second);
}

TEST_F(FollowerTest, OpenShowsWhatWasStoredButNotYetVisibleWithoutEmbeddingIt) {
  world_.Put({{"a", "w1"}, {"b", "w2"}});
  auto follower = Open();
  Follow(*follower);
  follower.reset();
  world_.Put({{"a", "w3"}});  // 3 replaces 1
  const std::vector<float> vector(16, 0.25F);
  ASSERT_TRUE(documents_->Advance("r", 3, std::vector<int64_t>{3}, vector, 16).ok());  // Crash before Apply.
  follower = Open();
  EXPECT_EQ(follower->cursor(), 3);
  EXPECT_THAT(Labels(*follower), ElementsAre(2, 3));
  EXPECT_NEAR(std::abs((*follower->release()->index->snapshot()->Vector(3))[0]), 0.25, 1e-6)
      << "the stored vector, of length 1, as it was";
}

// The world's queue is not asked at all: it is not even there.
TEST_F(FollowerTest, AVersionWithTheSameTextTakesOverTheVector) {
  world_.PutMany(0, 300);
  auto follower = Open();
  Follow(*follower);
  EXPECT_EQ(follower->Progress().documents_taken_over, 0);
  Seal(*follower);
  follower.reset();
  world_.PutMany(0, 200);  // 301..500 with the texts of 1..200
  world_.PutMany(0, 150);  // Twice, so that some have the text of one that is never seen.
  world_.Delete({"d299"});
  follower = *Follower::Open(options_, record_, collection_directory_, encoder_, documents_, /*queue=*/nullptr, others_,
                             /*building=*/false);
  Follow(*follower);
  EXPECT_EQ(follower->Progress().documents_taken_over, 200);
  EXPECT_EQ(follower->release()->index->snapshot()->size(), 299);
  ExpectExact(*follower);
  follower = Open();  // What was taken over is stored.
  ExpectExact(*follower);
}

TEST_F(FollowerTest, OnlyNewTextsAmongManyAreEmbedded) {
  world_.PutMany(0, 300);
  auto follower = Open();
  Follow(*follower);
  for (int i = 0; i < 300; ++i) world_.Put({{Concat("d", i), i % 50 == 0 ? Concat("w", 400 + i) : Concat("w", i)}});
  world_.Put({{"d7", "w900"}});
  world_.Put({{"d7", "w7"}});  // Not the text of the version before.
  Follow(*follower);
  EXPECT_EQ(follower->Progress().documents_taken_over, 294);
  ExpectExact(*follower);
}

TEST_F(FollowerTest, ABuildTakesTheVectorsOfAnotherReleaseOfItsRevision) {
  for (int i = 0; i < 3; ++i) world_.PutMany(0, 200);
  auto donor = Open();
  Follow(*donor);
  donor->WriteSealed().IgnoreError();
  record_.id = "other";
  record_.index.kind = IndexKind::kHnsw;
  others_ = [&] { return KnownVectors::Snapshots{donor->release()->index->snapshot()}; };
  auto built = *Follower::Open(options_, record_, collection_directory_, encoder_, documents_, /*queue=*/nullptr,
                               others_, /*building=*/true);
  Follow(*built);
  EXPECT_EQ(built->Progress().documents_done, 200);
  EXPECT_EQ(built->Progress().documents_taken_over, 200);
  ExpectExact(*built);
  built.reset();
  world_.PutMany(200, 10);  // The other one has not seen these.
  auto again = Open();
  Follow(*again);
  EXPECT_EQ(again->Progress().documents_taken_over, 0);
  EXPECT_EQ(again->release()->index->snapshot()->size(), 210);
  ExpectExact(*again);
}

TEST_F(FollowerTest, TombstonesSinceTheSealAreThereAfterReopening) {
  world_.PutMany(0, 20);
  auto follower = Open();
  Follow(*follower);
  Seal(*follower);
  world_.Put({{"d0", "w90"}, {"d0b", "w91"}});
  world_.Delete({"d1", "d2"});
  world_.Put({{"d2", "w92"}});
  Follow(*follower);
  const std::vector<int64_t> labels = Labels(*follower);
  follower = Open();
  EXPECT_EQ(Labels(*follower), labels);
  EXPECT_EQ(follower->cursor(), documents_->head());
  ExpectExact(*follower);
}

TEST_F(FollowerTest, SealingDropsStoredVectorsAndTheOlderDirectory) {
  world_.PutMany(0, 10);
  auto follower = Open();
  Follow(*follower);
  Seal(*follower);
  EXPECT_FALSE(follower->HasUnsealed());
  world_.PutMany(10, 10);
  Follow(*follower);
  EXPECT_TRUE(follower->HasUnsealed());
  Seal(*follower);
  EXPECT_THAT(*Directory().SealedCommits(), ElementsAre(20));
  EXPECT_THAT(documents_->ReadVectors("r", 0, 100, 16)->commits, IsEmpty());
  EXPECT_EQ(documents_->GetCursor("r")->sealed_commit, 20);
  ExpectExact(*follower);
  follower = Open();
  ExpectExact(*follower);
}

TEST_F(FollowerTest, FollowingGoesOnWhileASealedDirectoryIsWritten) {
  world_.PutMany(0, 10);
  auto follower = Open();
  Follow(*follower);
  ASSERT_TRUE(follower->WriteSealed().ok());
  world_.Put({{"d3", "w80"}});
  world_.Delete({"d4"});
  world_.PutMany(20, 5);
  Follow(*follower);
  ASSERT_TRUE(follower->AdoptSealed().ok());
  EXPECT_EQ(follower->cursor(), documents_->head());
  ExpectExact(*follower);
  follower = Open();
  ExpectExact(*follower);
}

TEST_F(FollowerTest, ACrashBetweenPublishingAndMarkingUsesTheNewDirectory) {
  world_.PutMany(0, 10);
  auto follower = Open();
  Follow(*follower);
  Seal(*follower);
  world_.PutMany(5, 10);
  Follow(*follower);
  ASSERT_TRUE(follower->WriteSealed().ok());  // Published; the store still says 10, and has the vectors.
  follower.reset();
  ASSERT_THAT(*Directory().SealedCommits(), ElementsAre(20, 10));
  follower = Open();
  EXPECT_THAT(*Directory().SealedCommits(), ElementsAre(20));
  EXPECT_EQ(documents_->GetCursor("r")->sealed_commit, 20);
  ExpectExact(*follower);
}

TEST_F(FollowerTest, ADamagedDirectoryThatWasNotMarkedYetFallsBackToTheOneBefore) {
  world_.PutMany(0, 10);
  auto follower = Open();
  Follow(*follower);
  Seal(*follower);
  world_.PutMany(5, 10);
  Follow(*follower);
  ASSERT_TRUE(follower->WriteSealed().ok());
  follower.reset();
  std::ofstream(Directory().SealedPath(20) / "vectors.f32", std::ios::trunc) << "damage";
  follower = Open();
  EXPECT_TRUE(follower->caught_up());
  EXPECT_THAT(*Directory().SealedCommits(), ElementsAre(10));
  EXPECT_EQ(follower->cursor(), 20);
  ExpectExact(*follower);
}

TEST_F(FollowerTest, ACrashBeforeTheOldDirectoryIsRemovedLeavesTheNewOneInUse) {
  world_.PutMany(0, 10);
  auto follower = Open();
  Follow(*follower);
  Seal(*follower);
  std::filesystem::copy(Directory().SealedPath(10), data_.path() / "kept", std::filesystem::copy_options::recursive);
  world_.PutMany(5, 10);
  Follow(*follower);
  Seal(*follower);
  follower.reset();
  std::filesystem::rename(data_.path() / "kept", Directory().SealedPath(10));
  follower = Open();
  EXPECT_THAT(*Directory().SealedCommits(), ElementsAre(20));
  ExpectExact(*follower);
}

TEST_F(FollowerTest, ADamagedSealedDirectoryIsBuiltAgainAndNotServedUntilItIsWhole) {
  world_.PutMany(0, 200);
  auto follower = Open();
  Follow(*follower);
  Seal(*follower);
  follower.reset();
  std::ofstream(Directory().SealedPath(200) / "index.faiss", std::ios::trunc) << "damage";
  follower = Open();
  EXPECT_FALSE(follower->caught_up());
  EXPECT_EQ(follower->cursor(), 0);
  ASSERT_TRUE(follower->Step(documents_->head(), StepSize::kLong).ok());
  ASSERT_LT(follower->cursor(), 200);
  follower = Open();  // Interrupted once more: half an index is still not a whole one.
  EXPECT_FALSE(follower->caught_up());
  EXPECT_GT(follower->cursor(), 0);
  Follow(*follower);
  ExpectExact(*follower);
  follower = Open();
  EXPECT_TRUE(follower->caught_up());
  ExpectExact(*follower);
}

TEST_F(FollowerTest, WhatWasBuiltAgainIsTakenForWholeOnlyOnceItIsMarkedSo) {
  world_.PutMany(0, 50);
  auto follower = Open(/*building=*/true);
  Follow(*follower);
  Seal(*follower);
  follower.reset();
  std::filesystem::remove_all(Directory().SealedPath(50));
  follower = Open();
  EXPECT_TRUE(follower->rebuilding());
  Follow(*follower);
  EXPECT_TRUE(follower->caught_up() && follower->rebuilding());
  const int64_t head = world_.PutMany(50, 10);  // Shown by another in the meantime.
  follower = Open();
  EXPECT_FALSE(follower->caught_up()) << "a restart finds it without what was written since";
  Follow(*follower);
  EXPECT_EQ(follower->cursor(), head);
  ASSERT_TRUE(follower->MarkWhole().ok());
  world_.PutMany(60, 10);
  follower = Open();
  EXPECT_TRUE(follower->caught_up() && !follower->rebuilding());
}

TEST_F(FollowerTest, AMissingSealedDirectoryIsBuiltAgain) {
  world_.PutMany(0, 10);
  auto follower = Open();
  Follow(*follower);
  Seal(*follower);
  follower.reset();
  std::filesystem::remove_all(Directory().SealedPath(10));
  follower = Open();
  EXPECT_FALSE(follower->caught_up());
  Follow(*follower);
  EXPECT_THAT(Labels(*follower), testing::SizeIs(10));
  ExpectExact(*follower);
}

// DropFollower is done, the directory still there: it says more than the cursor and must not be used.
TEST_F(FollowerTest, ADirectoryAheadOfTheCursorIsNotUsed) {
  world_.PutMany(0, 10);
  auto follower = Open();
  Follow(*follower);
  Seal(*follower);
  follower.reset();
  ASSERT_TRUE(documents_->DropFollower("r").ok());
  follower = Open(/*building=*/true);
  EXPECT_EQ(follower->cursor(), 0);
  EXPECT_THAT(*Directory().SealedCommits(), IsEmpty());
  Follow(*follower);
  ExpectExact(*follower);
}

TEST_F(FollowerTest, ACollectionWhoseDocumentsAreAllGoneCanBeSealedAndOpened) {
  world_.PutMany(0, 3);
  auto follower = Open();
  Follow(*follower);
  world_.Delete({"d0", "d1", "d2"});
  Follow(*follower);
  Seal(*follower);
  follower = Open();
  EXPECT_EQ(follower->cursor(), 6);
  EXPECT_THAT(Labels(*follower), IsEmpty());
  ExpectExact(*follower);
}

TEST_F(FollowerTest, AnEmptyCollectionIsCaughtUpAtOnce) {
  auto follower = Open(/*building=*/true);
  EXPECT_TRUE(follower->caught_up());
  EXPECT_FALSE(follower->HasUnsealed());
}

TEST_F(FollowerTest, WantsSealWhenTheFreshPartOrTheTombstonesPassTheOption) {
  options_.seal_fresh = 10;
  world_.PutMany(0, 10);
  auto follower = Open();
  Follow(*follower);
  EXPECT_FALSE(follower->WantsSeal());
  world_.PutMany(10, 1);
  Follow(*follower);
  EXPECT_TRUE(follower->WantsSeal());
  Seal(*follower);
  EXPECT_FALSE(follower->WantsSeal());
  world_.Delete({"d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "d8", "d9", "d10"});
  Follow(*follower);
  EXPECT_TRUE(follower->WantsSeal());
}

TEST_F(FollowerTest, AnEncoderOfOtherDimensionsIsRefused) {
  record_.contract.dimensions = 8;
  EXPECT_TRUE(absl::IsDataLoss(TryOpen().status())) << TryOpen().status();
}

}  // namespace
}  // namespace tandem
