// Mining over a real collection with a tiny encoder, against a search of all documents that the test makes itself.
#include "server/jobs/mining_job.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/files.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "tests/support/release_world.h"
#include "tests/support/temporary_directory.h"

namespace tandem {
namespace {

using test::kCollection;
using test::kTenant;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsSubsetOf;

constexpr int kDocuments = 60;

Example Pair(std::string anchor, std::vector<std::string> positives, std::vector<std::string> negatives = {}) {
  return {.anchor = std::move(anchor), .positives = std::move(positives), .negatives = std::move(negatives)};
}

std::string Word(int i) { return Concat("w", i); }

// Ten pairs; each anchor is two words, and the positive of the first five is that of the last five, too.
std::vector<Example> TenPairs() {
  std::vector<Example> pairs;
  for (int i = 0; i < 5; ++i) pairs.push_back(Pair(Concat(Word(i), " ", Word(i + 10)), {Word(i)}));
  for (int i = 0; i < 5; ++i) pairs.push_back(Pair(Concat(Word(i), " ", Word(i + 10)), {Word(i + 10)}, {Word(i + 20)}));
  return pairs;
}

class MiningJobTest : public testing::Test {
 protected:
  MiningJobTest() {
    world_.CreateCollection();
    world_.PutMany(0, kDocuments);
    world_.Put({{"again", Word(30)}, {"and again", Word(30)}});
    world_.GoLive("r1", "a");
    world_.LiveAtHead();
  }

  void AddDataset(const std::string& id, const std::vector<Example>& examples) {
    ASSERT_TRUE(meta().CreateDataset(kTenant, id, "", nullptr).ok());
    ASSERT_TRUE(meta().AppendExamples(kTenant, id, {}, examples, "").ok());
  }
  MiningRequest Request(const std::string& dataset = "pairs") const {
    return {
        .tenant = kTenant, .dataset = {dataset, std::nullopt}, .collection = kCollection, .target_dataset = "mined"};
  }
  absl::StatusOr<JobRecord> Plan(const MiningRequest& request) {
    return PlanMining(request, &meta(), &world_.collections());
  }
  // The row of a job that runs.
  JobRecord Begin(const MiningRequest& request, const std::string& id = "j") {
    JobRecord job = Plan(request).value();
    job.id = id;
    EXPECT_TRUE(meta().CreateJob(job, nullptr).ok());
    job.state = JobState::kRunning;
    EXPECT_TRUE(meta().UpdateJob(job).ok());
    return job;
  }
  // One attempt; the end that is asked for comes at call `stop_at` of `progress`.
  absl::StatusOr<MiningResult> Attempt(const std::string& id, int64_t stop_at = INT64_MAX,
                                       const absl::Status& asked = absl::UnavailableError("the server stops")) {
    const JobRecord record = meta().GetJob(kTenant, id).value();
    const std::filesystem::path directory = data_.path() / "work" / id;
    EXPECT_TRUE(CreateDirectories(directory).ok());
    int64_t calls = 0;
    const ServerJob job{.record = record,
                        .directory = directory,
                        .progress =
                            [&](int64_t step, int64_t total) {
                              EXPECT_LE(step, total);
                              return ++calls >= stop_at ? asked : absl::OkStatus();
                            },
                        .message = [](const std::string&) {}};
    const auto result =
        MiningBody({.meta = &meta(), .collections = &world_.collections(), .queue = &world_.queue()})(job);
    calls_ = calls;
    if (!result.ok()) return result.status();
    return MiningResultFromJson(nlohmann::json::parse(*result));
  }
  MiningResult Run(const MiningRequest& request) { return Attempt(Begin(request).id).value(); }
  std::vector<Example> Examples(const std::string& dataset) {
    std::vector<Example> examples;
    const auto stored = meta().ReadExamples(kTenant, dataset, 0, 1 << 20, 1 << 20, 1 << 30);
    EXPECT_TRUE(stored.ok()) << stored.status();
    for (const StoredExample& each : *stored) examples.push_back(each.example);
    return examples;
  }

