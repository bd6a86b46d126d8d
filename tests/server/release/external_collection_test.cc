// Collections whose clients bring the vectors, and what goes from the store once no release needs it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/release/collections.h"
#include "tests/support/release_world.h"
#include "tests/support/temporary_directory.h"

namespace tandem {
namespace {

using test::kCollection;
using test::kTenant;
using testing::HasSubstr;

constexpr int kDimensions = 8;

class ExternalCollectionTest : public testing::Test {
 protected:
  ExternalCollectionTest() {
    world_.CreateCollection(absl::Hours(1), {}, ExternalVectors{kDimensions, MetricKind::kInnerProduct});
  }
  static ReleaseOptions Options() {
    ReleaseOptions options;
    options.seal_fresh = 100;
    options.keep_versions = 0;
    options.prune_interval = absl::Milliseconds(50);
    return options;
  }
  // Document "d<i>" with a vector that begins with i and `value`.
  int64_t Put(int first, int count, float value) {
    std::vector<DocumentInput> documents;
    for (int i = first; i < first + count; ++i) {
      std::vector<float> vector(kDimensions);
      vector[0] = static_cast<float>(i);
      vector[1] = value;
      documents.push_back({Concat("d", i), "", "{}", std::move(vector)});
    }
    return world_.documents()->Upsert(documents)->commit;
  }
  std::vector<std::string> BestOf(const std::vector<float>& query, int k) {
    const auto live = world_.LiveAtHead();
    const auto hits = live->index->snapshot()->Search(query, {.k = k}).value();
    std::vector<int64_t> labels;
    for (const ScoredLabel& hit : hits) labels.push_back(hit.label);
    std::vector<std::string> ids;
    const std::vector<DocumentVersion> versions = world_.documents()->ReadVersions(labels, false).value();
    for (const DocumentVersion& version : versions) ids.push_back(version.id);
    return ids;
  }
  int64_t StoredVersions() { return static_cast<int64_t>(world_.documents()->ReadLog(0, 100000, 1 << 30)->size()); }
  // Waits until the store has so many versions.
  void ExpectPrunedTo(int64_t versions) {
    const absl::Time deadline = absl::Now() + absl::Seconds(30);
    while (StoredVersions() > versions && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(20));
    EXPECT_EQ(StoredVersions(), versions);
  }

