#include "server/base/validation_metrics.h"

#include <gtest/gtest.h>

namespace tandem {
namespace {

std::vector<ValidationResult> OneOfEachKind() {
  std::vector<ValidationResult> results(5);
  results[0].loss = 0.5;
  results[0].metrics.retrieval = RetrievalMetrics{.ndcg_at_10 = 0.75, .recall_at_10 = 1, .queries = 9, .map = 0.25};
  results[0].metrics.alignment = 0.1;
  results[0].metrics.uniformity = -2.5;
  results[1].metrics.similarity = SimilarityMetrics{.spearman = 0.875, .pearson = -0.5};
  results[2].metrics.pairs = PairMetrics{.average_precision = 0.625,
                                         .best_accuracy = 0.5,
                                         .best_accuracy_threshold = 0.25,
                                         .best_f1 = 0.75,
                                         .best_f1_threshold = -0.125};
  results[3].metrics.classes = ClassMetrics{.knn_accuracy = 0.3125, .texts = 16};
  results[4].loss = 2;
  return results;
}

TEST(ValidationMetricsTest, SurvivesJson) {
  for (const ValidationResult& result : OneOfEachKind()) {
    const auto read = ValidationResultFromJson(ToJson(result));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(ToJson(*read), ToJson(result));
    EXPECT_EQ(read->loss, result.loss);
    EXPECT_EQ(read->metrics.score(), result.metrics.score());
  }
}

TEST(ValidationMetricsTest, ScoreIsThatOfTheKind) {
  const std::vector<ValidationResult> results = OneOfEachKind();
  const double expected[] = {0.75, 0.875, 0.625, 0.3125, 0};
  for (size_t i = 0; i < results.size(); ++i) EXPECT_EQ(results[i].metrics.score(), expected[i]);
}

TEST(ValidationMetricsTest, WholeEventIsReadAndForeignKeysArePassedOver) {
  nlohmann::json event = ToJson(OneOfEachKind()[0]);
  event["type"] = "validation";
  event["step"] = 7;
  event["best"] = true;
  const auto read = ValidationResultFromJson(event);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->metrics.retrieval->map, 0.25);
}

TEST(ValidationMetricsTest, DamageNamesTheKey) {
  for (const ValidationResult& result : OneOfEachKind()) {
    const nlohmann::json whole = ToJson(result);
    for (const auto& [key, value] : whole.items()) {
      nlohmann::json damaged = whole;
      damaged[key] = "text";
      const absl::Status status = ValidationResultFromJson(damaged).status();
      EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
      EXPECT_NE(std::string(status.message()).find(key), std::string::npos) << status;
    }
  }
  nlohmann::json half = ToJson(OneOfEachKind()[0]);
  half.erase("mrr_at_10");
  EXPECT_EQ(ValidationResultFromJson(half).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ValidationResultFromJson(nlohmann::json::array()).status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace tandem
