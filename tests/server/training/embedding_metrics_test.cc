#include "server/training/embedding_metrics.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "server/base/class_metrics.h"
#include "tests/server/base/metrics_golden.h"

namespace tandem {
namespace {

torch::Tensor Rows(const nlohmann::json& golden, const char* key) {
  return torch::tensor(golden[key].get<std::vector<float>>()).view({golden["rows"].get<int64_t>(), -1});
}

TEST(EmbeddingMetricsTest, EqualsScikitLearnAndThePaper) {
  const nlohmann::json golden = test::MetricsGolden("vectors");
  const torch::Tensor x = Rows(golden, "x"), y = Rows(golden, "y");
  const auto labels = golden["labels"].get<std::vector<int32_t>>();
  EXPECT_NEAR(MeasureClasses(labels, NearestNeighbours(x)).knn_accuracy, golden["knn_accuracy"].get<double>(), 1e-12);
  EXPECT_NEAR(Alignment(x, y), golden["alignment"].get<double>(), 1e-6);
  EXPECT_NEAR(Uniformity(x), golden["uniformity"].get<double>(), 1e-6);
}

TEST(EmbeddingMetricsTest, EqualVectorsAreAlignedAndNotUniform) {
  const torch::Tensor same = torch::tensor({1.f, 0.f}).repeat({3, 1});
  EXPECT_EQ(Alignment(same, same), 0);
  EXPECT_NEAR(Uniformity(same), 0, 1e-6);
  const torch::Tensor opposite = torch::tensor({{1.f, 0.f}, {-1.f, 0.f}});
  EXPECT_NEAR(Uniformity(opposite), -8, 1e-6);
}

TEST(EmbeddingMetricsTest, BlocksCoverAllRowsInOrder) {
  // So many columns that a block has three rows.
  const torch::Tensor a = torch::arange(7, torch::kFloat32).view({7, 1});
  const torch::Tensor b = torch::ones({kBlockProducts / 3, 1});
  std::vector<int64_t> begins;
  int64_t rows = 0;
  ForEachBlock(a, b, [&](int64_t begin, const torch::Tensor& products) {
    begins.push_back(begin);
    rows += products.size(0);
    EXPECT_EQ(products[0][0].item<float>(), static_cast<float>(begin));
  });
  EXPECT_EQ(begins, (std::vector<int64_t>{0, 3, 6}));
  EXPECT_EQ(rows, 7);
}

}  // namespace
}  // namespace tandem