  test::TemporaryDirectory data_;
  test::ReleaseWorld world_{data_.path(), Options()};
};

TEST_F(ExternalCollectionTest, IsBuiltPromotedFollowedAndOpenedAgainWithoutAModel) {
  Put(0, 300, 1);
  world_.GoLive("flat", "");
  EXPECT_EQ((*world_.collections().Live(kTenant, kCollection))->encoder, nullptr);
  EXPECT_THAT(BestOf({1, 0, 0, 0, 0, 0, 0, 0}, 3), testing::ElementsAre("d299", "d298", "d297"));
  Put(299, 1, -1000);
  Put(5, 1, 5000);
  world_.Delete({"d298"});
  EXPECT_THAT(BestOf({1, 1, 0, 0, 0, 0, 0, 0}, 2), testing::ElementsAre("d5", "d297"));
  world_.Restart();
  EXPECT_THAT(BestOf({1, 1, 0, 0, 0, 0, 0, 0}, 2), testing::ElementsAre("d5", "d297"));
}

TEST_F(ExternalCollectionTest, ReleasesAreJudgedByTheirIndexAlone) {
  Put(0, 500, 1);
  world_.GoLive("flat", "");
  ASSERT_TRUE(world_.CreateRelease("hnsw", "", IndexKind::kHnsw).ok());
  ASSERT_EQ(world_.WaitBuilt("hnsw").state, ReleaseState::kReady);
  const auto promoted = world_.Promote("hnsw");  // Without a reason.
  ASSERT_TRUE(promoted.ok()) << promoted.status();
  EXPECT_TRUE(promoted->gate->passed);
  EXPECT_GE(promoted->gate->candidate->index_recall_at_10, 0.9);
  EXPECT_EQ(BestOf({1, 0, 0, 0, 0, 0, 0, 0}, 1).at(0), "d499");
  EXPECT_TRUE(world_.Promote("flat").ok()) << "going back";
}

TEST_F(ExternalCollectionTest, AReleaseNamesARevisionExactlyWhereOneIsNeeded) {
  const auto named = world_.CreateRelease("r", "a");
  EXPECT_EQ(FieldPath(named.status()), "model_revision");
  EXPECT_THAT(std::string(named.status().message()), HasSubstr("must be empty"));
  world_.Close();
  test::TemporaryDirectory data;
  test::ReleaseWorld embedded(data.path(), {});
  embedded.CreateCollection();
  const auto unnamed = embedded.CreateRelease("r", "");
  EXPECT_EQ(FieldPath(unnamed.status()), "model_revision");
  EXPECT_THAT(std::string(unnamed.status().message()), HasSubstr("is needed"));
}

TEST_F(ExternalCollectionTest, WhatEveryReleaseHasSealedIsPruned) {
  Put(0, 200, 1);
  Put(0, 200, 2);
  world_.Delete({"d7"});
  ExpectPrunedTo(199);  // No release at all.
  world_.GoLive("r1", "");
  ASSERT_TRUE(world_.CreateRelease("r2", "").ok());
  ASSERT_EQ(world_.WaitBuilt("r2").state, ReleaseState::kReady);
  Put(0, 60, 3);
  world_.LiveAtHead();
  absl::SleepFor(absl::Milliseconds(500));
  EXPECT_EQ(StoredVersions(), 199 + 60) << "neither release has sealed them";
  Put(60, 140, 3);
  ExpectPrunedTo(200);  // Both seal at 100 fresh vectors.
  world_.Restart();
  EXPECT_THAT(BestOf({1, 0, 0, 0, 0, 0, 0, 0}, 2), testing::ElementsAre("d199", "d198"));
  ASSERT_TRUE(world_.Promote("r2").ok());
  EXPECT_THAT(BestOf({1, 0, 0, 0, 0, 0, 0, 0}, 2), testing::ElementsAre("d199", "d198"));
}

TEST_F(ExternalCollectionTest, ARetiredReleaseCatchesUpAfterPruning) {
  Put(0, 200, 1);
  world_.GoLive("r1", "");
  world_.GoLive("r2", "");
  world_.GoLive("r3", "");
  ASSERT_EQ(world_.WaitState("r1", ReleaseState::kRetired).state, ReleaseState::kRetired);
  for (int round = 2; round < 6; ++round) Put(0, 200, static_cast<float>(round));
  world_.Delete({"d199"});
  world_.LiveAtHead();
  absl::SleepFor(absl::Milliseconds(500));
  ASSERT_TRUE(world_.Promote("r1").ok());
  EXPECT_THAT(BestOf({1, 0, 0, 0, 0, 0, 0, 0}, 2), testing::ElementsAre("d198", "d197"));
  EXPECT_EQ(world_.LiveAtHead()->index->snapshot()->size(), 199);
}

TEST_F(ExternalCollectionTest, ARetiredReleaseThatHoldsBackTooMuchIsBuiltAgain) {
  Put(0, 200, 1);
  for (const char* id : {"r1", "r2", "r3"}) world_.GoLive(id, "");
  ASSERT_EQ(world_.WaitState("r1", ReleaseState::kRetired).state, ReleaseState::kRetired);
  for (int round = 2; round < 6; ++round) {
    Put(0, 200, static_cast<float>(round));
    world_.LiveAtHead();
  }
  ExpectPrunedTo(200);
  EXPECT_EQ(world_.Row("r1").state, ReleaseState::kRetired);
  ASSERT_TRUE(world_.Promote("r1").ok());
  EXPECT_EQ(world_.LiveAtHead()->index->snapshot()->size(), 200);
  EXPECT_THAT(BestOf({1, 0, 0, 0, 0, 0, 0, 0}, 2), testing::ElementsAre("d199", "d198"));
}

// Versions that replace each other within one step of the follower.
TEST_F(ExternalCollectionTest, ADocumentThatIsReplacedAgainAndAgainIsPruned) {
  Put(0, 10, 1);
  world_.GoLive("r1", "");
  for (int i = 0; i < 2000; ++i) Put(3, 1, static_cast<float>(i));
  world_.LiveAtHead();
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (StoredVersions() > 600 && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(20));
  EXPECT_LE(StoredVersions(), 600);
}

TEST_F(ExternalCollectionTest, AHeldSnapshotKeepsItsVersions) {
  Put(0, 200, 1);
  world_.GoLive("r1", "");
  const std::shared_ptr<DocumentStore> documents = world_.documents();
  DocumentStore::Pin pin = documents->PinVersions();
  const auto snapshot = world_.LiveAtHead()->index->snapshot();
  Put(0, 200, 2);
  world_.LiveAtHead();
  absl::SleepFor(absl::Milliseconds(500));
  const std::vector<ScoredLabel> hits = snapshot->Search(std::vector<float>(kDimensions, 1), {.k = 200}).value();
  ASSERT_EQ(hits.size(), 200U);
  for (const ScoredLabel& hit : hits) {
    const int64_t label[] = {hit.label};
    EXPECT_TRUE(documents->ReadVersions(label, true).ok());
  }
  pin.reset();
  ExpectPrunedTo(200);
}

}  // namespace
}  // namespace tandem
