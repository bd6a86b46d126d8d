#include "server/training/losses/loss.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/server/training/losses/golden.h"

namespace tandem {
namespace {

torch::Tensor Matrix(const nlohmann::json& values, int64_t columns) {
  return torch::tensor(values.get<std::vector<float>>()).view({-1, columns});
}

struct Found {
  double value = 0;
  torch::Tensor anchors, documents;  // Gradients.
};

Found Differentiate(const LossOptions& loss, const nlohmann::json& golden, int64_t block_numbers = kBlockNumbers) {
  LossBatch batch = JudgedBatch(golden);
  const int64_t dimensions = golden["dimensions"];
  batch.anchors = Matrix(golden["anchors"], dimensions).requires_grad_();
  batch.documents = Matrix(golden["documents"], dimensions).requires_grad_();
  const torch::Tensor value = ComputeLoss(loss, batch, block_numbers);
  value.backward();
  const auto gradient = [](const torch::Tensor& x) { return x.grad().defined() ? x.grad() : torch::zeros_like(x); };
  return {value.item<double>(), gradient(batch.anchors), gradient(batch.documents)};
}

// All cases of the golden file, with losses taken in blocks of so many numbers.
void ExpectGolden(int64_t block_numbers) {
  const nlohmann::json golden = ReadLossGolden("embeddings.json");
  ASSERT_GE(golden["cases"].size(), 180u);
  std::set<std::string> names;
  for (const nlohmann::json& one : golden["cases"]) {
    const std::string what = one["loss"].dump() + " on " + one["batch"].get<std::string>();
    const absl::StatusOr<LossOptions> loss = LossOptionsFromJson(one["loss"]);
    ASSERT_TRUE(loss.ok()) << loss.status();
    names.emplace(NameOf(*loss));
    EXPECT_TRUE(loss->Validate("loss").ok()) << what;
    const nlohmann::json& batch = golden["batches"][one["batch"].get<std::string>()];
    const Found found = Differentiate(*loss, batch, block_numbers);
    const double value = one["value"];
    EXPECT_NEAR(found.value, value, 2e-5 * std::max(1.0, std::abs(value))) << what;
    const torch::Tensor anchors = Matrix(one["anchors"], batch["dimensions"]);
    const torch::Tensor documents = Matrix(one["documents"], batch["dimensions"]);
    const double whole = std::hypot(Norm(anchors), Norm(documents));
    ExpectClose(found.anchors, anchors, whole, what + ": anchors");
    ExpectClose(found.documents, documents, whole, what + ": documents");
  }
  EXPECT_EQ(names.size(), std::variant_size_v<decltype(LossOptions::kind)>) << "a kind of loss has no case";
}

TEST(LossTest, ValueAndGradientsOfTheEmbeddingsAreThoseOfTheReference) { ExpectGolden(kBlockNumbers); }

TEST(LossTest, BlocksOfRowsGiveTheSameNumbers) {
  ExpectGolden(1);   // A row at a time.
  ExpectGolden(25);  // Two or three rows, which does not divide all batches.
}

TEST(LossTest, BlocksOfRowsRecordNothingWithoutGradients) {
  const torch::NoGradGuard no_grad;
  const nlohmann::json golden = ReadLossGolden("embeddings.json")["batches"]["pairs"];
  LossBatch batch = JudgedBatch(golden);
  batch.anchors = Matrix(golden["anchors"], golden["dimensions"]);
  batch.documents = Matrix(golden["documents"], golden["dimensions"]);
  const torch::Tensor value = ComputeLoss(LossOptions(), batch, 1);
  EXPECT_FALSE(value.requires_grad());
  EXPECT_NEAR(value.item<double>(), ComputeLoss(LossOptions(), batch).item<double>(), 1e-6);
}

TEST(LossTest, LengthOfEmbeddingsDoesNotMatterToLossesThatLookAtAngles) {
  const nlohmann::json golden = ReadLossGolden("embeddings.json");
  const std::vector<std::pair<std::string, LossOptions>> cases = {
      {"several_positives", {InfoNceOptions{.symmetric = true, .several_positives = true}, {}}},
      {"pairs_with_ragged_negatives", {NtXentOptions{}, {}}},
      {"labelled_texts", {SupConOptions{}, {}}},
      {"labelled_texts", {TripletOptions{TripletOptions::Mining::kBatchAll, Distance::kCosine, 0.3f}, {}}},
      {"labelled_pairs", {ContrastiveOptions{}, {}}},
      {"pairs", {SimCseOptions{}, {}}},
      {"scored", {CosentOptions{}, {}}},
      {"scored", {AngleOptions{}, {}}},
      {"scored", {CosineMseOptions{}, {}}},
      {"pairs", {NPairOptions{}, {{4, 8}, {}}}},
  };
  for (const auto& [name, loss] : cases) {
    nlohmann::json batch = golden["batches"][name];
    const double value = Differentiate(loss, batch).value;
    for (const char* const side : {"anchors", "documents"}) {
      for (nlohmann::json& number : batch[side]) number = number.get<float>() * 7;
    }
    EXPECT_NEAR(Differentiate(loss, batch).value, value, 1e-5 * std::max(1.0, std::abs(value))) << NameOf(loss);
  }
}

TEST(LossTest, MatryoshkaDimensionsBeyondTheVectorsThrow) {
  const nlohmann::json golden = ReadLossGolden("embeddings.json");
  EXPECT_THROW(Differentiate({InfoNceOptions{}, {{4, 9}, {}}}, golden["batches"]["pairs"]), c10::Error);
}

}  // namespace
}  // namespace tandem
