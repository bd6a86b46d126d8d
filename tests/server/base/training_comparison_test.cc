#include "server/base/training_comparison.h"

#include <gtest/gtest.h>

namespace tandem {
namespace {

TrainingComparison Example() {
  TrainingComparison comparison{.step = 40, .before = {}, .after = {}};
  comparison.before.metrics.similarity = SimilarityMetrics{.spearman = 0.5, .pearson = 0.25};
  comparison.after.metrics.similarity = SimilarityMetrics{.spearman = 0.75, .pearson = 0.5};
  comparison.after.loss = 2;
  comparison.metrics = {{"spearman", {{0.5, 0.4, 0.6}, {0.75, 0.7, 0.8}, {0.25, 0.2, 0.3}}},
                        {"pearson", {{0.25, 0.1, 0.3}, {0.5, 0.4, 0.6}, {0.25, 0.1, 0.4}}}};
  comparison.changes.fell = {{"a ↔ b", 0.5, 0.25}};
  return comparison;
}

TEST(TrainingComparisonTest, ComesBackFromJsonAsItWas) {
  nlohmann::json json = ToJson(Example());
  json["type"] = "comparison";
  const auto back = TrainingComparisonFromJson(nlohmann::json::parse(json.dump()));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(ToJson(*back), ToJson(Example()));
  EXPECT_EQ(back->step, 40);
  EXPECT_EQ(back->metrics[1].figure.difference.upper, 0.4);
  EXPECT_EQ(back->changes.fell[0].text, "a ↔ b");
  EXPECT_FALSE(back->before.loss.has_value());
}

TEST(TrainingComparisonTest, DamagedJsonIsDataLossThatNamesTheKey) {
  const auto fault = [](const char* key, const nlohmann::json& value) {
    nlohmann::json json = ToJson(Example());
    json[key] = value;
    const auto comparison = TrainingComparisonFromJson(json);
    EXPECT_EQ(comparison.status().code(), absl::StatusCode::kDataLoss) << key;
    return std::string(comparison.status().message());
  };
  EXPECT_NE(fault("step", "x").find("step"), std::string::npos);
  EXPECT_NE(fault("metrics", 3).find("metrics"), std::string::npos);
  EXPECT_NE(fault("metrics", {{{"name", 4}}}).find("name"), std::string::npos);
  EXPECT_NE(fault("metrics", {{{"name", "x"}, {"before", {1, 2, 3}}, {"after", {1, 2}}}}).find("after"),
            std::string::npos);
  fault("before", nullptr);
  fault("changes", {{"fell", {}}});
}

}  // namespace
}  // namespace tandem
