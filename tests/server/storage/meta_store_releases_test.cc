#include <SQLiteCpp/SQLiteCpp.h>

#include "server/base/status.h"
#include "tests/server/storage/storage_fixture.h"

namespace tandem {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class MetaStoreReleasesTest : public MetaStoreFixture {
 protected:
  void SetUp() override {
    MetaStoreFixture::SetUp();
    AddRevision("r1");
    CollectionRecord collection;
    collection.tenant = "t";
    collection.id = "c";
    collection.create_time = absl::Now();
    ASSERT_TRUE(store_->CreateCollection(collection, nullptr).ok());
  }
  ReleaseRecord Make(const std::string& id) {
    ReleaseRecord release;
    release.tenant = "t";
    release.collection = "c";
    release.id = id;
    release.create_time = absl::Now();
    release.model = "m";
    release.revision = "r1";
    release.index.kind = IndexKind::kHnsw;
    release.index.hnsw_m = 24;
    release.contract = store_->GetModelRevision("t", "m", "r1")->contract;
    return release;
  }
  void AddReady(const std::string& id) {
    ReleaseRecord release = Make(id);
    ASSERT_TRUE(store_->CreateRelease(release, nullptr).ok());
    release.state = ReleaseState::kReady;
    ASSERT_TRUE(store_->UpdateRelease(release).ok());
  }
  ReleaseState StateOf(const std::string& id) { return store_->GetRelease("t", "c", id)->state; }
  absl::StatusOr<CollectionRecord> Promote(const std::string& id, std::optional<int64_t> etag = std::nullopt) {
    return store_->PromoteRelease("t", "c", id, etag, std::nullopt, nullptr);
  }
  void AddSet(const std::string& id) {
    EvaluationSetRecord set;
    set.tenant = "t";
    set.collection = "c";
    set.id = id;
    set.query_count = 2;
    const std::vector<EvaluationQuery> queries = {{std::string("q\0", 2), {{"x", 3}, {"y", 100}}},
                                                  {"second", {{"z", 1}}}};
    ASSERT_TRUE(store_->CreateEvaluationSet(set, queries, nullptr).ok());
  }
};

TEST_F(MetaStoreReleasesTest, PromotionMovesBothPointersAndRetiresTheOldPrevious) {
  for (const char* id : {"a", "b", "c"}) AddReady(id);
  EXPECT_EQ(Promote("a")->live_release, "a");
  const CollectionRecord second = Promote("b").value();
  EXPECT_EQ(second.live_release, "b");
  EXPECT_EQ(second.previous_release, "a");
  EXPECT_EQ(second.etag, 3);
  EXPECT_EQ(Promote("c")->previous_release, "b");
  EXPECT_EQ(StateOf("a"), ReleaseState::kRetired);
  EXPECT_EQ(StateOf("b"), ReleaseState::kPrevious);
  EXPECT_EQ(StateOf("c"), ReleaseState::kLive);
  EXPECT_TRUE(store_->GetRelease("t", "c", "b")->demote_time.has_value());
  EXPECT_TRUE(store_->GetRelease("t", "c", "c")->promote_time.has_value());
}

TEST_F(MetaStoreReleasesTest, AnExternalCollectionSaysWhatItsVectorsAreAndItsReleasesNameNoModel) {
  CollectionRecord collection;
  collection.tenant = "t";
  collection.id = "external";
  collection.external = {.dimensions = 384, .metric = MetricKind::kInnerProduct};
  ASSERT_TRUE(store_->CreateCollection(collection, nullptr).ok());
  ReleaseRecord release = Make("a");
  release.collection = "external";
  release.model = release.revision = "";
  release.contract = {.dimensions = 384, .metric = MetricKind::kInnerProduct};
  ASSERT_TRUE(store_->CreateRelease(release, nullptr).ok());
  Reopen();
  const CollectionRecord stored = store_->GetCollection("t", "external").value();
  ASSERT_TRUE(stored.external.has_value());
  EXPECT_EQ(stored.external->dimensions, 384);
  EXPECT_EQ(stored.external->metric, MetricKind::kInnerProduct);
  EXPECT_FALSE(store_->GetCollection("t", "c")->external.has_value());
  const auto read = store_->GetRelease("t", "external", "a");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(read->external());
  EXPECT_EQ(read->contract, release.contract);
}

TEST_F(MetaStoreReleasesTest, RollingBackIsPromotingThePreviousOne) {
  for (const char* id : {"a", "b"}) AddReady(id);
  ASSERT_TRUE(Promote("a").ok() && Promote("b").ok());
  const CollectionRecord back = Promote("a").value();
  EXPECT_EQ(back.live_release, "a");
  EXPECT_EQ(back.previous_release, "b");
  EXPECT_EQ(StateOf("a"), ReleaseState::kLive);
  EXPECT_EQ(StateOf("b"), ReleaseState::kPrevious);
}

TEST_F(MetaStoreReleasesTest, PromotionRefusesAStaleEtagAndStatesThatMayNotBecomeLive) {
  AddReady("a");
  EXPECT_TRUE(absl::IsAborted(Promote("a", 7).status()));
  EXPECT_TRUE(Promote("a", 1).ok());
  EXPECT_THAT(std::string(Promote("a").status().message()), HasSubstr("is LIVE, cannot become LIVE"));
  ASSERT_TRUE(store_->CreateRelease(Make("b"), nullptr).ok());
  EXPECT_THAT(std::string(Promote("b").status().message()), HasSubstr("is BUILDING, cannot become LIVE"));
  EXPECT_TRUE(absl::IsNotFound(Promote("x").status()));
}

TEST_F(MetaStoreReleasesTest, UpdateReleaseTakesOnlyLegalSteps) {
  AddReady("a");
  ReleaseRecord release = store_->GetRelease("t", "c", "a").value();
  for (const ReleaseState state : {ReleaseState::kLive, ReleaseState::kBuilding, ReleaseState::kFailed}) {
    release.state = state;
    EXPECT_TRUE(absl::IsFailedPrecondition(store_->UpdateRelease(release)));
  }
  AddReady("b");
  ASSERT_TRUE(Promote("a").ok() && Promote("b").ok());
  release = store_->GetRelease("t", "c", "a").value();
  release.state = ReleaseState::kRetired;
  ASSERT_TRUE(store_->UpdateRelease(release).ok());
  EXPECT_EQ(store_->GetCollection("t", "c")->previous_release, "");
  EXPECT_EQ(Promote("a")->live_release, "a");
}

TEST_F(MetaStoreReleasesTest, AReleaseKeepsEveryField) {
  ReleaseRecord release = Make("a");
  release.index.ivf_lists = 65536;
  release.index.ivf_nprobe = 17;
  release.index.pq_subquantizers = 96;
  release.index.code_storage = CodeStorage::kFloat16;
  release.index.rerank_factor = 1000;
  ASSERT_TRUE(store_->CreateRelease(release, nullptr).ok());
  release.evaluation = Evaluation{"set", 9, {0.1, 0.2, 0.3, 0.4, 5}, 0.99};
  release.state = ReleaseState::kFailed;
  release.error_code = 15;
  release.error_message = "damaged";
  ASSERT_TRUE(store_->UpdateRelease(release).ok());
  Reopen();
  const ReleaseRecord read = store_->GetRelease("t", "c", "a").value();
  EXPECT_EQ(read.state, ReleaseState::kFailed);
  EXPECT_EQ(read.index.kind, IndexKind::kHnsw);
  EXPECT_EQ(read.index.hnsw_m, 24);
  EXPECT_EQ(read.index.ivf_lists, 65536);
  EXPECT_EQ(read.index.ivf_nprobe, 17);
  EXPECT_EQ(read.index.pq_subquantizers, 96);
  EXPECT_EQ(read.index.code_storage, CodeStorage::kFloat16);
  EXPECT_EQ(read.index.rerank_factor, 1000);
  EXPECT_EQ(read.contract, release.contract);
  EXPECT_EQ(read.evaluation->metrics.mrr_at_10, 0.3);
  EXPECT_EQ(read.evaluation->commit, 9);
  EXPECT_EQ(read.error_message, "damaged");
}

TEST_F(MetaStoreReleasesTest, ReleasesListNewestFirstAndALiveOneCannotBeDeleted) {
  for (const char* id : {"b", "a", "d"}) AddReady(id);
  const std::vector<ReleaseRecord> page = store_->ListReleases("t", "c", {2, ""}).value();
  ASSERT_EQ(page.size(), 2u);
  EXPECT_EQ(page[0].id, "d");
  EXPECT_EQ(store_->ListReleases("t", "c", {2, "a"})->at(0).id, "b");
  ASSERT_TRUE(Promote("a").ok() && Promote("b").ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(store_->DeleteRelease("t", "c", "b")));
  EXPECT_TRUE(store_->DeleteRelease("t", "c", "a").ok());
  EXPECT_EQ(store_->GetCollection("t", "c")->previous_release, "");
}

TEST_F(MetaStoreReleasesTest, ARevisionThatAReleaseUsesStays) {
  AddReady("a");
  EXPECT_THAT(std::string(store_->DeleteModelRevision("t", "m", "r1").message()),
              HasSubstr("collections/c/releases/a"));
  ReleaseRecord missing = Make("b");
  missing.revision = "r9";
  EXPECT_TRUE(absl::IsNotFound(store_->CreateRelease(missing, nullptr)));
}

TEST_F(MetaStoreReleasesTest, UpdateCollectionChecksEtagAndGate) {
  AddSet("e");
  CollectionRecord collection = store_->GetCollection("t", "c").value();
  collection.display_name = "shown";
  collection.gate = {"e", 0.02, 0.8, 0.1};
  collection.rollback_window = absl::Hours(2);
  EXPECT_TRUE(absl::IsAborted(store_->UpdateCollection(collection, 5).status()));
  const CollectionRecord updated = store_->UpdateCollection(collection, 1).value();
  EXPECT_EQ(updated.etag, 2);
  EXPECT_EQ(updated.gate.margin, 0.02);
  EXPECT_EQ(updated.rollback_window, absl::Hours(2));
  EXPECT_TRUE(absl::IsFailedPrecondition(store_->DeleteEvaluationSet("t", "c", "e")));
  collection.gate.evaluation_set = "none";
  EXPECT_TRUE(absl::IsNotFound(store_->UpdateCollection(collection, std::nullopt).status()));
  collection.gate.evaluation_set = "";
  ASSERT_TRUE(store_->UpdateCollection(collection, std::nullopt).ok());
  EXPECT_TRUE(store_->DeleteEvaluationSet("t", "c", "e").ok());
}

TEST_F(MetaStoreReleasesTest, EvaluationQueriesComeBackInOrder) {
  AddSet("e2");
  AddSet("e1");
  Reopen();
  const std::vector<EvaluationQuery> queries = store_->ReadEvaluationQueries("t", "c", "e1").value();
  ASSERT_EQ(queries.size(), 2u);
  EXPECT_EQ(queries[0].text, std::string("q\0", 2));
  EXPECT_EQ(queries[0].judgements[1].document, "y");
  EXPECT_EQ(queries[0].judgements[1].grade, 100);
  EXPECT_EQ(store_->ListEvaluationSets("t", "c", {1, ""})->at(0).id, "e1");
  EXPECT_EQ(store_->ListEvaluationSets("t", "c", {1, "e1"})->at(0).id, "e2");
  EXPECT_TRUE(absl::IsNotFound(store_->ReadEvaluationQueries("t", "c", "e3").status()));
}

TEST_F(MetaStoreReleasesTest, WhatTheGateSaidIsKeptWithTheRelease) {
  AddReady("a");
  AddReady("b");
  GateReport refused;
  refused.reason = "nDCG@10 is 0.1, \"its\" floor is 0.2";
  refused.candidate = Evaluation{.evaluation_set = "e", .commit = 7, .index_recall_at_10 = 0.5};
  refused.time = absl::FromUnixMicros(1'700'000'000'000'001);
  ReleaseRecord release = store_->GetRelease("t", "c", "a").value();
  release.gate = refused;
  ASSERT_TRUE(store_->UpdateRelease(release).ok());
  GateReport overridden = refused;
  overridden.overridden = true;
  overridden.override_reason = "we know better";
  overridden.overridden_by = "ipv4:10.0.0.7:4242";
  overridden.live = overridden.candidate;
  overridden.ndcg = {-0.5, -0.75, 0.25};
  ASSERT_TRUE(store_->PromoteRelease("t", "c", "b", std::nullopt, overridden, nullptr).ok());
  Reopen();
  const ReleaseRecord first = store_->GetRelease("t", "c", "a").value();
  ASSERT_TRUE(first.gate.has_value());
  EXPECT_FALSE(first.gate->passed || first.gate->overridden);
  EXPECT_EQ(first.gate->reason, refused.reason);
  EXPECT_EQ(first.gate->candidate->commit, 7);
  EXPECT_FALSE(first.gate->live.has_value());
  EXPECT_EQ(first.gate->time, refused.time);
  const ReleaseRecord second = store_->GetRelease("t", "c", "b").value();
  ASSERT_TRUE(second.gate.has_value());
  EXPECT_TRUE(second.gate->overridden);
  EXPECT_EQ(second.gate->override_reason, "we know better");
  EXPECT_EQ(second.gate->overridden_by, "ipv4:10.0.0.7:4242");
  EXPECT_EQ(second.gate->ndcg.lower, -0.75);
  // A promotion that asks no gate leaves what was said before.
  ASSERT_TRUE(Promote("a").ok());
  ASSERT_TRUE(Promote("b").ok());
  EXPECT_TRUE(store_->GetRelease("t", "c", "b")->gate->overridden);
}

TEST_F(MetaStoreReleasesTest, ReleasesOfTheFirstFormatHaveNoGateReport) {
  AddReady("a");
  store_.reset();
  {
    SQLite::Database first_format(File("meta.db").string(), SQLite::OPEN_READWRITE);
    first_format.exec(
        "ALTER TABLE releases DROP COLUMN gate; ALTER TABLE jobs DROP COLUMN datasets;"
        "ALTER TABLE revisions DROP COLUMN comparison; ALTER TABLE revisions DROP COLUMN sources;"
        "ALTER TABLE jobs DROP COLUMN collection;"
        "ALTER TABLE jobs DROP COLUMN target_dataset; ALTER TABLE jobs DROP COLUMN "
        "result;" TANDEM_TEST_UNDO_SINCE_MINING "PRAGMA user_version = 1");
  }
  Reopen();
  EXPECT_EQ(StateOf("a"), ReleaseState::kReady);
  EXPECT_FALSE(store_->GetRelease("t", "c", "a")->gate.has_value());
}

TEST_F(MetaStoreReleasesTest, DeleteCollectionTakesItsSetsAndReleasesAlong) {
  AddSet("e");
  AddReady("a");
  ASSERT_TRUE(store_->DeleteCollection("t", "c").ok());
  EXPECT_TRUE(absl::IsNotFound(store_->GetRelease("t", "c", "a").status()));
  EXPECT_TRUE(store_->DeleteModelRevision("t", "m", "r1").ok());
  EXPECT_TRUE(store_->AllCollections()->empty());
}

}  // namespace
}  // namespace tandem
