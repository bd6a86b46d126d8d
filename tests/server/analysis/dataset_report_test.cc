#include "server/analysis/dataset_report.h"

#include <map>
#include <string>

#include <gtest/gtest.h>

namespace tandem {
namespace {

TEST(DatasetReportTest, LowestCommitsAreKept) {
  Counted counted;
  for (const int64_t commit : {9, 4, 8, 4, 7, 6, 5, 1}) counted.Add(commit);
  EXPECT_EQ(counted.count, 8);
  EXPECT_EQ(counted.commits, (std::vector<int64_t>{1, 4, 5, 6, 7}));
}

TEST(DatasetReportTest, JsonHasWhatIsSet) {
  DatasetReport report;
  report.examples = 3;
  report.shared_texts.Add(7);
  report.labels = {.classes = 2, .smallest = "x", .largest = "y"};
  report.findings.push_back({Severity::kError, "labels", 1, {7}, "Change it."});
  const nlohmann::json json = ToJson(report);
  EXPECT_EQ(json["examples"], 3);
  EXPECT_EQ(json["shared_texts"], (nlohmann::json{{"count", 1}, {"commits", {7}}}));
  EXPECT_EQ(json["labels"]["largest"], "y");
  EXPECT_EQ(json["findings"][0]["severity"], 3);
  EXPECT_EQ(json["findings"][0]["advice"], "Change it.");
  EXPECT_FALSE(json.contains("scores"));
  EXPECT_FALSE(json.contains("first_lengths"));
}

DatasetReport FullReport() {
  DatasetReport report{.examples = 9, .rows = 12, .texts = 30, .distinct_texts = 25, .forms = {0, 5, 4, 0, 0, 0}};
  report.exact_duplicates.Add(3);
  report.shared_anchors.Add(8);
  report.false_negatives = 0.25;
  report.validation_examples = 4;
  report.first_lengths = TextLengths{.texts = 9,
                                     .mean = 5.5,
                                     .median = 5,
                                     .percentile_90 = 8,
                                     .percentile_99 = 9,
                                     .longest = 9,
                                     .truncated = {2, {1, 4}},
                                     .histogram = {0, 1, 8}};
  report.second_lengths = TextLengths{.texts = 1};
  report.labels = LabelBalance{.classes = 2,
                               .smallest = "x",
                               .largest = "y",
                               .smallest_size = 1,
                               .largest_size = 8,
                               .single_texts = 1,
                               .entropy = 0.5};
  report.scores = ScoreDistribution{.lowest = 0.25, .highest = 1, .mean = 0.5, .histogram = {1, 0, 3}};
  report.similar = 3;
  report.dissimilar = 1;
  report.findings = {{Severity::kWarning, "labels", 1, {7}, "Change it."}};
  return report;
}

TEST(DatasetReportTest, ComesBackFromItsJson) {
  for (const DatasetReport& report : {DatasetReport(), FullReport()}) {
    const nlohmann::json json = ToJson(report);
    const auto back = DatasetReportFromJson(json);
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(ToJson(*back), json);
  }
}

TEST(DatasetReportTest, JsonThatIsNoReportIsRefused) {
  for (const auto& [key, value] : std::map<std::string, nlohmann::json>{{"examples", "many"},
                                                                        {"forms", {1, 2}},
                                                                        {"shared_texts", 3},
                                                                        {"labels", {{"classes", 1.5}}},
                                                                        {"findings", {{{"severity", 9}}}},
                                                                        {"surprise", 1}}) {
    nlohmann::json json = ToJson(FullReport());
    json[key] = value;
    EXPECT_TRUE(absl::IsInvalidArgument(DatasetReportFromJson(json).status())) << key;
  }
  EXPECT_FALSE(DatasetReportFromJson(nlohmann::json::array()).ok());
}

}  // namespace
}  // namespace tandem