  std::vector<float> VectorOf(const std::string& text, InputRole role) {
    const auto live = world_.LiveAtHead();
    return world_.queue()
        .Embed(live->encoder, std::vector<std::string>{text}, role, EmbeddingPriority::kBulk, absl::InfiniteFuture())
        ->vectors;
  }
  double Score(const std::string& anchor, const std::string& text) {
    const std::vector<float> a = VectorOf(anchor, InputRole::kQuery), b = VectorOf(text, InputRole::kDocument);
    double product = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      product += double{a[i]} * b[i];
      aa += double{a[i]} * a[i];
      bb += double{b[i]} * b[i];
    }
    return product / std::sqrt(aa * bb);
  }
  // The texts of the documents, each once, best first, but for `without`.
  std::vector<std::pair<double, std::string>> Ranked(const std::string& anchor, const std::set<std::string>& without) {
    std::vector<std::pair<double, std::string>> ranked;
    for (int i = 0; i < kDocuments; ++i) {
      if (!without.contains(Word(i)) && Word(i) != anchor) ranked.emplace_back(Score(anchor, Word(i)), Word(i));
    }
    std::sort(ranked.begin(), ranked.end(), std::greater<>());
    return ranked;
  }

  MetaStore& meta() { return world_.meta(); }

  test::TemporaryDirectory data_;
  test::ReleaseWorld world_{data_.path() / "data", {}};
  int64_t calls_ = 0;  // Of progress, in the last attempt.
};

TEST_F(MiningJobTest, NegativesAreTheBestDocumentsThatAreNeitherPositiveNorGiven) {
  AddDataset("pairs", TenPairs());
  MiningRequest request = Request();
  request.options = {.negatives = 4, .min_rank = 2, .max_rank = 9};
  const MiningResult result = Run(request);
  const std::vector<Example> mined = Examples("mined"), given = TenPairs();
  ASSERT_EQ(mined.size(), given.size());
  for (size_t i = 0; i < given.size(); ++i) {
    EXPECT_EQ(mined[i].anchor, given[i].anchor);
    EXPECT_EQ(mined[i].positives, given[i].positives);
    std::vector<std::string> expected = given[i].negatives;
    std::set<std::string> without = {Word(i % 5), Word(i % 5 + 10)};  // Of both pairs of the anchor.
    without.insert(expected.begin(), expected.end());
    const auto ranked = Ranked(given[i].anchor, without);
    for (int rank = 2; rank < 6; ++rank) expected.push_back(ranked[rank - 1].second);
    EXPECT_EQ(mined[i].negatives, expected) << given[i].anchor;
  }
  EXPECT_EQ(result.pairs, 10);
  EXPECT_EQ(result.first_commit, 1);
  EXPECT_EQ(result.last_commit, 10);
  EXPECT_EQ(result.negatives, 40);
  EXPECT_EQ(result.pairs_without_negatives, 0);
  EXPECT_EQ(result.release, "r1");
  EXPECT_EQ(result.release_commit, kDocuments + 2);
}

TEST_F(MiningJobTest, DocumentsOfOneTextAreOneNegative) {
  AddDataset("pairs", {Pair("w30 w31", {"w31"})});
  MiningRequest request = Request();
  request.options = {.negatives = 58, .max_rank = 1000};
  EXPECT_EQ(Run(request).negatives, 58);  // Of 59 texts that are not the positive.
  const std::vector<std::string> negatives = Examples("mined")[0].negatives;
  EXPECT_EQ(std::set<std::string>(negatives.begin(), negatives.end()).size(), 58u);
  EXPECT_EQ(std::count(negatives.begin(), negatives.end(), "w30"), 1);
}

TEST_F(MiningJobTest, TheAnchorsOwnTextIsNoNegative) {
  AddDataset("pairs", {Pair("w7", {"w8"})});
  MiningRequest request = Request();
  request.options = {.negatives = 64, .max_rank = 1000};
  EXPECT_EQ(Run(request).negatives, kDocuments - 2);
  EXPECT_THAT(Examples("mined")[0].negatives, testing::Not(testing::Contains("w7")));
}

TEST_F(MiningJobTest, MarginsAreMeasuredFromTheLowestScoredPositiveWhetherItIsADocumentOrNot) {
  const std::string other = "w1 w2 w3";  // No document.
  AddDataset("pairs", {Pair("w1 w11", {"w1", "w11"}), Pair("w2 w12", {"w2", other})});
  MiningRequest request = Request();
  request.options = {.negatives = 64, .max_rank = 1000, .margin = 0.1};
  const MiningResult result = Run(request);
  double positives = 0, negatives = 0;
  int64_t count = 0;
  for (const Example& mined : Examples("mined")) {
    double lowest = 2;
    for (const std::string& positive : mined.positives) lowest = std::min(lowest, Score(mined.anchor, positive));
    positives += lowest;
    std::vector<std::string> expected;
    for (const auto& [score, text] : Ranked(mined.anchor, {mined.positives.begin(), mined.positives.end()})) {
      if (score > lowest - 0.1) continue;
      expected.push_back(text);
      negatives += score;
    }
    EXPECT_EQ(mined.negatives, expected) << mined.anchor;
    count += static_cast<int64_t>(expected.size());
  }
  EXPECT_EQ(result.negatives, count);
  EXPECT_NEAR(result.mean_positive_score, positives / 2, 1e-5);
  EXPECT_NEAR(result.mean_negative_score, negatives / static_cast<double>(count), 1e-5);
}

TEST_F(MiningJobTest, ARandomChoiceIsTheSameEachTimeAndOfTheCandidates) {
  AddDataset("pairs", TenPairs());
  MiningRequest request = Request();
  request.options = {.negatives = 3, .max_rank = 20, .sampling = NegativeMiningOptions::Sampling::kRandom, .seed = 7};
  Run(request);
  const std::vector<Example> first = Examples("mined");
  request.target_dataset = "again";
  ASSERT_TRUE(Attempt(Begin(request, "j2").id).ok());
  request.target_dataset = "other";
  request.options.seed = 8;
  ASSERT_TRUE(Attempt(Begin(request, "j3").id).ok());
  bool differs = false;
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(Examples("again")[i].negatives, first[i].negatives);
    differs |= Examples("other")[i].negatives != first[i].negatives;
    std::vector<std::string> candidates = TenPairs()[i].negatives;
    std::set<std::string> without = {Word(i % 5), Word(i % 5 + 10)};
    without.insert(candidates.begin(), candidates.end());
    const auto ranked = Ranked(first[i].anchor, without);
    for (int rank = 1; rank <= 20; ++rank) candidates.push_back(ranked[rank - 1].second);
    EXPECT_THAT(first[i].negatives, IsSubsetOf(candidates));
  }
  EXPECT_TRUE(differs);
}

