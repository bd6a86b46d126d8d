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

TEST(ExampleFileTest, APairKeepsItsTextsAndEqualTextsHaveOneNumber) {
  TextTable texts;
  const auto set =
      ReadExampleFile(Write("{\"anchor\": \"a\", \"positives\": [\"p\", \"q\"], \"negatives\": [\"n\"]}\n\n"
                            "{\"anchor\": \"b\", \"positives\": [\"a\"]}"),
                      texts);
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->form, ExampleForm::kPair);
  ASSERT_EQ(set->size(), 2);
  const auto text = [&](TextId id) { return texts.texts()[id]; };
  const TrainingExample &first = set->examples[0], &second = set->examples[1];
  EXPECT_EQ(text(first.anchor), "a");
  ASSERT_EQ(first.positives.size(), 2u);
  EXPECT_EQ(text(first.positives[0]), "p");
  EXPECT_EQ(text(first.positives[1]), "q");
  ASSERT_EQ(first.negatives.size(), 1u);
  EXPECT_EQ(text(first.negatives[0]), "n");
  EXPECT_EQ(second.positives, std::vector<TextId>{first.anchor});
  EXPECT_TRUE(second.negatives.empty());
}

TEST(ExampleFileTest, EveryFormIsKnownByItsKeys) {
  TextTable texts;
  const auto scored = ReadExampleFile(Write("{\"first\": \"a\", \"second\": \"b\", \"score\": 3}\n"
                                            "{\"score\": -0.25, \"first\": \"a\", \"second\": \"a\"}\n"),
                                      texts);
  ASSERT_TRUE(scored.ok()) << scored.status();
  EXPECT_EQ(scored->form, ExampleForm::kScoredPair);
  EXPECT_EQ(scored->examples[0].score, 3);
  EXPECT_EQ(scored->examples[1].score, -0.25f);
  EXPECT_EQ(scored->examples[1].positives, std::vector<TextId>{scored->examples[1].anchor});

  const auto labelled = ReadExampleFile(Write("{\"first\": \"a\", \"second\": \"b\", \"similar\": true}\n"
                                              "{\"first\": \"a\", \"second\": \"c\", \"similar\": false}\n"),
                                        texts);
  ASSERT_TRUE(labelled.ok()) << labelled.status();
  EXPECT_EQ(labelled->form, ExampleForm::kLabelledPair);
  EXPECT_TRUE(labelled->examples[0].similar);
  EXPECT_FALSE(labelled->examples[1].similar);

  const auto classes =
      ReadExampleFile(Write("{\"text\": \"a\", \"label\": \"red\"}\n{\"text\": \"b\", \"label\": \"blue\"}\n"
                            "{\"text\": \"c\", \"label\": \"red\"}\n"),
                      texts);
  ASSERT_TRUE(classes.ok()) << classes.status();
  EXPECT_EQ(classes->form, ExampleForm::kLabelledText);
  EXPECT_EQ(classes->examples[0].label, 0);
  EXPECT_EQ(classes->examples[1].label, 1);
  EXPECT_EQ(classes->examples[2].label, 0);
  EXPECT_TRUE(classes->examples[0].positives.empty());

  const auto plain = ReadExampleFile(Write("{\"text\": \"a\"}\n"), texts);
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_EQ(plain->form, ExampleForm::kText);
}

TEST(ExampleFileTest, ErrorNamesTheLineAndTheFault) {
  const std::string pair = "{\"anchor\": \"a\", \"positives\": [\"p\"]}\n";
  const std::string scored = "{\"first\": \"a\", \"second\": \"p\", \"score\": 1}\n";
  const std::string labelled = "{\"first\": \"a\", \"second\": \"p\", \"similar\": true}\n";
  const std::string text = "{\"text\": \"a\", \"label\": \"l\"}\n";
  struct Case {
    std::string good, line, fault;
  };
  for (const auto& [good, line, fault] : std::vector<Case>{
           {pair, "{\"anchor\": \"a\", \"positives\": []}", "\"positives\" is empty"},
           {pair, "{\"anchor\": \"a\"}", "\"positives\" is empty"},
           {pair, "{\"anchor\": 3, \"positives\": [\"p\"]}", "\"anchor\" is not a text"},
           {pair, "{\"positives\": [\"p\"]}", "no form of example"},
           {pair, "{\"anchor\": \"a\", \"positives\": \"p\"}", "\"positives\" is not a list"},
           {pair, "{\"anchor\": \"a\", \"positives\": [\"p\"], \"negatives\": [1]}", "\"negatives\" holds something"},
           {pair, "{\"anchor\": \"a\", \"positives\": [\"p\"], \"score\": 1}", "unknown key \"score\""},
           {pair, "[1]", "not a JSON object"},
           {pair, "{\"anchor\": \"a", "not a JSON object"},
           {pair, scored, "the first example of the file is"},
           {scored, "{\"first\": \"a\", \"score\": 1}", "\"second\" is not a text"},
           {scored, "{\"first\": \"a\", \"second\": \"b\", \"score\": \"1\"}", "\"score\" is not a number"},
           {scored, "{\"first\": \"a\", \"second\": \"b\", \"score\": 1e300}", "\"score\" is not a number"},
           {scored, labelled, "the first example of the file is"},
           {labelled, "{\"first\": \"a\", \"second\": \"b\", \"similar\": 1}", "\"similar\" is not true or false"},
           {text, "{\"text\": \"a\", \"label\": 1}", "\"label\" is not a text"},
           {text, "{\"text\": \"a\"}", "the first example of the file is"}}) {
    TextTable texts;
    const absl::Status status = ReadExampleFile(Write(good + good + line + "\n"), texts).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << line;
    const std::string message(status.message());
    EXPECT_TRUE(message.starts_with("examples.jsonl:3: ")) << message;
    EXPECT_NE(message.find(fault), std::string::npos) << message;
  }
}

