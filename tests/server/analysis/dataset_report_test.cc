#include "server/analysis/dataset_report.h"

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

}  // namespace
}  // namespace tandem
