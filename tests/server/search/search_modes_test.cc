// Filters, keywords, hybrid searches, recommendations, groups and diversity through a live release.
#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/search/searcher.h"
#include "tests/support/release_world.h"
#include "tests/support/temporary_directory.h"

namespace tandem {
namespace {

using test::kCollection;
using test::kTenant;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class SearchModesTest : public testing::Test {
 protected:
  SearchModesTest() {
    world_.CreateCollection(absl::Hours(1), {{"color", FieldType::kKeyword}, {"n", FieldType::kInteger}});
    std::vector<DocumentInput> documents;
    for (int i = 0; i < 60; ++i) {
      const char* colors[] = {"\"red\"", "\"green\"", "[\"blue\",\"red\"]"};
      documents.push_back(
          {Concat("d", i), Concat("w", i, i % 2 == 0 ? " even" : " odd"),
           i % 4 == 3 ? Concat("{\"n\":", i, "}") : Concat("{\"n\":", i, ",\"color\":", colors[i % 4], "}")});
    }
    head_ = world_.documents()->Upsert(documents)->commit;
    world_.GoLive("r1", "a");
    world_.LiveAtHead();
  }

  absl::StatusOr<SearchAnswers> Ask(const std::vector<SearchQuery>& queries) {
    return searcher_.Search(kTenant, kCollection, queries, {head_, {.deadline = absl::Now() + absl::Seconds(30)}});
  }
  std::vector<SearchHit> Hits(const SearchQuery& query) {
    const auto answers = Ask({query});
    EXPECT_TRUE(answers.ok()) << answers.status();
    return answers.ok() ? answers->answers.at(0).hits : std::vector<SearchHit>();
  }
  std::vector<std::string> Ids(const SearchQuery& query) {
    std::vector<std::string> ids;
    for (const SearchHit& hit : Hits(query)) ids.push_back(hit.id);
    return ids;
  }
  static SearchQuery Text(const std::string& text, SearchMode mode = SearchMode::kVector, int top_k = 10) {
    SearchQuery query{.query = TextQuery{text}};
    query.mode = mode;
    query.top_k = top_k;
    return query;
  }
  static Filter Above(int n) {
    NumberRangeTest range;
    range.greater_than = n;
    Filter filter;
    filter.must.push_back({FieldCondition{"n", range}});
    return filter;
  }

  test::TemporaryDirectory data_;
  test::ReleaseWorld world_{data_.path(), {}};
  Searcher searcher_{&world_.collections(), &world_.queue()};
  int64_t head_ = 0;
};

TEST_F(SearchModesTest, AFilterLeavesThatManyInEveryMode) {
  for (const SearchMode mode : {SearchMode::kVector, SearchMode::kKeyword, SearchMode::kHybrid}) {
    SearchQuery query = Text("w7 odd", mode, 50);
    query.filter = Above(54);
    const std::vector<std::string> ids = Ids(query);
    if (mode == SearchMode::kKeyword) {
      EXPECT_THAT(ids, UnorderedElementsAre("d55", "d57", "d59"));
    } else {
      EXPECT_THAT(ids, UnorderedElementsAre("d55", "d56", "d57", "d58", "d59"));
    }
    query.filter = Above(59);
    EXPECT_THAT(Ids(query), IsEmpty());
  }
}

TEST_F(SearchModesTest, KeywordsNeedNoEncoderAndFollowTheRelease) {
  EXPECT_THAT(Ids(Text("w7", SearchMode::kKeyword)), ElementsAre("d7"));
  EXPECT_EQ(Ids(Text("odd", SearchMode::kKeyword, 100)).size(), 30u);
  SearchQuery cut = Text("odd w7", SearchMode::kKeyword, 100);
  const float best = Hits(cut)[0].score;
  cut.min_score = best - 0.001f;
  EXPECT_THAT(Ids(cut), ElementsAre("d7"));
  cut.min_score.reset();
  cut.offset = 1;
  EXPECT_EQ(Ids(cut).size(), 29u);
  head_ = world_.documents()->Upsert({{"d7", "something else", ""}})->commit;
  EXPECT_THAT(Ids(Text("w7", SearchMode::kKeyword)), IsEmpty());
  EXPECT_THAT(Ids(Text("something", SearchMode::kKeyword)), ElementsAre("d7"));
  world_.Delete({"d7"});
  head_ = world_.documents()->head();
  EXPECT_THAT(Ids(Text("something", SearchMode::kKeyword)), IsEmpty());
}

TEST_F(SearchModesTest, HybridHitsSayWhatEachHalfGave) {
  const std::vector<SearchHit> hits = Hits(Text("w7", SearchMode::kHybrid, 60));
  ASSERT_EQ(hits.size(), 60u);
  EXPECT_EQ(hits[0].id, "d7");
  EXPECT_TRUE(hits[0].vector_score.has_value());
  EXPECT_TRUE(hits[0].keyword_score.has_value());
  EXPECT_FALSE(hits[1].keyword_score.has_value());
  for (size_t i = 1; i < hits.size(); ++i) EXPECT_GE(hits[i - 1].score, hits[i].score);
  EXPECT_FALSE(Hits(Text("w7"))[0].vector_score.has_value());
}

TEST_F(SearchModesTest, RecommendationsAreNearThePositivesAndAwayFromTheNegatives) {
  // One positive alone is a search for documents like it.
  SearchQuery like{.query = DocumentsQuery{{"d5"}}};
  SearchQuery recommend{.query = RecommendQuery{{{"d5", ""}}, {}}};
  EXPECT_EQ(Ids(recommend), Ids(like));
  // A text alone is a search for it.
  EXPECT_EQ(Ids({.query = RecommendQuery{{{"", "w9 odd"}}, {}}}), Ids(Text("w9 odd")));
  const auto score_of = [&](const SearchQuery& query, const std::string& id) {
    SearchQuery all = query;
    all.top_k = 60;
    for (const SearchHit& hit : Hits(all)) {
      if (hit.id == id) return hit.score;
    }
    ADD_FAILURE() << id;
    return 0.0f;
  };
  const SearchQuery both{.query = RecommendQuery{{{"d5", ""}}, {{"", "w8 even"}}}};
  EXPECT_LT(score_of(both, "d8"), score_of(recommend, "d8"));
  const std::vector<std::string> ids = Ids({.query = RecommendQuery{{{"d5", ""}, {"d6", ""}}, {{"d8", ""}}}});
  for (const char* example : {"d5", "d6", "d8"}) EXPECT_EQ(std::count(ids.begin(), ids.end(), example), 0);
  const auto missing = Ask({Text("x"), {.query = RecommendQuery{{{"", "x"}}, {{"d5", ""}, {"none", ""}}}}});
  EXPECT_TRUE(absl::IsNotFound(missing.status())) << missing.status();
  EXPECT_THAT(std::string(missing.status().message()),
              testing::HasSubstr("searches[1].recommend.negatives[1].document"));
}

TEST_F(SearchModesTest, GroupsGiveTheirShareHoweverFarDownTheyStand) {
  for (const SearchMode mode : {SearchMode::kVector, SearchMode::kKeyword, SearchMode::kHybrid}) {
    SearchQuery all = Text("w7 odd even", mode, 60);
    SearchQuery grouped = all;
    grouped.group_by = GroupBy{.field = "color", .size = 2};
    // red, green, blue (the first of two), and 15 without a color.
    const std::vector<std::string> ids = Ids(grouped);
    EXPECT_EQ(ids.size(), 3u * 2 + 15) << static_cast<int>(mode);
    // They are the best of their groups, in the order of the whole list.
    std::vector<std::string> expected;
    std::vector<int> taken(4);
    for (const std::string& id : Ids(all)) {
      const int group = std::stoi(id.substr(1)) % 4;
      if (group == 3 || ++taken[group] <= 2) expected.push_back(id);
    }
    EXPECT_EQ(ids, expected);
    grouped.top_k = 5;
    grouped.offset = 3;
    EXPECT_EQ(Ids(grouped), std::vector<std::string>(expected.begin() + 3, expected.begin() + 8));
  }
}

TEST_F(SearchModesTest, DiversityChoosesFromTheCandidates) {
  SearchQuery plain = Text("w7 odd", SearchMode::kVector, 8);
  SearchQuery diverse = plain;
  diverse.diversity = Diversity{.lambda = 1};
  EXPECT_EQ(Ids(diverse), Ids(plain));
  diverse.diversity = Diversity{.lambda = 0.3, .candidates = 40};
  const std::vector<std::string> ids = Ids(diverse);
  EXPECT_EQ(ids.size(), 8u);
  EXPECT_EQ(ids[0], Ids(plain)[0]);
  EXPECT_NE(ids, Ids(plain));
  EXPECT_EQ(std::set<std::string>(ids.begin(), ids.end()).size(), 8u);
}

TEST_F(SearchModesTest, WhatTheCollectionDoesNotHaveIsRefusedByItsPath) {
  SearchQuery unknown = Text("x");
  unknown.group_by = GroupBy{.field = "size"};
  EXPECT_EQ(FieldPath(Ask({Text("x"), unknown}).status()), "searches[1].group_by.field");
  SearchQuery filtered = Text("x");
  filtered.filter = Filter();
  filtered.filter->must_not.push_back({FieldCondition{"color", EqualsTest{int64_t{1}}}});
  EXPECT_EQ(FieldPath(Ask({filtered}).status()), "filter.must_not[0].field.equals.integer");
}

}  // namespace
}  // namespace tandem