TEST_F(MiningJobTest, APairHasSixtyFourNegativesAtMostAndKeepsItsOwn) {
  std::vector<std::string> own;
  for (int i = 0; i < 62; ++i) own.push_back(Concat("x", i));
  std::vector<std::string> full = own;
  full.insert(full.end(), {"x62", "x63"});
  AddDataset("pairs", {Pair("w1 w2", {"w1"}, own), Pair("w1 w2", {"w1"}, full)});
  MiningRequest request = Request();
  request.options.negatives = 5;
  const MiningResult result = Run(request);
  const std::vector<Example> mined = Examples("mined");
  EXPECT_EQ(mined[0].negatives.size(), 64u);
  EXPECT_TRUE(std::equal(own.begin(), own.end(), mined[0].negatives.begin()));
  EXPECT_EQ(mined[1].negatives, full);
  EXPECT_EQ(result.negatives, 2);
  EXPECT_EQ(result.pairs_without_negatives, 1);
}

TEST_F(MiningJobTest, PairsWithoutNegativesStayUnlessOnlyOthersAreWanted) {
  AddDataset("pairs", {Pair("w1", {"w1"}), Pair("w2 w3", {"w2"}, {"own"})});
  MiningRequest request = Request();
  request.options.max_score = -0.999;  // Nothing is that far away.
  const MiningResult all = Run(request);
  EXPECT_EQ(all.pairs, 2);
  EXPECT_EQ(all.pairs_without_negatives, 2);
  EXPECT_EQ(all.negatives, 0);
  EXPECT_EQ(all.mean_negative_score, 0);
  request.only_with_negatives = true;
  request.target_dataset = "only";
  const MiningResult only = Attempt(Begin(request, "j2").id).value();
  EXPECT_EQ(only.pairs, 1);
  EXPECT_EQ(only.pairs_without_negatives, 2);
  EXPECT_EQ(Examples("only")[0].anchor, "w2 w3");
}

