// The oracle sees every kind of wrong answer. Texts are two numbers, their vector: "3 4".

#include "tests/e2e/answer_oracle.h"

#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_join.h"

namespace tandem::test {
namespace {

using testing::HasSubstr;

constexpr char kRelease[] = "collections/docs/releases/r1";

absl::StatusOr<std::vector<std::vector<float>>> Embed(const std::string& revision,
                                                      const std::vector<std::string>& texts, AnswerOracle::Role) {
  std::vector<std::vector<float>> vectors;
  for (const std::string& text : texts) {
    float x = 0, y = 0;
    std::istringstream(text) >> x >> y;
    if (revision == "flattened") y /= 2;
    vectors.push_back({x, y});
  }
  return vectors;
}

class AnswerOracleTest : public testing::Test {
 protected:
  // What is wrong with an answer to the query "1 0" on four documents, one of which was rewritten and one deleted.
  std::string Wrong(const SearchAnswer& answer) {
    const std::vector<LoggedVersion> log = {{1, "east", "1 0"}, {2, "north", "0 1"}, {3, "late", "0 1"},
                                            {4, "gone", "3 4"}, {5, "late", "4 3"},  {6, "gone", ""},
                                            {7, "twin", "8 6"}};
    AnswerOracle oracle(log, {{kRelease, "plain"}, {"collections/docs/releases/other", "flattened"}}, Embed);
    const absl::StatusOr<std::vector<std::string>> wrong = oracle.Check({answer});
    EXPECT_TRUE(wrong.ok()) << wrong.status();
    return absl::StrJoin(*wrong, "\n");
  }

  static SearchAnswer At(int64_t commit, std::vector<SearchAnswer::Hit> hits) {
    return {.release = kRelease, .commit = commit, .query = "1 0", .top_k = 3, .hits = std::move(hits)};
  }
};

TEST_F(AnswerOracleTest, ExactAnswersPass) {
  EXPECT_EQ(Wrong(At(0, {})), "");
  EXPECT_EQ(Wrong(At(2, {{"east", 1, "1 0"}, {"north", 0, "0 1"}})), "");
  EXPECT_EQ(Wrong(At(4, {{"east", 1, ""}, {"gone", 0.6F, "3 4"}, {"north", 0, "0 1"}})), "");
  EXPECT_EQ(Wrong(At(6, {{"east", 1, "1 0"}, {"late", 0.8F, "4 3"}, {"north", 0, "0 1"}})), "");
}

TEST_F(AnswerOracleTest, DocumentsOfEqualScoreMayChangePlaces) {
  EXPECT_EQ(Wrong(At(7, {{"east", 1, ""}, {"late", 0.8F, ""}, {"twin", 0.8F, ""}})), "");
  EXPECT_EQ(Wrong(At(7, {{"east", 1, ""}, {"twin", 0.8F, ""}, {"late", 0.8F, ""}})), "");
}

TEST_F(AnswerOracleTest, AnAnswerOfAnotherCommitIsWrong) {
  EXPECT_THAT(Wrong(At(5, {{"east", 1, ""}, {"gone", 0.6F, ""}, {"north", 0, ""}})), HasSubstr("must be"));
  EXPECT_THAT(Wrong(At(6, {{"east", 1, ""}, {"gone", 0.6F, ""}, {"north", 0, ""}})), HasSubstr("does not exist"));
  EXPECT_THAT(Wrong(At(5, {{"east", 1, ""}, {"late", 0.8F, "0 1"}, {"gone", 0.6F, ""}})), HasSubstr("came with text"));
}

TEST_F(AnswerOracleTest, AnAnswerOfAnotherEncoderIsWrong) {
  EXPECT_THAT(Wrong(At(2, {{"north", 1, ""}, {"east", 0, ""}})), HasSubstr("has score"));
  SearchAnswer mixed = At(4, {{"east", 1, ""}, {"gone", 0.6F, ""}, {"north", 0, ""}});
  mixed.release = "collections/docs/releases/other";
  EXPECT_THAT(Wrong(mixed), HasSubstr("has score"));
}

TEST_F(AnswerOracleTest, MissingRepeatedAndUnorderedHitsAreWrong) {
  EXPECT_THAT(Wrong(At(2, {{"east", 1, ""}})), HasSubstr("1 hits, must be 2"));
  EXPECT_THAT(Wrong(At(2, {{"east", 1, ""}, {"east", 1, ""}})), HasSubstr("comes twice"));
  EXPECT_THAT(Wrong(At(4, {{"east", 1, ""}, {"north", 0, ""}, {"gone", 0.6F, ""}})), HasSubstr("stands where gone"));
}

TEST_F(AnswerOracleTest, AReleaseThatNobodyMadeIsWrong) {
  SearchAnswer answer = At(0, {});
  answer.release = "collections/docs/releases/ghost";
  EXPECT_THAT(Wrong(answer), HasSubstr("nobody made"));
}

}  // namespace
}  // namespace tandem::test
