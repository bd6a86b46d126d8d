// Comparisons of real releases with tiny encoders, against rankings and metrics that the test works out itself.
#include "server/jobs/comparison_job.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/files.h"
#include "server/base/random.h"
#include "server/base/strings.h"
#include "server/jobs/release_comparison.h"
#include "tests/support/release_world.h"
#include "tests/support/temporary_directory.h"

namespace tandem {
namespace {

using test::kCollection;
using test::kTenant;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<RetrievedDocument> Hits(const std::vector<std::string>& ids) {
  std::vector<RetrievedDocument> hits;
  for (const std::string& id : ids) hits.push_back({id, 1});
  return hits;
}

EvaluationQuery Asks(const std::string& text, const std::string& answer) { return {text, {{answer, 1}}}; }

TEST(ReleaseComparerTest, OverlapAndMetricsOfAHandMadeCase) {
  ReleaseComparer comparer(2, /*judged=*/true);
  EXPECT_EQ(comparer.hits(), 10);
  comparer.Add(Asks("lost", "a"), Hits({"a", "b", "c"}), Hits({"c", "b", "a"}));  // Rank 1, then 3.
  comparer.Add(Asks("kept", "x"), Hits({"x", "y"}), Hits({"x", "y"}));
  comparer.Add(Asks("found", "n"), Hits({"m"}), Hits({"m", "n"}));  // Not found, then rank 2.
  comparer.Add(Asks("nothing", "q"), {}, {});
  const ReleaseComparison comparison = comparer.Finish();
  EXPECT_EQ(comparison.queries, 4);
  EXPECT_EQ(comparison.top_k, 2);
  EXPECT_DOUBLE_EQ(comparison.overlap_at_k, (0.5 + 1 + 1 + 1) / 4);
  const double third = 1 / std::log2(4.0), second = 1 / std::log2(3.0);
  EXPECT_NEAR(comparison.first.metrics->ndcg_at_10, (1.0 + 1) / 4, 1e-12);
  EXPECT_NEAR(comparison.second.metrics->ndcg_at_10, (third + 1 + second) / 4, 1e-12);
  EXPECT_NEAR(comparison.ndcg->mean, (third + second - 1) / 4, 1e-12);
  EXPECT_NEAR(comparison.recall->mean, 0.25, 1e-12);
  EXPECT_NEAR(comparison.mrr->mean, (1.0 / 3 + 0.5 - 1) / 4, 1e-12);
  EXPECT_LT(comparison.ndcg->lower, comparison.ndcg->mean);
  EXPECT_GT(comparison.ndcg->upper, comparison.ndcg->mean);
  ASSERT_EQ(comparison.changed.size(), 2u);  // By how much nDCG changed.
  EXPECT_EQ(comparison.changed[0].text, "found");
  EXPECT_EQ(comparison.changed[1].text, "lost");
  EXPECT_THAT(comparison.changed[1].only_first, ElementsAre("a"));
  EXPECT_THAT(comparison.changed[1].only_second, ElementsAre("c"));
  EXPECT_EQ(comparison.changed[1].first_ndcg, 1);
  EXPECT_NEAR(*comparison.changed[1].second_ndcg, third, 1e-12);
}

TEST(ReleaseComparerTest, TheMostChangedOfManyStandFirstAndEqualOnesInTheirOrder) {
  constexpr int kQueries = 1000, kTop = 20;
  std::vector<std::pair<double, int>> expected;  // Minus the change, and the query.
  SplitMix64 random(7);
  ReleaseComparer comparer(kTop, /*judged=*/false);
  EXPECT_EQ(comparer.hits(), kTop);
  double overlaps = 0;
  for (int i = 0; i < kQueries; ++i) {
    const auto kept = static_cast<int>(random.Below(kTop + 1));
    std::vector<std::string> first, second;
    for (int j = 0; j < kTop; ++j) {
      first.push_back(Concat("a", j));
      second.push_back(j < kept ? Concat("a", j) : Concat("b", j));
    }
    comparer.Add({.text = Concat("q", i), .judgements = {}}, Hits(first), Hits(second));
    overlaps += kept / double{kTop};
    if (kept < kTop) expected.emplace_back(kept, i);
  }
  std::stable_sort(expected.begin(), expected.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  const ReleaseComparison comparison = comparer.Finish();
  EXPECT_NEAR(comparison.overlap_at_k, overlaps / kQueries, 1e-9);
  EXPECT_FALSE(comparison.ndcg.has_value());
  EXPECT_FALSE(comparison.first.metrics.has_value());
  ASSERT_EQ(comparison.changed.size(), kMostChangedQueries);
  for (size_t i = 0; i < kMostChangedQueries; ++i) {
    EXPECT_EQ(comparison.changed[i].text, Concat("q", expected[i].second)) << i;
    EXPECT_NEAR(comparison.changed[i].overlap, expected[i].first / kTop, 1e-9);
    EXPECT_LE(comparison.changed[i].only_first.size(), kMostDifferentDocuments);
  }
}

TEST(ReleaseComparerTest, TheFormOnDiskComesBackAndADamagedOneIsRefused) {
  ReleaseComparer comparer(3, /*judged=*/true);
  comparer.Add(Asks("one", "a"), Hits({"a", "b"}), Hits({"b", "c"}));
  comparer.Add(Asks("two", "c"), Hits({"a"}), Hits({"c"}));
  ReleaseComparison comparison = comparer.Finish();
  comparison.first = {"r1", 7, comparison.first.metrics};
  comparison.second = {"r2", 8, comparison.second.metrics};
  const nlohmann::json json = ToJson(comparison);
  const ReleaseComparison back = ReleaseComparisonFromJson(json).value();
  EXPECT_EQ(ToJson(back), json);
  EXPECT_EQ(back.first.release, "r1");
  EXPECT_EQ(back.second.commit, 8);
  EXPECT_EQ(back.second.metrics->queries, 2);
  for (const char* key : {"first", "changed"}) {
    nlohmann::json damaged = json;
    damaged.erase(key);
    EXPECT_TRUE(absl::IsInvalidArgument(ReleaseComparisonFromJson(damaged).status())) << key;
  }
}

class ComparisonJobTest : public testing::Test {
 protected:
  ComparisonJobTest() {
    world_.CreateCollection();
    world_.PutMany(0, 60);
    world_.CreateEvaluationSet("e", 40);
    world_.GoLive("r1", "a");
    EXPECT_TRUE(world_.CreateRelease("r2", "b").ok());
    EXPECT_EQ(world_.WaitBuilt("r2").state, ReleaseState::kReady);
    world_.LiveAtHead();
  }
  ComparisonRequest Request() const {
    return {.tenant = kTenant, .collection = kCollection, .first = "r1", .second = "r2", .evaluation_set = "e"};
  }
  absl::StatusOr<ComparisonPlan> Plan(const ComparisonRequest& request) {
    return PlanComparison(request, &world_.meta(), &world_.collections());
  }
  absl::StatusOr<ReleaseComparison> Attempt(const ComparisonPlan& plan, int64_t stop_at = INT64_MAX,
                                            const absl::Status& asked = absl::CancelledError("")) {
    const std::filesystem::path directory = data_.path() / "work";
    EXPECT_TRUE(CreateDirectories(directory).ok());
    if (!plan.input.empty()) {
      EXPECT_TRUE(WriteFileDurably(directory / kInputFile, plan.input).ok());
    }
    calls_ = 0;
    const ServerJob job{.record = plan.job,
                        .directory = directory,
                        .progress =
                            [&](int64_t step, int64_t total) {
                              EXPECT_LE(step, total);
                              return ++calls_ >= stop_at ? asked : absl::OkStatus();
                            },
                        .message = [](const std::string&) {}};
    const auto result =
        ComparisonBody({.meta = &world_.meta(), .collections = &world_.collections(), .queue = &world_.queue()})(job);
    if (!result.ok()) return result.status();
    return ReleaseComparisonFromJson(nlohmann::json::parse(*result));
  }
  ReleaseComparison Run(const ComparisonRequest& request) { return Attempt(Plan(request).value()).value(); }
  // Ids of the ten best documents of a release, which the oracle has found to be right.
  std::vector<std::string> Ranked(const std::string& release, const std::string& query) {
    const auto opened = world_.collections().Opened(kTenant, kCollection, release).value();
    const test::Answer answer = test::Ask(world_, *opened, query);
    EXPECT_EQ(oracle_.Check(answer), "");
    std::vector<int64_t> labels;
    for (const ScoredLabel& hit : answer.hits) labels.push_back(hit.label);
    std::vector<std::string> ids;
    const std::vector<DocumentVersion> versions = world_.documents()->ReadVersions(labels, false).value();
    for (const DocumentVersion& version : versions) {
      ids.push_back(version.id);
    }
    return ids;
  }

  test::TemporaryDirectory data_;
  test::ReleaseWorld world_{data_.path() / "data", {}};
  test::Oracle oracle_{&world_};
  int64_t calls_ = 0;
};

TEST_F(ComparisonJobTest, OverlapAndMetricsAreThoseOfTheTwoRankings) {
  const ReleaseComparison comparison = Run(Request());
  double overlap = 0, first_mrr = 0, second_mrr = 0;
  const auto reciprocal = [](const std::vector<std::string>& ids, const std::string& id) {
    const auto found = std::find(ids.begin(), ids.end(), id);
    return found == ids.end() ? 0.0 : 1.0 / static_cast<double>(found - ids.begin() + 1);
  };
  for (int i = 0; i < 40; ++i) {
    const std::vector<std::string> first = Ranked("r1", Concat("w", i)), second = Ranked("r2", Concat("w", i));
    const std::set<std::string> found(second.begin(), second.end());
    overlap += static_cast<double>(std::count_if(first.begin(), first.end(),
                                                 [&](const std::string& id) { return found.contains(id); })) /
               10;
    first_mrr += reciprocal(first, Concat("d", i));
    second_mrr += reciprocal(second, Concat("d", i));
  }
  EXPECT_EQ(comparison.queries, 40);
  EXPECT_NEAR(comparison.overlap_at_k, overlap / 40, 1e-9);
  EXPECT_LT(comparison.overlap_at_k, 1);  // The two encoders differ.
  EXPECT_NEAR(comparison.first.metrics->mrr_at_10, first_mrr / 40, 1e-9);
  EXPECT_NEAR(comparison.second.metrics->mrr_at_10, second_mrr / 40, 1e-9);
  EXPECT_EQ(comparison.first.release, "r1");
  EXPECT_EQ(comparison.second.release, "r2");
  EXPECT_EQ(comparison.first.commit, 60);
}

TEST_F(ComparisonJobTest, AReleaseThatFindsNothingIsSurelyWorse) {
  ASSERT_TRUE(world_.CreateRelease("r3", "blind").ok());
  ASSERT_EQ(world_.WaitBuilt("r3").state, ReleaseState::kReady);
  ComparisonRequest request = Request();
  request.second = "r3";
  const ReleaseComparison comparison = Run(request);
  EXPECT_LT(comparison.ndcg->upper, 0);
  EXPECT_FALSE(comparison.changed.empty());
  for (const ReleaseComparison::Query& query : comparison.changed) EXPECT_NE(*query.first_ndcg, *query.second_ndcg);
}

TEST_F(ComparisonJobTest, ReleasesOfOneRevisionAndEqualIndexesDoNotDiffer) {
  ASSERT_TRUE(world_.CreateRelease("r3", "a").ok());
  ASSERT_EQ(world_.WaitBuilt("r3").state, ReleaseState::kReady);
  ComparisonRequest request = Request();
  request.second = "r3";
  const ReleaseComparison comparison = Run(request);
  EXPECT_EQ(comparison.overlap_at_k, 1);
  EXPECT_EQ(comparison.ndcg->lower, 0);
  EXPECT_EQ(comparison.ndcg->upper, 0);
  EXPECT_TRUE(comparison.changed.empty());
}

TEST_F(ComparisonJobTest, TextsWithoutJudgementsAreComparedByTheirHits) {
  ComparisonRequest request = Request();
  request.evaluation_set.clear();
  request.queries = {"w1 w2", "w3", "\"quoted\"\n and more"};
  request.top_k = 10;
  const ReleaseComparison comparison = Run(request);
  EXPECT_EQ(comparison.queries, 3);
  EXPECT_FALSE(comparison.ndcg.has_value());
  double overlap = 0;
  for (const std::string& query : request.queries) {
    const std::vector<std::string> first = Ranked("r1", query), second = Ranked("r2", query);
    const std::set<std::string> found(second.begin(), second.end());
    for (const std::string& id : first) overlap += found.contains(id) ? 0.1 : 0;
  }
  EXPECT_NEAR(comparison.overlap_at_k, overlap / 3, 1e-9);
}

TEST_F(ComparisonJobTest, AnEndThatIsAskedForComesAtEachStepAndTheNextAttemptIsWhole) {
  world_.CreateEvaluationSet("many", 200);
  ComparisonRequest request = Request();
  request.evaluation_set = "many";
  const ComparisonPlan plan = Plan(request).value();
  const ReleaseComparison whole = Attempt(plan).value();
  const int64_t calls = calls_;
  ASSERT_GT(calls, 3);
  for (int64_t stop = 1; stop <= calls; ++stop) {
    EXPECT_TRUE(absl::IsCancelled(Attempt(plan, stop).status())) << stop;
    EXPECT_EQ(calls_, stop);
  }
  EXPECT_EQ(ToJson(Attempt(plan).value()), ToJson(whole));
}

TEST_F(ComparisonJobTest, WhatIsNotThereOrNotInMemoryIsRefused) {
  ComparisonRequest request = Request();
  request.second = "r9";
  EXPECT_TRUE(absl::IsNotFound(Plan(request).status()));
  request = Request();
  request.evaluation_set = "gone";
  EXPECT_TRUE(absl::IsNotFound(Plan(request).status()));
  world_.GoLive("r3", "b");
  world_.GoLive("r4", "a");  // r1 retires.
  world_.WaitState("r1", ReleaseState::kRetired);
  const absl::Status refused = Plan(Request()).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_THAT(refused.message(), HasSubstr("releases/r1 is RETIRED: must be LIVE, PREVIOUS or READY"));
}

TEST_F(ComparisonJobTest, AReleaseThatRetiresMeanwhileEndsTheJob) {
  const ComparisonPlan plan = Plan(Request()).value();
  world_.GoLive("r3", "b");
  world_.GoLive("r4", "a");
  world_.WaitState("r1", ReleaseState::kRetired);
  EXPECT_TRUE(absl::IsFailedPrecondition(Attempt(plan).status()));
}

}  // namespace
}  // namespace tandem