TEST_F(MiningJobTest, AResultWithoutPairsIsAnEmptyDataset) {
  AddDataset("pairs", {Pair("w1", {"w1"})});
  MiningRequest request = Request();
  request.options.max_score = -0.999;
  request.only_with_negatives = true;
  const MiningResult result = Run(request);
  EXPECT_EQ(result.pairs, 0);
  EXPECT_EQ(result.first_commit, 0);
  EXPECT_EQ(result.last_commit, 0);
  EXPECT_EQ(meta().GetDataset(kTenant, "mined")->commit, 0);
}

TEST_F(MiningJobTest, OnlyTheExamplesUpToTheCommitAreMinedAndTheyGoBehindWhatTheTargetHas) {
  AddDataset("pairs", TenPairs());
  AddDataset("mined", {Pair("there", {"before"})});
  MiningRequest request = Request();
  request.dataset.commit = 3;
  const MiningResult result = Run(request);
  EXPECT_EQ(result.pairs, 3);
  EXPECT_EQ(result.first_commit, 2);
  EXPECT_EQ(result.last_commit, 4);
  EXPECT_EQ(Examples("mined")[0].anchor, "there");
}

TEST_F(MiningJobTest, AnEmptyTargetIsANewDataset) {
  AddDataset("pairs", TenPairs());
  MiningRequest request = Request();
  request.target_dataset.clear();
  const JobRecord job = Begin(request);
  EXPECT_FALSE(job.target_dataset.empty());
  ASSERT_TRUE(Attempt("j").ok());
  EXPECT_EQ(Examples(job.target_dataset).size(), 10u);
}

// Enough pairs for several appends.
std::vector<Example> ManyPairs() {
  std::vector<Example> pairs;
  for (int i = 0; i < 1100; ++i) pairs.push_back(Pair(Concat(Word(i % 60), " ", i), {Word(i % 60)}));
  return pairs;
}