TEST(ExampleFileTest, MissingFileIsNotFound) {
  TextTable texts;
  EXPECT_EQ(ReadExampleFile("no/such/file.jsonl", texts).status().code(), absl::StatusCode::kNotFound);
}

TEST(OnePositiveEachTest, EachPositiveBecomesAnExampleWithAllNegatives) {
  const ExampleSet set = OnePositiveEach({ExampleForm::kPair, {{0, {1, 2}, {3}}, {4, {5}, {}}}});
  ASSERT_EQ(set.size(), 3);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(set.examples[i].anchor, 0);
    EXPECT_EQ(set.examples[i].positives, std::vector<TextId>{i + 1});
    EXPECT_EQ(set.examples[i].negatives, std::vector<TextId>{3});
  }
  EXPECT_EQ(set.examples[2].anchor, 4);
}

TEST(TwoViewsEachTest, TheFirstTextIsItsOwnPositiveWhateverTheForm) {
  const ExampleSet set = TwoViewsEach({ExampleForm::kPair, {{0, {1, 2}, {3}}, {4, {5}, {}}}});
  EXPECT_EQ(set.form, ExampleForm::kText);
  ASSERT_EQ(set.size(), 2);
  for (const TrainingExample& example : set.examples) {
    EXPECT_EQ(example.positives, std::vector<TextId>{example.anchor});
    EXPECT_TRUE(example.negatives.empty());
  }
}

ExampleSet ManyPairs(TextTable& texts, int count, int first) {
  ExampleSet set;
  for (int i = first; i < first + count; ++i) {
    for (int j = 0; j < 2; ++j) {
      set.examples.push_back({texts.Intern(Concat("anchor ", i)), {texts.Intern(Concat("positive ", i, " ", j))}, {}});
    }
  }
  return set;
}

std::set<std::string> Anchors(const ExampleSet& set, const TextTable& texts) {
  std::set<std::string> anchors;
  for (const TrainingExample& example : set.examples) anchors.insert(texts.texts()[example.anchor]);
  return anchors;
}

TEST(SplitByAnchorTest, NoAnchorIsOnBothSidesAndTheFractionIsMet) {
  TextTable texts;
  const ExampleSplit split = SplitByAnchor(ManyPairs(texts, 5000, 0), texts, 0.05);
  EXPECT_EQ(split.training.size() + split.validation.size(), 10'000);
  EXPECT_NEAR(static_cast<double>(split.validation.size()), 500, 100);
  const auto training = Anchors(split.training, texts);
  for (const std::string& anchor : Anchors(split.validation, texts)) EXPECT_FALSE(training.contains(anchor)) << anchor;
}

TEST(SplitByAnchorTest, AnchorsStayOnTheirSideWhenExamplesAreAdded) {
  TextTable few, many;
  const ExampleSplit before = SplitByAnchor(ManyPairs(few, 200, 100), few, 0.2);
  const ExampleSplit after = SplitByAnchor(ManyPairs(many, 1000, 0), many, 0.2);
  const auto held_out = Anchors(after.validation, many);
  ASSERT_GT(before.validation.size(), 20);
  for (const std::string& anchor : Anchors(before.validation, few)) EXPECT_TRUE(held_out.contains(anchor)) << anchor;
}

TEST(SplitByAnchorTest, FractionZeroHoldsNothingOut) {
  TextTable texts;
  EXPECT_TRUE(SplitByAnchor(ManyPairs(texts, 1000, 0), texts, 0).validation.empty());
}

TEST(SplitByAnchorTest, BothSidesHaveTheForm) {
  const ExampleSplit split = SplitByAnchor({ExampleForm::kLabelledText, {}}, TextTable(), 0.5);
  EXPECT_EQ(split.training.form, ExampleForm::kLabelledText);
  EXPECT_EQ(split.validation.form, ExampleForm::kLabelledText);
}

TEST(RemoveSharedAnchorsTest, RemovesEveryExampleOfAValidationAnchorWhateverTheForms) {
  const ExampleSet validation = {ExampleForm::kScoredPair, {{.anchor = 0, .positives = {9}, .score = 1}}};
  ExampleSet training = {ExampleForm::kPair, {{0, {1}, {}}, {2, {3}, {}}, {0, {4}, {}}}};
  EXPECT_EQ(RemoveSharedAnchors(validation, training), 2);
  ASSERT_EQ(training.size(), 1);
  EXPECT_EQ(training.examples[0].anchor, 2);
}

}  // namespace
}  // namespace tandem
