// Search on a real collection with a tiny encoder that tells texts apart by their words.
#include "server/search/searcher.h"

#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include <sys/resource.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "server/base/ids.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "tests/support/release_world.h"
#include "tests/support/temporary_directory.h"

namespace tandem {
namespace {

using test::kCollection;
using test::kTenant;
using testing::HasSubstr;

// Of this process, since it began.
int64_t PeakKilobytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

class SearcherTest : public testing::Test {
 protected:
  SearcherTest() {
    world_.CreateCollection();
    head_ = world_.PutMany(0, 60);
    world_.GoLive("r1", "a");
    world_.LiveAtHead();
  }

  absl::StatusOr<SearchAnswers> Ask(const std::vector<SearchQuery>& queries,
                                    absl::Duration patience = absl::Seconds(30)) {
    return searcher_.Search(kTenant, kCollection, queries, {head_, {.deadline = absl::Now() + patience}});
  }
  static std::vector<std::string> Ids(const SearchAnswer& answer) {
    std::vector<std::string> ids;
    for (const SearchHit& hit : answer.hits) ids.push_back(hit.id);
    return ids;
  }
  std::vector<float> VectorOf(const std::string& id) {
    const auto live = world_.LiveAtHead();
    const auto stored = live->index->snapshot()->Vector(world_.documents()->Get(id)->commit);
    return {stored->begin(), stored->end()};
  }
  static SearchQuery Text(const std::string& text) { return {.query = TextQuery{text}}; }
  static SearchQuery Documents(std::vector<std::string> ids) { return {.query = DocumentsQuery{std::move(ids)}}; }
  SearchQuery Vector(std::vector<float> vector, const std::string& revision = "a") {
    return {.query = VectorQuery{std::move(vector), "m", revision}};
  }

