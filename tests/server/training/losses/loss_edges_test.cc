// Batches at the edges of what a loss is defined on: values, and gradients that are finite.

#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "server/training/losses/loss.h"
#include "tests/server/training/losses/golden.h"

namespace tandem {
namespace {

using Mining = TripletOptions::Mining;

constexpr Distance kDistances[] = {Distance::kEuclidean, Distance::kCosine};
constexpr Mining kMined[] = {Mining::kBatchAll, Mining::kBatchHard, Mining::kBatchHardSoftMargin,
                             Mining::kBatchSemiHard};

// n pairs and no negatives.
LossBatch Pairs(const torch::Tensor& anchors, const torch::Tensor& documents) {
  LossBatch batch;
  const int64_t n = anchors.size(0);
  batch.anchors = anchors.clone().requires_grad_();
  batch.documents = documents.clone().requires_grad_();
  batch.positive_offsets.resize(n + 1);
  std::iota(batch.positive_offsets.begin(), batch.positive_offsets.end(), 0);
  batch.negative_offsets.assign(n + 1, n);
  return batch;
}

LossBatch Labelled(const torch::Tensor& texts, std::vector<int64_t> labels) {
  LossBatch batch = Pairs(texts, torch::zeros({0, texts.size(1)}));
  batch.positive_offsets.assign(texts.size(0) + 1, 0);
  batch.negative_offsets.assign(texts.size(0) + 1, 0);
  batch.labels = std::move(labels);
  return batch;
}

// Expects finite gradients; returns the value.
double Value(const LossOptions& loss, const LossBatch& batch) {
  const torch::Tensor value = ComputeLoss(loss, batch);
  value.backward();
  for (const torch::Tensor& side : {batch.anchors, batch.documents}) {
    if (!side.grad().defined()) continue;
    EXPECT_TRUE(torch::isfinite(side.grad()).all().item<bool>()) << NameOf(loss);
  }
  return value.item<double>();
}

// The loss is 0 and has gradients, all of them 0.
void ExpectNoLoss(const LossOptions& loss, const LossBatch& batch) {
  EXPECT_EQ(Value(loss, batch), 0) << NameOf(loss);
  ASSERT_TRUE(batch.anchors.grad().defined()) << NameOf(loss);
  EXPECT_EQ(Norm(batch.anchors.grad()), 0) << NameOf(loss);
}

torch::Tensor Random(int64_t rows, int64_t columns = 6) {
  torch::manual_seed(rows);
  return torch::randn({rows, columns});
}

TEST(LossEdgesTest, ExplicitNegativesTakeNoPartInTheBackwardDirection) {
  // One pair and a negative: positive to anchors is a softmax over one anchor, whose loss is 0.
  LossBatch batch = Pairs(torch::tensor({{1.0f, 0.0f}}), torch::tensor({{1.0f, 0.0f}, {0.0f, 1.0f}}));
  batch.negative_offsets = {1, 2};
  const double one_way = std::log(1 + std::exp(-3.0));
  EXPECT_NEAR(Value({InfoNceOptions{.scale = 3}, {}}, batch), one_way, 1e-6);
  EXPECT_NEAR(Value({InfoNceOptions{.scale = 3, .symmetric = true}, {}}, batch), one_way / 2, 1e-6);
}

TEST(LossEdgesTest, OnePairAloneHasNoInfoNce) {
  const torch::Tensor a = Random(1), b = Random(1) + 1;
  ExpectNoLoss({InfoNceOptions{}, {}}, Pairs(a, b));
  ExpectNoLoss({InfoNceOptions{.query_negatives = true, .document_negatives = true}, {}}, Pairs(a, b));
  ExpectNoLoss({NtXentOptions{}, {}}, Pairs(a, b));
}

TEST(LossEdgesTest, AnchorWhoseNegativesAreAllMaskedHasNoLoss) {
  const LossBatch batch = Pairs(Random(3), Random(3).flip(0));
  InfoNceOptions options{.query_negatives = true, .document_negatives = true, .false_negative_margin = 2.0f};
  ExpectNoLoss({options, {}}, batch);
}

TEST(LossEdgesTest, PositiveIsNeverAFalseNegative) {
  // Anchor and positive are opposite: every other document is closer.
  const torch::Tensor a = torch::tensor({{1.0f, 0.0f}, {0.0f, 1.0f}});
  const LossBatch batch = Pairs(a, -a);
  EXPECT_NEAR(Value({InfoNceOptions{.scale = 3, .false_negative_margin = 0.0f}, {}}, batch), 0, 1e-6);
  EXPECT_NEAR(Value({InfoNceOptions{.scale = 3, .symmetric = true, .false_negative_margin = 0.0f}, {}}, batch), 0,
              1e-6);
  // With room for all that is less than 1.5 closer, they count again.
  const double all = std::log(1 + std::exp(3.0));
  EXPECT_NEAR(Value({InfoNceOptions{.scale = 3, .false_negative_margin = -1.5f}, {}}, batch), all, 1e-6);
}

TEST(LossEdgesTest, SeveralPositivesOfOneEachAreOnePositiveEach) {
  const LossBatch batch = Pairs(Random(5), Random(5).flip(0) + 1);
  for (const bool symmetric : {false, true}) {
    const double one = Value({InfoNceOptions{.symmetric = symmetric}, {}}, batch);
    EXPECT_EQ(Value({InfoNceOptions{.symmetric = symmetric, .several_positives = true}, {}}, batch), one);
  }
}

TEST(LossEdgesTest, EqualTextsHaveFiniteGradientsInEveryLossOnPairs) {
  const torch::Tensor x = Random(4);
  const torch::Tensor copies = torch::cat({x.narrow(0, 0, 1), x.narrow(0, 0, 1), x.narrow(0, 2, 2)});
  LossBatch batch = Pairs(copies, copies);
  batch.scores = {0.5f, 1, 0, 0.5f};
  batch.similar = {1, 0, 0, 1};
  std::vector<LossOptions> losses = {
      {InfoNceOptions{
           .symmetric = true, .query_negatives = true, .document_negatives = true, .false_negative_margin = 0.0f},
       {}},
      {NtXentOptions{}, {}},
      {NPairOptions{0.02f}, {}},
      {SimCseOptions{}, {}},
      {CosentOptions{}, {}},
      {AngleOptions{}, {}},
      {CosineMseOptions{}, {{2, 6}, {}}}};
  for (const Distance distance : kDistances) {
    for (const bool squared : {false, true}) {
      losses.push_back({ContrastiveOptions{distance, 0.5f, squared, false}, {}});
      losses.push_back({ContrastiveOptions{distance, 0.5f, squared, true}, {}});
    }
  }
  for (const LossOptions& loss : losses) EXPECT_TRUE(std::isfinite(Value(loss, batch))) << NameOf(loss);

  LossBatch triplets = Pairs(copies, torch::cat({copies, copies}));
  triplets.negative_offsets = {4, 5, 6, 7, 8};
  for (const Distance distance : kDistances) {
    EXPECT_NEAR(Value({TripletOptions{Mining::kExplicit, distance, 0.5f}, {}}, triplets), 0.5, 1e-6);
  }
}

TEST(LossEdgesTest, EqualTextsHaveFiniteGradientsInEveryLossOnClasses) {
  const torch::Tensor x = Random(2);
  const torch::Tensor texts = torch::cat({x, x, x});  // The same text in both classes, and twice in one.
  for (const std::vector<int64_t>& labels : {std::vector<int64_t>{0, 0, 0, 1, 1, 1}, {0, 1, 0, 1, 0, 1}}) {
    EXPECT_TRUE(std::isfinite(Value({SupConOptions{}, {}}, Labelled(texts, labels))));
    for (const Distance distance : kDistances) {
      for (const Mining mining : kMined) {
        const double value = Value({TripletOptions{mining, distance, 0.5f}, {}}, Labelled(texts, labels));
        EXPECT_TRUE(std::isfinite(value)) << static_cast<int>(mining);
      }
    }
  }
  // All texts are equal: each triplet has the value of the margin, and nowhere to go.
  const LossBatch equal = Labelled(x.narrow(0, 0, 1).repeat({4, 1}), {0, 0, 1, 1});
  for (const Mining mining : {Mining::kBatchAll, Mining::kBatchHard, Mining::kBatchSemiHard}) {
    EXPECT_NEAR(Value({TripletOptions{mining, Distance::kEuclidean, 0.5f}, {}}, equal), 0.5, 1e-6);
    EXPECT_EQ(Norm(equal.anchors.grad()), 0);
  }
}

TEST(LossEdgesTest, BatchWithoutTripletGivesNothing) {
  for (const Distance distance : kDistances) {
    for (const Mining mining : kMined) {
      const LossOptions loss{TripletOptions{mining, distance, 5}, {}};
      ExpectNoLoss(loss, Labelled(Random(5), {3, 3, 3, 3, 3}));  // One class only.
      ExpectNoLoss(loss, Labelled(Random(4), {0, 1, 2, 3}));     // Nobody has a positive.
      ExpectNoLoss(loss, Labelled(Random(1), {0}));
    }
    ExpectNoLoss({TripletOptions{Mining::kExplicit, distance, 5}, {}}, Pairs(Random(3), Random(3) + 1));
  }
  ExpectNoLoss({SupConOptions{}, {}}, Labelled(Random(5), {3, 3, 3, 3, 3}));
  ExpectNoLoss({SupConOptions{}, {}}, Labelled(Random(4), {0, 1, 2, 3}));
  ExpectNoLoss({SupConOptions{}, {{2, 4}, {}}}, Labelled(Random(4), {0, 1, 2, 3}));
}

TEST(LossEdgesTest, BatchAllWithoutAHardTripletGivesNothing) {
  // Two tight classes far apart: every triplet is satisfied.
  const torch::Tensor texts = torch::tensor({{0.0f, 0.0f}, {0.1f, 0.0f}, {9.0f, 0.0f}, {9.1f, 0.0f}});
  const LossBatch batch = Labelled(texts, {0, 0, 1, 1});
  ExpectNoLoss({TripletOptions{Mining::kBatchAll, Distance::kEuclidean, 1}, {}}, batch);
  // With a margin of 9.05: of the eight triplets those with negatives 9 and 8.9 away count, in values 0.15 and 0.25.
  EXPECT_NEAR(Value({TripletOptions{Mining::kBatchAll, Distance::kEuclidean, 9.05f}, {}}, batch),
              (4 * 0.15 + 2 * 0.25 + 2 * 0.05) / 8, 1e-5);
}

TEST(LossEdgesTest, AnchorAloneInItsClassIsNoAnchorOfSupCon) {
  const torch::Tensor texts = Random(5);
  const LossBatch batch = Labelled(texts, {0, 0, 1, 2, 3});
  // By hand for the two anchors with a positive.
  const torch::Tensor unit = texts / texts.norm(2, 1, true);
  const torch::Tensor logits = torch::matmul(unit, unit.t()) / 0.1;
  double expected = 0;
  for (const int i : {0, 1}) {
    double sum = 0;
    for (int j = 0; j < 5; ++j) sum += j == i ? 0 : std::exp(logits[i][j].item<double>());
    expected += (std::log(sum) - logits[i][1 - i].item<double>()) / 2;
  }
  EXPECT_NEAR(Value({SupConOptions{}, {}}, batch), expected, 1e-5);
}

TEST(LossEdgesTest, ScoredPairsWithEqualScoresAreNotHeldAgainstEachOther) {
  LossBatch batch = Pairs(Random(4), Random(4) + 1);
  batch.scores = {0.5f, 0.5f, 0.5f, 0.5f};
  ExpectNoLoss({CosentOptions{}, {}}, batch);
  ExpectNoLoss({AngleOptions{}, {}}, batch);
}

TEST(LossEdgesTest, CosentOfIdenticalSimilaritiesIsTheLogarithmOfTheOrderedPairs) {
  const torch::Tensor x = Random(1).repeat({3, 1});
  LossBatch batch = Pairs(x, x);
  batch.scores = {0, 0.5f, 1};
  EXPECT_NEAR(Value({CosentOptions{}, {}}, batch), std::log(1 + 3), 1e-5);
}

TEST(LossEdgesTest, OnlyHardPairsOfABatchThatIsSortedAlreadyGiveNothing) {
  const torch::Tensor x = Random(4);
  LossBatch batch = Pairs(x, torch::cat({x.narrow(0, 0, 2), -x.narrow(0, 2, 2)}));
  batch.similar = {1, 1, 0, 0};
  for (const Distance distance : kDistances) {
    ExpectNoLoss({ContrastiveOptions{.distance = distance, .only_hard = true}, {}}, batch);
  }
}

TEST(LossEdgesTest, BatchOfTwoTrainsEveryLoss) {
  LossBatch pairs = Pairs(Random(2), Random(2).flip(0) + 0.5);
  pairs.scores = {1, 0};
  pairs.similar = {0, 1};
  for (const LossOptions& loss : std::vector<LossOptions>{{InfoNceOptions{}, {}},
                                                          {NtXentOptions{}, {}},
                                                          {NPairOptions{}, {}},
                                                          {ContrastiveOptions{.margin = 2}, {}},
                                                          {SimCseOptions{}, {}},
                                                          {CosentOptions{}, {}},
                                                          {AngleOptions{}, {}},
                                                          {CosineMseOptions{}, {}}}) {
    pairs.anchors.mutable_grad().reset();
    EXPECT_GT(Value(loss, pairs), 0) << NameOf(loss);
    EXPECT_GT(Norm(pairs.anchors.grad()), 0) << NameOf(loss);
  }
}

}  // namespace
}  // namespace tandem
