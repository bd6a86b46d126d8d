#include "client/cli/validation_text.h"

#include <gtest/gtest.h>

namespace tandem::cli {
namespace {

TEST(ValidationTextTest, EachFormOfExamplesHasItsFigures) {
  v1::ValidationMetrics metrics;
  metrics.mutable_retrieval()->set_ndcg_at_10(0.5);
  metrics.mutable_retrieval()->set_queries(7);
  EXPECT_EQ(DescribeValidation(metrics), "nDCG@10 0.5000, recall@10 0.0000, MRR@10 0.0000 (7 queries)");
  metrics.mutable_similarity()->set_spearman(0.25);
  metrics.set_loss(2);
  metrics.set_uniformity(-3);
  EXPECT_EQ(DescribeValidation(metrics), "Spearman 0.2500, Pearson 0.0000, loss 2.0000, uniformity -3.0000");
  metrics.mutable_labelled_pairs()->set_average_precision(0.75);
  EXPECT_EQ(HeadlineOf(metrics), "average precision 0.7500");
  metrics.mutable_classes()->set_knn_accuracy(1);
  EXPECT_EQ(HeadlineOf(metrics), "nearest-neighbour accuracy 1.0000");
}

TEST(ValidationTextTest, PlainTextsHaveTheirLoss) {
  v1::ValidationMetrics metrics;
  EXPECT_EQ(DescribeValidation(metrics), "");
  metrics.set_loss(0.5);
  EXPECT_EQ(HeadlineOf(metrics), "loss 0.5000");
  EXPECT_EQ(DescribeValidation(metrics), "loss 0.5000");
}

}  // namespace
}  // namespace tandem::cli