TEST_F(MiningJobTest, AStopAtAnyPointNeitherLosesNorDoublesAPair) {
  AddDataset("pairs", ManyPairs());
  MiningRequest request = Request();
  request.options.negatives = 2;
  request.target_dataset = "whole";
  const MiningResult whole = Attempt(Begin(request, "whole").id).value();
  const std::vector<Example> expected = Examples("whole");
  ASSERT_EQ(expected.size(), 1100u);
  const int64_t calls = calls_;
  // In the first reading, in the search, between the file and the appends, and between appends.
  for (const int64_t stop : {int64_t{5}, calls - 20, calls - 3, calls - 2, calls - 1}) {
    const std::string id = Concat("stopped", stop);
    request.target_dataset = id;
    Begin(request, id);
    EXPECT_TRUE(absl::IsUnavailable(Attempt(id, stop).status())) << stop;
    const absl::StatusOr<DatasetRecord> part = meta().GetDataset(kTenant, id);
    EXPECT_EQ(part.ok(), stop >= calls - 2) << stop << " of " << calls;  // Three appends end with three calls.
    const MiningResult result = Attempt(id).value();
    EXPECT_EQ(result.pairs, whole.pairs);
    EXPECT_EQ(result.last_commit, 1100);
    EXPECT_EQ(result.negatives, whole.negatives);
    const std::vector<Example> mined = Examples(id);
    ASSERT_EQ(mined.size(), expected.size()) << stop;
    for (size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(mined[i].negatives, expected[i].negatives);
  }
}

TEST_F(MiningJobTest, ARestartAppendsWhatTheLastServerHadFoundWithoutSearchingAgain) {
  AddDataset("pairs", TenPairs());
  JobRecord job = Begin(Request());
  job.cancel_requested = true;  // The attempt ends just before its first append.
  ASSERT_TRUE(meta().UpdateJob(job).ok());
  EXPECT_TRUE(absl::IsCancelled(Attempt("j").status()));
  EXPECT_TRUE(absl::IsNotFound(meta().GetDataset(kTenant, "mined").status()));
  job.cancel_requested = false;
  ASSERT_TRUE(meta().UpdateJob(job).ok());
  world_.GoLive("r2", "blind");
  const MiningResult result = Attempt("j").value();
  EXPECT_EQ(result.release, "r1");
  EXPECT_EQ(Examples("mined").size(), 10u);
}

TEST_F(MiningJobTest, ACancelBeforeTheFirstAppendLeavesNothing) {
  AddDataset("pairs", ManyPairs());
  Begin(Request());
  for (const int64_t stop : {1, 1105}) {
    EXPECT_TRUE(absl::IsCancelled(Attempt("j", stop, absl::CancelledError("cancelled")).status()));
    EXPECT_TRUE(absl::IsNotFound(meta().GetDataset(kTenant, "mined").status()));
  }
}

TEST_F(MiningJobTest, AJobWhoseFilesAreGoneAfterAnAppendFails) {
  AddDataset("pairs", ManyPairs());
  Begin(Request());
  ASSERT_TRUE(Attempt("j").ok());
  ASSERT_TRUE(RemoveTree(data_.path() / "work/j").ok());
  EXPECT_TRUE(absl::IsDataLoss(Attempt("j").status()));
}

TEST_F(MiningJobTest, WhatCannotBeMinedIsRefusedWithItsField) {
  AddDataset("pairs", TenPairs());
  AddDataset("empty", {});
  AddDataset("mixed", {Pair("a", {"p"}), {.kind = ExampleKind::kText, .anchor = "x"}});
  AddDataset("texts", {{.kind = ExampleKind::kText, .anchor = "x"}});
  const auto refused = [&](const char* field, const char* what, MiningRequest request) {
    const absl::Status status = Plan(request).status();
    EXPECT_EQ(FieldPath(status), field) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(what));
  };
  refused("dataset", "datasets/empty: has no examples", Request("empty"));
  refused("dataset", "datasets/mixed: the example of commit 2 is a text", Request("mixed"));
  MiningRequest request = Request();
  request.dataset.commit = 11;
  refused("dataset_commit", "11: must be in [1, 10]", request);
  request = Request();
  request.target_dataset = "texts";
  refused("target_dataset", "datasets/texts: the example of commit 1 is a text", request);
  EXPECT_TRUE(absl::IsNotFound(Plan(Request("gone")).status()));
  request = Request();
  request.collection = "gone";
  EXPECT_TRUE(absl::IsNotFound(Plan(request).status()));
  request = Request("mixed");
  request.dataset.commit = 1;
  EXPECT_TRUE(Plan(request).ok());
}

TEST_F(MiningJobTest, ACollectionWithoutALiveReleaseIsRefused) {
  AddDataset("pairs", TenPairs());
  CollectionRecord record;
  record.tenant = kTenant;
  record.id = "new";
  ASSERT_TRUE(world_.collections().Create(record, nullptr).ok());
  MiningRequest request = Request();
  request.collection = "new";
  EXPECT_TRUE(absl::IsFailedPrecondition(Plan(request).status()));
}

}  // namespace
}  // namespace tandem