  test::TemporaryDirectory data_;
  test::ReleaseWorld world_{data_.path(), {}};
  Searcher searcher_{&world_.collections(), &world_.queue()};
  int64_t head_ = 0;
};

TEST_F(SearcherTest, WhereClientsBringVectorsOnlyTheyAndDocumentsFindAnything) {
  world_.Close();
  test::TemporaryDirectory data;
  test::ReleaseWorld world(data.path(), {});
  world.CreateCollection(absl::Hours(1), {}, ExternalVectors{2, MetricKind::kCosine});
  ASSERT_TRUE(world.documents()
                  ->Upsert({{"east", "", "{}", {1, 0}}, {"north", "", "{}", {0, 1}}, {"north-east", "", "{}", {2, 2}}})
                  .ok());
  world.GoLive("r1", "");
  Searcher searcher(&world.collections(), &world.queue());
  const auto ask = [&](const SearchQuery& query) { return searcher.Search(kTenant, kCollection, {query}, {}); };
  const auto found = ask({.query = VectorQuery{{3, 1}, "", ""}});
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_THAT(Ids(found->answers[0]), testing::ElementsAre("east", "north-east", "north"));
  EXPECT_THAT(Ids(ask(Documents({"north"}))->answers[0]), testing::ElementsAre("north-east", "east"));
  EXPECT_EQ(FieldPath(ask(Text("north")).status()), "text");
  EXPECT_EQ(FieldPath(ask({.query = VectorQuery{{3, 1}, "m", "a"}}).status()), "vector.model_revision");
  EXPECT_EQ(FieldPath(ask({.query = VectorQuery{{3, 1, 2}, "", ""}}).status()), "vector.vector");
}

TEST_F(SearcherTest, AVectorOfNoRevisionMeansNothingToAnEncoder) {
  EXPECT_EQ(FieldPath(Ask({{.query = VectorQuery{VectorOf("d1"), "", ""}}}).status()), "vector.model_revision");
}

TEST_F(SearcherTest, TextFindsItsDocumentAndNamesReleaseAndCommit) {
  const auto answers = Ask({Text("w7")});
  ASSERT_TRUE(answers.ok()) << answers.status();
  EXPECT_EQ(answers->release, "r1");
  EXPECT_EQ(answers->commit, head_);
  const SearchAnswer& answer = answers->answers.at(0);
  ASSERT_EQ(answer.hits.size(), 10u);
  EXPECT_EQ(answer.hits[0].id, "d7");
  EXPECT_NEAR(answer.hits[0].score, 1, 1e-5);
  EXPECT_EQ(answer.hits[0].document.text, "w7");
  EXPECT_FALSE(answer.truncated);
  EXPECT_TRUE(ValidId(answer.search_id));
}

TEST_F(SearcherTest, BatchEqualsTheSameQueriesOneByOne) {
  const std::vector<SearchQuery> queries = {Text("w3"), Vector(VectorOf("d9")), Documents({"d5"}), Text("w3 w4")};
  const auto batch = Ask(queries);
  ASSERT_TRUE(batch.ok()) << batch.status();
  ASSERT_EQ(batch->answers.size(), queries.size());
  std::set<std::string> search_ids;
  for (size_t i = 0; i < queries.size(); ++i) {
    const auto single = Ask({queries[i]});
    ASSERT_TRUE(single.ok()) << single.status();
    EXPECT_EQ(Ids(batch->answers[i]), Ids(single->answers[0])) << i;
    search_ids.insert(batch->answers[i].search_id);
  }
  EXPECT_EQ(search_ids.size(), queries.size());
}

TEST_F(SearcherTest, OffsetContinuesWhereTopKEnded) {
  SearchQuery all = Text("w7");
  all.top_k = 60;
  const std::vector<std::string> expected = Ids(Ask({all})->answers[0]);
  ASSERT_EQ(expected.size(), 60u);
  std::vector<std::string> pages;
  for (int offset = 0; offset < 77; offset += 7) {
    SearchQuery page = Text("w7");
    page.top_k = 7;
    page.offset = offset;
    for (const std::string& id : Ids(Ask({page})->answers[0])) pages.push_back(id);
  }
  EXPECT_EQ(pages, expected);
}

TEST_F(SearcherTest, MinScoreCutsAndIdsOnlyCarryNoText) {
  SearchQuery query = Text("w7");
  query.min_score = 0.999f;
  query.with_documents = false;
  const auto answers = Ask({query, Text("w8")});
  ASSERT_TRUE(answers.ok()) << answers.status();
  ASSERT_EQ(Ids(answers->answers[0]), std::vector<std::string>{"d7"});
  EXPECT_EQ(answers->answers[0].hits[0].document.text, "");
  EXPECT_EQ(answers->answers[1].hits[0].document.text, "w8");
}

TEST_F(SearcherTest, DocumentsQueryIsTheMeanOfTheirVectorsWithoutThem) {
  const std::vector<float> a = VectorOf("d1"), b = VectorOf("d2");
  std::vector<float> mean(a.size());
  for (size_t i = 0; i < a.size(); ++i) mean[i] = (a[i] + b[i]) / 2;
  SearchQuery by_vector = Vector(mean);
  by_vector.top_k = 12;
  std::vector<std::string> expected = Ids(Ask({by_vector})->answers[0]);
  std::erase(expected, "d1");
  std::erase(expected, "d2");
  expected.resize(10);
  EXPECT_EQ(Ids(Ask({Documents({"d1", "d2"})})->answers[0]), expected);
}

TEST_F(SearcherTest, DocumentsQueryNamesTheIdThatIsNotThere) {
  const absl::Status status = Ask({Documents({"d1", "absent"})}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("documents.ids[1]: document \"absent\""));
  world_.Delete({"d4"});
  world_.LiveAtHead();
  const absl::Status second = Ask({Text("w1"), Documents({"d4"})}).status();
  EXPECT_EQ(second.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(second.message()), HasSubstr("searches[1].documents.ids[0]"));
  EXPECT_EQ(FieldPath(Ask({Documents({})}).status()), "documents.ids");
}

TEST_F(SearcherTest, VectorOfAnotherRevisionIsRefusedNamingBoth) {
  const absl::Status status = Ask({Vector(VectorOf("d1"), "b")}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("vector.model_revision"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("models/m/revisions/b"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("models/m/revisions/a"));
}

TEST_F(SearcherTest, VectorOfWrongSizeOrNotFiniteIsRefused) {
  std::vector<float> vector = VectorOf("d1");
  vector.push_back(0);
  const absl::Status longer = Ask({Vector(vector)}).status();
  EXPECT_EQ(FieldPath(longer), "vector.vector");
  EXPECT_THAT(std::string(longer.message()), HasSubstr("17 values: must be 16"));
  vector.pop_back();
  vector[2] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(FieldPath(Ask({Text("w1"), Vector(vector)}).status()), "searches[1].vector.vector");
}

TEST_F(SearcherTest, AnswersBelongToTheReleaseThatIsLive) {
  world_.GoLive("r2", "b");
  world_.LiveAtHead();
  const auto answers = Ask({Text("w7")});
  ASSERT_TRUE(answers.ok()) << answers.status();
  EXPECT_EQ(answers->release, "r2");
  EXPECT_EQ(answers->answers[0].hits[0].id, "d7");
  EXPECT_EQ(Ask({Vector(std::vector<float>(16, 1), "a")}).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Ask({Vector(std::vector<float>(16, 1), "b")}).ok());
}

TEST_F(SearcherTest, ReplacedDocumentIsFoundByItsNewTextOnly) {
  head_ = world_.Put({{"d7", "w150"}});
  const auto answers = Ask({Text("w150"), Text("w7")});
  ASSERT_TRUE(answers.ok()) << answers.status();
  EXPECT_EQ(answers->commit, head_);
  EXPECT_EQ(answers->answers[0].hits[0].id, "d7");
  EXPECT_NE(answers->answers[1].hits[0].id, "d7");
}

TEST_F(SearcherTest, HitsThatNoReplyCanHoldAreRefusedNamingTheLimit) {
  const std::string text(1000, 'w');
  std::vector<std::pair<std::string, std::string>> documents;
  for (int i = 0; i < 60; ++i) documents.emplace_back(Concat("d", i), text);
  head_ = world_.Put(documents);
  SearchQuery query = Text("w7");
  query.top_k = 50;
  SearchTerms terms{.min_commit = head_, .max_reply_bytes = 100'000};
  EXPECT_TRUE(searcher_.Search(kTenant, kCollection, {query}, terms).ok());
  const absl::Status refused = searcher_.Search(kTenant, kCollection, {query, query}, terms).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("more than 100000 bytes"));
  query.with_documents = false;
  EXPECT_TRUE(searcher_.Search(kTenant, kCollection, {query, query}, terms).ok()) << "ids alone fit";
}

// 1,000 searches for 50 documents of 100 kB are 5 GB of text: each of them is refused at its first documents.
TEST_F(SearcherTest, ABatchThatAsksForFarTooMuchTakesLittleMemory) {
  const std::string text(100'000, 'w');
  for (int i = 0; i < 60; ++i) head_ = world_.Put({{Concat("d", i), text}});
  SearchQuery query = Vector(VectorOf("d1"));
  query.top_k = 50;
  const SearchTerms terms{.min_commit = head_, .max_reply_bytes = 4 << 20};
  const int64_t before = PeakKilobytes();
  const std::vector<SearchQuery> queries(1000, query);
  EXPECT_EQ(searcher_.Search(kTenant, kCollection, queries, terms).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_LT(PeakKilobytes() - before, 64 << 10);
}

TEST_F(SearcherTest, AnswersLongerThanOneReadComeWhole) {
  head_ = world_.PutMany(0, 100);
  SearchQuery query = Text("w7");
  query.top_k = 100;
  const auto answers = Ask({query});
  ASSERT_TRUE(answers.ok()) << answers.status();
  ASSERT_EQ(answers->answers[0].hits.size(), 100u);
  for (const SearchHit& hit : answers->answers[0].hits) EXPECT_EQ("w" + hit.id.substr(1), hit.document.text);
}

TEST_F(SearcherTest, PassedDeadlineAndMissingCollectionAreErrors) {
  EXPECT_EQ(Ask({Text("w1")}, -absl::Seconds(1)).status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(searcher_.Search(kTenant, "absent", {Text("w1")}, {}).status().code(), absl::StatusCode::kNotFound);
}

TEST(SearcherWithoutReleaseTest, SearchBeforeTheFirstPromotionIsRefused) {
  test::TemporaryDirectory data;
  test::ReleaseWorld world(data.path(), {});
  world.CreateCollection();
  Searcher searcher(&world.collections(), &world.queue());
  EXPECT_EQ(searcher.Search(kTenant, kCollection, {{.query = TextQuery{"w1"}}}, {}).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace tandem
