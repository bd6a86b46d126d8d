#include "server/analysis/dataset_analysis.h"

#include <cmath>
#include <cstdio>
#include <map>
#include <random>

#include <gtest/gtest.h>

namespace tandem {
namespace {

Example Pair(std::string anchor, std::vector<std::string> positives, std::vector<std::string> negatives = {}) {
  return {.anchor = std::move(anchor), .positives = std::move(positives), .negatives = std::move(negatives)};
}
Example Scored(std::string first, std::string second, float score) {
  return {
      .kind = ExampleKind::kScoredPair, .anchor = std::move(first), .positives = {std::move(second)}, .score = score};
}
Example LabelledPair(std::string first, std::string second, bool similar) {
  return {.kind = ExampleKind::kLabelledPair,
          .anchor = std::move(first),
          .positives = {std::move(second)},
          .similar = similar};
}
Example Labelled(std::string text, std::string label) {
  return {.kind = ExampleKind::kLabelledText, .anchor = std::move(text), .label = std::move(label)};
}

// Commits count from 1.
ExampleScan Scan(std::vector<Example> examples) {
  return [examples = std::move(examples)](const std::function<absl::Status(const StoredExample&)>& visit) {
    for (size_t i = 0; i < examples.size(); ++i) {
      const absl::Status status = visit({static_cast<int64_t>(i + 1), examples[i]});
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  };
}

DatasetReport Analyze(std::vector<Example> examples, const AnalysisOptions& options = {.batch_size = 2}) {
  auto report = AnalyzeDataset(Scan(std::move(examples)), nullptr, options);
  EXPECT_TRUE(report.ok()) << report.status();
  return report.ok() ? *std::move(report) : DatasetReport();
}

std::map<std::string, Severity> Kinds(const DatasetReport& report) {
  std::map<std::string, Severity> kinds;
  for (const Finding& finding : report.findings) kinds[finding.kind] = finding.severity;
  return kinds;
}

using Commits = std::vector<int64_t>;

TEST(DatasetAnalysisTest, CleanPairsHaveNoFindings) {
  const DatasetReport report = Analyze({Pair("a", {"b"}), Pair("c", {"d"}, {"e", "f"})});
  EXPECT_EQ(report.examples, 2);
  EXPECT_EQ(report.rows, 2);
  EXPECT_EQ(report.texts, 6);
  EXPECT_EQ(report.distinct_texts, 6);
  EXPECT_EQ(report.forms[static_cast<size_t>(ExampleKind::kPair)], 2);
  EXPECT_TRUE(report.findings.empty()) << report.findings[0].advice;
}

TEST(DatasetAnalysisTest, DuplicatesAreToldFromThoseButForCaseAndSpace) {
  const DatasetReport report = Analyze(
      {Pair("a b", {"c"}), Pair("x", {"y"}), Pair("a b", {"c"}), Pair("A  b ", {"C"}), Pair("a b", {"c"}, {"d"})});
  EXPECT_EQ(report.exact_duplicates.count, 1);
  EXPECT_EQ(report.exact_duplicates.commits, Commits{3});
  EXPECT_EQ(report.folded_duplicates.count, 1);
  EXPECT_EQ(report.folded_duplicates.commits, Commits{4});
  EXPECT_EQ(report.repeated_pairs.commits, (Commits{3, 5})) << "the last has the pair again, with another negative";
}

TEST(DatasetAnalysisTest, FalseNegativesOfARandomBatchAreExpectedValues) {
  // Four rows, of which three share an anchor and two a positive, one pair of rows both.
  const std::vector<Example> examples = {Pair("a", {"p", "q"}), Pair("a", {"p"}, {"n"}), Pair("b", {"r"})};
  const DatasetReport report = Analyze(examples, {.batch_size = 3});
  EXPECT_EQ(report.rows, 4);
  EXPECT_EQ(report.several_positives.count, 1);
  EXPECT_EQ(report.several_positives.commits, Commits{1});
  EXPECT_EQ(report.shared_positives.count, 1);
  // Six ordered pairs of the 12 rows' pairs share an anchor (the two that share the positive are among them); a batch
  // of three rows has six ordered pairs.
  EXPECT_NEAR(report.false_negatives, 6.0 * 6 / 12, 1e-12);
  EXPECT_EQ(Kinds(report).at("several_positives"), Severity::kWarning);
  EXPECT_NEAR(Analyze(examples, {.batch_size = 100}).false_negatives, 6, 1e-12) << "one batch has them all";
}

TEST(DatasetAnalysisTest, TextsInTwoRolesAreFound) {
  const DatasetReport report = Analyze({Pair("a", {"b"}), Pair("b", {"c"}), Pair("d", {"D "})});
  EXPECT_EQ(report.anchors_as_positives.count, 1);
  EXPECT_EQ(report.equal_to_anchor.count, 1);
  EXPECT_EQ(report.equal_to_anchor.commits, Commits{3});
}

TEST(DatasetAnalysisTest, ContradictionsOfEveryFormAreFound) {
  EXPECT_EQ(Analyze({Pair("a", {"b"}), Pair("A", {"c"}, {"B"})}).contradictions.commits, Commits{2});
  EXPECT_EQ(Analyze({Pair("a", {"b"}, {"b"})}).contradictions.count, 1);
  EXPECT_EQ(Analyze({Pair("a", {"b"}), Pair("b", {"c"}, {"a"})}).contradictions.count, 0) << "not of one anchor";
  const std::vector<Example> labelled = {LabelledPair("a", "b", true), LabelledPair("b", "a", false),
                                         LabelledPair("a", "b", false)};
  EXPECT_EQ(Analyze(labelled).contradictions.count, 1) << "one pair, either way round";
  const DatasetReport scored =
      Analyze({Scored("a", "b", 0), Scored("b", "a", 1), Scored("a", "c", 0.5f), Scored("a", "c", 0.6f)});
  EXPECT_EQ(scored.conflicting_scores.count, 1);
  EXPECT_EQ(scored.conflicting_scores.commits, Commits{2});
  const DatasetReport texts = Analyze({Labelled("a", "x"), Labelled("A", "y"), Labelled("a", "z"), Labelled("b", "x")});
  EXPECT_EQ(texts.conflicting_labels.count, 1);
  EXPECT_EQ(texts.findings[0].severity, Severity::kError);
}

TEST(DatasetAnalysisTest, WhatValidationSharesIsFound) {
  const std::vector<Example> training = {Pair("a", {"p"}), Pair("b", {"q"}, {"n"})};
  const std::vector<Example> validation = {Pair("c", {"r"}), Pair("A", {"s"}), Pair("d", {"q"}), Pair("N", {"t"}),
                                           Pair("a", {"q"})};
  const auto report = AnalyzeDataset(Scan(training), Scan(validation), {.batch_size = 2});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->validation_examples, 5);
  EXPECT_EQ(report->shared_anchors.count, 1) << "a, though two validation examples begin with it";
  EXPECT_EQ(report->shared_anchors.commits, Commits{2});
  EXPECT_EQ(report->shared_texts.count, 3) << "a, q and n";
  EXPECT_EQ(report->shared_texts.commits, (Commits{2, 3, 4}));
  EXPECT_EQ(Kinds(*report).at("shared_anchors"), Severity::kError);
  EXPECT_EQ(Kinds(*report).at("shared_texts"), Severity::kWarning);
}

TEST(DatasetAnalysisTest, LengthsAreTokensByRole) {
  std::vector<Example> examples;
  for (int i = 1; i <= 100; ++i) {
    examples.push_back(Pair(std::to_string(i) + "!", {std::string(static_cast<size_t>(i), 'x')}));
  }
  AnalysisOptions options = {.max_length = 90};
  options.count_tokens = [](std::span<const std::string> texts, bool first_texts) {
    std::vector<int64_t> counts;
    for (const std::string& text : texts) counts.push_back(first_texts ? 7 : static_cast<int64_t>(text.size()));
    return counts;
  };
  const DatasetReport report = Analyze(examples, options);
  ASSERT_TRUE(report.first_lengths && report.second_lengths);
  EXPECT_EQ(report.first_lengths->mean, 7);
  EXPECT_EQ(report.first_lengths->truncated.count, 0);
  const TextLengths& lengths = *report.second_lengths;
  EXPECT_EQ(lengths.texts, 100);
  EXPECT_EQ(lengths.mean, 50.5);
  EXPECT_EQ(lengths.median, 50);
  EXPECT_EQ(lengths.percentile_90, 90);
  EXPECT_EQ(lengths.percentile_99, 99);
  EXPECT_EQ(lengths.longest, 100);
  EXPECT_EQ(lengths.truncated.count, 10);
  EXPECT_EQ(lengths.truncated.commits, (Commits{91, 92, 93, 94, 95}));
  EXPECT_EQ(lengths.histogram, (std::vector<int64_t>{1, 1, 2, 4, 8, 16, 32, 36}));
  EXPECT_EQ(Kinds(report).at("second_lengths"), Severity::kWarning);
  options.count_tokens = nullptr;
  EXPECT_FALSE(Analyze(examples, options).first_lengths.has_value());
}

TEST(DatasetAnalysisTest, LabelsAndScoresAreDescribed) {
  std::vector<Example> examples;
  for (int i = 0; i < 8; ++i)
    examples.push_back(Labelled(std::to_string(i), i < 4 ? "x" : i < 6 ? "y" : i < 7 ? "v" : "w"));
  const DatasetReport texts = Analyze(examples);
  ASSERT_TRUE(texts.labels.has_value());
  EXPECT_EQ(texts.labels->classes, 4);
  EXPECT_EQ(texts.labels->largest, "x");
  EXPECT_EQ(texts.labels->largest_size, 4);
  EXPECT_EQ(texts.labels->smallest, "v");
  EXPECT_EQ(texts.labels->single_texts, 2);
  EXPECT_NEAR(texts.labels->entropy, 0.5 * 1 + 0.25 * 2 + 2 * 0.125 * 3, 1e-12);
  const DatasetReport scored = Analyze({Scored("a", "b", 0), Scored("c", "d", 5), Scored("e", "f", 4.75f)});
  ASSERT_TRUE(scored.scores.has_value());
  EXPECT_EQ(scored.scores->highest, 5);
  EXPECT_EQ(scored.scores->mean, 3.25);
  EXPECT_EQ(scored.scores->histogram, (std::array<int64_t, 10>{1, 0, 0, 0, 0, 0, 0, 0, 0, 2}));
  EXPECT_EQ(Kinds(Analyze({Scored("a", "b", 1), Scored("c", "d", 1)})).at("scores"), Severity::kError);
  EXPECT_EQ(Kinds(Analyze({LabelledPair("a", "b", true), LabelledPair("c", "d", true)})).at("dissimilar"),
            Severity::kError);
  EXPECT_EQ(Kinds(Analyze({Labelled("a", "x"), Pair("b", {"c"})})).at("forms"), Severity::kError);
}

// Whatever is kept at a time, the figures are the same.
TEST(DatasetAnalysisTest, SeveralPassesCountLikeOne) {
  std::mt19937_64 random(3);
  const auto text = [&]() { return std::string(random() % 2 == 0 ? "t" : "T") + std::to_string(random() % 40); };
  std::vector<Example> examples = {Labelled("Once", "t1"), Labelled("once", "t1")}, validation;
  for (int i = 0; i < 300; ++i) {
    switch (random() % 4) {
      case 0:
        examples.push_back(Pair(text(), {text(), text()}, {text()}));
        break;
      case 1:
        examples.push_back(Scored(text(), text(), static_cast<float>(random() % 5)));
        break;
      case 2:
        examples.push_back(LabelledPair(text(), text(), random() % 2 == 0));
        break;
      default:
        examples.push_back(Labelled(text(), text()));
    }
    validation.push_back(Pair(text(), {text() + text()}));
  }
  const auto once = AnalyzeDataset(Scan(examples), Scan(validation), {});
  const auto often = AnalyzeDataset(Scan(examples), Scan(validation), {.texts_per_pass = 50});
  ASSERT_TRUE(once.ok() && often.ok());
  nlohmann::json a = ToJson(*once), b = ToJson(*often);
  for (nlohmann::json* json : {&a, &b}) {  // Sums of fractions in another order.
    (*json)["labels"]["entropy"] = std::round((*json)["labels"]["entropy"].get<double>() * 1e9);
    (*json)["false_negatives"] = std::round((*json)["false_negatives"].get<double>() * 1e9);
  }
  EXPECT_EQ(a, b);
  for (const char* key : {"exact_duplicates", "folded_duplicates", "repeated_pairs", "contradictions",
                          "conflicting_scores", "conflicting_labels", "shared_texts"}) {
    EXPECT_GT(a[key]["count"], 0) << key;
  }
}

TEST(DatasetAnalysisTest, StopsWhenAskedToAndHandsErrorsOn) {
  int64_t calls = 0;
  AnalysisOptions options;
  options.proceed = [&](int64_t, int64_t) { return ++calls < 3 ? absl::OkStatus() : absl::CancelledError(); };
  const std::vector<Example> examples = {Pair("a", {"b"}), Pair("c", {"d"})};
  EXPECT_TRUE(absl::IsCancelled(AnalyzeDataset(Scan(examples), nullptr, options).status()));
  EXPECT_EQ(calls, 3) << "in the second reading";
  const auto damaged = [](const auto&) { return absl::DataLossError("torn"); };
  EXPECT_TRUE(absl::IsDataLoss(AnalyzeDataset(damaged, nullptr, {}).status()));
  AnalysisOptions without_tokenizer;
  without_tokenizer.count_tokens = [](auto, bool) { return absl::UnavailableError("busy"); };
  EXPECT_TRUE(absl::IsUnavailable(AnalyzeDataset(Scan(examples), nullptr, without_tokenizer).status()));
}

TEST(DatasetAnalysisTest, EmptyDatasetIsReportedAsSuch) {
  const DatasetReport report = Analyze({});
  EXPECT_EQ(report.examples, 0);
  EXPECT_EQ(Kinds(report).count("rows"), 1u);
}

TEST(DatasetAnalysisTest, GravestFindingComesFirstAndSaysWhatToChange) {
  const DatasetReport report = Analyze({Pair("a", {"b"}), Pair("a", {"c"}, {"b"}), Pair("a", {"b"})});
  ASSERT_GE(report.findings.size(), 3u);
  EXPECT_EQ(report.findings[0].kind, "contradictions");
  for (size_t i = 1; i < report.findings.size(); ++i) {
    EXPECT_LE(report.findings[i].severity, report.findings[i - 1].severity);
  }
  for (const Finding& finding : report.findings) {
    if (finding.kind == "several_positives") {
      EXPECT_NE(finding.advice.find("1 anchor occurs in several pairs (about "), std::string::npos) << finding.advice;
      EXPECT_NE(finding.advice.find("NO_DUPLICATES"), std::string::npos) << finding.advice;
    }
  }
}

}  // namespace
}  // namespace tandem
