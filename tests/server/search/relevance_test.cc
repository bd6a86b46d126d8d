// Calibrated scores: what an evaluation fits is what searches answer with.
#include <cmath>

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
using testing::HasSubstr;

constexpr int kQueries = 40;

class RelevanceTest : public testing::Test {
 protected:
  RelevanceTest() {
    world_.CreateCollection();
    world_.PutMany(0, 60);
  }
  void GoLiveJudged() {
    world_.CreateEvaluationSet("e", kQueries);
    world_.SetGate({.evaluation_set = "e"});
    world_.GoLive("r1", "a");
    world_.LiveAtHead();
  }
  absl::StatusOr<SearchAnswer> Ask(const SearchQuery& query) {
    Searcher searcher(&world_.collections(), &world_.queue());
    ASSIGN_OR_RETURN(SearchAnswers answers, searcher.Search(kTenant, kCollection, {query}, SearchTerms{}));
    return std::move(answers.answers[0]);
  }
  static SearchQuery Text(const std::string& text) { return {.query = TextQuery{text}}; }

  test::TemporaryDirectory data_;
  test::ReleaseWorld world_{data_.path(), {}};
};

TEST_F(RelevanceTest, TheCalibrationIsThatOfTheHitsOfTheEvaluationSet) {
  GoLiveJudged();
  std::vector<JudgedScore> scores;
  for (int i = 0; i < kQueries; ++i) {
    const SearchAnswer answer = Ask(Text(Concat("w", i))).value();
    for (const SearchHit& hit : answer.hits) scores.push_back({hit.score, hit.id == Concat("d", i), i});
  }
  const std::optional<Calibration> expected = Calibrate(scores);
  ASSERT_TRUE(expected.has_value());
  for (int i = 0; i < 2; ++i) {
    const std::optional<Calibration> stored = world_.Row("r1").evaluation->calibration;
    ASSERT_TRUE(stored.has_value());
    EXPECT_EQ(stored->scores, 10 * kQueries);
    EXPECT_NEAR(stored->scaling.slope, expected->scaling.slope, 1e-4 * expected->scaling.slope);
    EXPECT_NEAR(stored->scaling.intercept, expected->scaling.intercept, 1e-4 * expected->scaling.slope);
    EXPECT_NEAR(stored->expected_error, expected->expected_error, 1e-4);
    const SearchAnswer answer = Ask(Text("w3")).value();
    ASSERT_TRUE(answer.calibration.has_value());
    EXPECT_EQ(answer.calibration->slope, stored->scaling.slope);
    EXPECT_GT(answer.calibration->Probability(answer.hits[0].score), 0.5);
    EXPECT_LT(answer.calibration->Probability(answer.hits[9].score), 0.5);
    world_.Restart();
    world_.LiveAtHead();
  }
}

TEST_F(RelevanceTest, MinRelevanceKeepsWhatIsAsProbable) {
  GoLiveJudged();
  for (int i = 0; i < kQueries; i += 7) {
    SearchQuery query = Text(Concat("w", i, " w", i + 1));
    query.top_k = 60;
    const SearchAnswer all = Ask(query).value();
    ASSERT_EQ(all.hits.size(), 60u);
    for (const double limit : {0.0, 0.01, 0.1, 0.5, 0.9, 1.0}) {
      query.min_relevance = limit;
      const SearchAnswer some = Ask(query).value();
      size_t expected = 0;
      while (expected < 60 && all.calibration->Probability(all.hits[expected].score) >= limit) ++expected;
      // A score at the limit may be on either side of it by its last bit.
      EXPECT_NEAR(static_cast<double>(some.hits.size()), static_cast<double>(expected), limit == 0 ? 0 : 1) << limit;
      for (size_t j = 0; j < some.hits.size(); ++j) EXPECT_EQ(some.hits[j].id, all.hits[j].id);
    }
    query.min_relevance = 0.001;
    query.min_score = all.hits[4].score;
    EXPECT_LE(Ask(query)->hits.size(), 5u);  // The stricter of the two counts.
  }
}

TEST_F(RelevanceTest, WithoutCalibrationAThresholdIsRefusedAndAnswersHaveNone) {
  world_.GoLive("r1", "a");
  EXPECT_FALSE(Ask(Text("w3"))->calibration.has_value());
  SearchQuery query = Text("w3");
  query.min_relevance = 0.5;
  const absl::Status refused = Ask(query).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_THAT(refused.message(), HasSubstr("min_relevance: the live release r1 has no calibration"));
}

TEST_F(RelevanceTest, OnlyQueriesByTextAreCalibrated) {
  GoLiveJudged();
  SearchQuery query{.query = DocumentsQuery{{"d3"}}};
  EXPECT_FALSE(Ask(query)->calibration.has_value());
  query.min_relevance = 0.5;
  EXPECT_EQ(FieldPath(Ask(query).status()), "min_relevance");
}

}  // namespace
}  // namespace tandem
