#include "server/training/example_file.h"

#include <fstream>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "server/base/strings.h"

namespace tandem {
namespace {

std::filesystem::path Write(const std::string& content) {
  const auto path = std::filesystem::path(testing::TempDir()) / "examples.jsonl";
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

TEST(ExampleFileTest, EachPositiveBecomesAPairWithAllNegatives) {
  TextTable texts;
  std::vector<TrainingPair> pairs;
  ASSERT_TRUE(ReadExampleFile(Write("{\"anchor\": \"a\", \"positives\": [\"p\", \"q\"], \"negatives\": [\"n\"]}\n\n"
                                    "{\"anchor\": \"b\", \"positives\": [\"a\"]}"),
                              texts, pairs)
                  .ok());
  ASSERT_EQ(pairs.size(), 3u);
  const auto text = [&](TextId id) { return texts.texts()[id]; };
  EXPECT_EQ(text(pairs[0].anchor), "a");
  EXPECT_EQ(text(pairs[0].positive), "p");
  EXPECT_EQ(text(pairs[1].positive), "q");
  EXPECT_EQ(pairs[1].negatives, pairs[0].negatives);
  EXPECT_EQ(text(pairs[1].negatives.at(0)), "n");
  EXPECT_EQ(pairs[2].positive, pairs[0].anchor);  // Equal texts have one number.
  EXPECT_TRUE(pairs[2].negatives.empty());
}

TEST(ExampleFileTest, ErrorNamesTheLineAndTheFault) {
  const std::string good = "{\"anchor\": \"a\", \"positives\": [\"p\"]}\n";
  for (const auto& [line, fault] : std::vector<std::pair<std::string, std::string>>{
           {"{\"anchor\": \"a\", \"positives\": []}", "\"positives\" is empty"},
           {"{\"anchor\": \"a\"}", "\"positives\" is empty"},
           {"{\"anchor\": 3, \"positives\": [\"p\"]}", "\"anchor\" is not a text"},
           {"{\"positives\": [\"p\"]}", "\"anchor\" is not a text"},
           {"{\"anchor\": \"a\", \"positives\": \"p\"}", "\"positives\" is not a list"},
           {"{\"anchor\": \"a\", \"positives\": [\"p\"], \"negatives\": [1]}", "\"negatives\" holds something"},
           {"{\"anchor\": \"a\", \"positives\": [\"p\"], \"score\": 1}", "unknown key \"score\""},
           {"[1]", "not a JSON object"},
           {"{\"anchor\": \"a", "not a JSON object"}}) {
    TextTable texts;
    std::vector<TrainingPair> pairs;
    const absl::Status status = ReadExampleFile(Write(good + good + line + "\n"), texts, pairs);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << line;
    const std::string message(status.message());
    EXPECT_TRUE(message.starts_with("examples.jsonl:3: ")) << message;
    EXPECT_NE(message.find(fault), std::string::npos) << message;
  }
}

TEST(ExampleFileTest, MissingFileIsNotFound) {
  TextTable texts;
  std::vector<TrainingPair> pairs;
  EXPECT_EQ(ReadExampleFile("no/such/file.jsonl", texts, pairs).code(), absl::StatusCode::kNotFound);
}

std::vector<TrainingPair> ManyPairs(TextTable& texts, int count, int first) {
  std::vector<TrainingPair> pairs;
  for (int i = first; i < first + count; ++i) {
    for (int j = 0; j < 2; ++j) {
      pairs.push_back({texts.Intern(Concat("anchor ", i)), texts.Intern(Concat("positive ", i, " ", j)), {}});
    }
  }
  return pairs;
}

std::set<std::string> Anchors(const std::vector<TrainingPair>& pairs, const TextTable& texts) {
  std::set<std::string> anchors;
  for (const TrainingPair& pair : pairs) anchors.insert(texts.texts()[pair.anchor]);
  return anchors;
}

TEST(SplitByAnchorTest, NoAnchorIsOnBothSidesAndTheFractionIsMet) {
  TextTable texts;
  const ExampleSplit split = SplitByAnchor(ManyPairs(texts, 5000, 0), texts, 0.05);
  EXPECT_EQ(split.training.size() + split.validation.size(), 10'000u);
  EXPECT_NEAR(static_cast<double>(split.validation.size()), 500, 100);
  const auto training = Anchors(split.training, texts);
  for (const std::string& anchor : Anchors(split.validation, texts)) EXPECT_FALSE(training.contains(anchor)) << anchor;
}

TEST(SplitByAnchorTest, AnchorsStayOnTheirSideWhenExamplesAreAdded) {
  TextTable few, many;
  const ExampleSplit before = SplitByAnchor(ManyPairs(few, 200, 100), few, 0.2);
  const ExampleSplit after = SplitByAnchor(ManyPairs(many, 1000, 0), many, 0.2);
  const auto held_out = Anchors(after.validation, many);
  ASSERT_GT(before.validation.size(), 20u);
  for (const std::string& anchor : Anchors(before.validation, few)) EXPECT_TRUE(held_out.contains(anchor)) << anchor;
}

TEST(SplitByAnchorTest, FractionZeroHoldsNothingOut) {
  TextTable texts;
  EXPECT_TRUE(SplitByAnchor(ManyPairs(texts, 1000, 0), texts, 0).validation.empty());
}

TEST(RemoveSharedAnchorsTest, RemovesEveryPairOfAValidationAnchor) {
  std::vector<TrainingPair> training = {{0, 1, {}}, {2, 3, {}}, {0, 4, {}}};
  EXPECT_EQ(RemoveSharedAnchors({{0, 9, {}}}, training), 2);
  ASSERT_EQ(training.size(), 1u);
  EXPECT_EQ(training[0].anchor, 2);
}

}  // namespace
}  // namespace tandem
