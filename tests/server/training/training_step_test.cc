#include "server/training/training_step.h"

#include <cmath>
#include <fstream>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/server/training/every_loss.h"
#include "tests/server/training/float64_bert.h"
#include "tests/server/training/golden.h"

namespace tandem {
namespace {

absl::Status GoOn(int64_t, int64_t) { return absl::OkStatus(); }

ExampleSet ReadExamples(const NamedLoss& loss, int count, TextTable& texts) {
  const auto path = std::filesystem::path(testing::TempDir()) / "step_examples.jsonl";
  {
    std::ofstream file(path);
    for (const std::string& line : ExampleLines(loss, count)) file << line << "\n";
  }
  auto set = ReadExampleFile(path, texts);
  EXPECT_TRUE(set.ok()) << set.status();
  if (!set.ok()) return {};
  return std::holds_alternative<SimCseOptions>(loss.loss.kind) ? TwoViewsEach(*std::move(set)) : *std::move(set);
}

class TrainingStepTest : public testing::TestWithParam<NamedLoss> {
 protected:
  void SetUp() override {
    auto model = TextModel::Load(GoldenPath("tiny_bert"));
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
    parameters_ = model_->Parameters();
    embed_ = [this](const PackedTokens& tokens, const DropoutSource& dropout) {
      return model_->Forward(tokens, &dropout);
    };
    for (const ModelParameter& parameter : parameters_) parameter.value.set_requires_grad(true);
  }

  // A step over the first `count` examples of each loss, in the order of the losses.
  TrainingStep Step(const std::vector<NamedLoss>& losses, int32_t count, double weight = 1) {
    losses_ = losses;
    sets_.clear();
    TextTable texts;
    for (const NamedLoss& loss : losses_) sets_.push_back(ReadExamples(loss, count, texts));
    std::vector<const ExampleSet*> pointers;
    for (const ExampleSet& set : sets_) pointers.push_back(&set);
    auto tokens = TokenCache::Make(texts, pointers, model_->tokenizer(), model_->contract(), 64, GoOn);
    EXPECT_TRUE(tokens.ok()) << tokens.status();
    tokens_ = *std::move(tokens);
    examples_.resize(static_cast<size_t>(count));
    for (int32_t i = 0; i < count; ++i) examples_[i] = (i * 7 + 3) % count;
    TrainingStep step(&tokens_, 42, 5);
    for (size_t i = 0; i < sets_.size(); ++i) {
      step.Add({static_cast<int>(i), examples_}, sets_[i], losses_[i].loss, weight);
    }
    return step;
  }

  struct Outcome {
    double loss = 0;
    std::vector<torch::Tensor> gradients;  // Undefined where there is none.
  };
  static Outcome Run(const TrainingStep& step, std::optional<int> micro_batch_size, const EmbedTexts& embed,
                     const std::vector<ModelParameter>& parameters) {
    for (const ModelParameter& parameter : parameters) parameter.value.mutable_grad().reset();
    const auto loss = step.Backward(embed, micro_batch_size, GoOn);
    EXPECT_TRUE(loss.ok()) << loss.status();
    Outcome outcome{loss.value_or(NAN), {}};
    for (const ModelParameter& parameter : parameters) outcome.gradients.push_back(parameter.value.grad());
    return outcome;
  }
  Outcome Run(const TrainingStep& step, std::optional<int> micro_batch_size) const {
    return Run(step, micro_batch_size, embed_, parameters_);
  }

  // Norm of the difference of each parameter's gradients over the larger of its norm and 1e-3 of the whole norm: the
  // largest of them.
  double LargestDifference(const Outcome& a, const Outcome& b) const {
    double square = 0, largest = 0;
    for (const torch::Tensor& gradient : a.gradients) square += std::pow(Norm(gradient), 2);
    for (size_t i = 0; i < parameters_.size(); ++i) {
      EXPECT_EQ(a.gradients[i].defined(), b.gradients[i].defined()) << parameters_[i].name;
      if (!a.gradients[i].defined() || !b.gradients[i].defined()) continue;
      const double norm = std::max(Norm(a.gradients[i]), 1e-3 * std::sqrt(square));
      if (norm > 0) largest = std::max(largest, Norm(a.gradients[i] - b.gradients[i]) / norm);
    }
    return largest;
  }
  static double Norm(const torch::Tensor& tensor) {
    return tensor.defined() ? tensor.to(torch::kFloat64).norm().item<double>() : 0;
  }

  std::unique_ptr<TextModel> model_;
  std::vector<ModelParameter> parameters_;
  EmbedTexts embed_;
  std::vector<NamedLoss> losses_;
  std::vector<ExampleSet> sets_;
  TokenCache tokens_;
  std::vector<int32_t> examples_;
};

TEST_P(TrainingStepTest, PiecesGiveTheGradientsOfTheWholeBatchWithDropout) {
  const TrainingStep step = Step({GetParam()}, 24);
  const Outcome whole = Run(step, std::nullopt);
  ASSERT_TRUE(std::isfinite(whole.loss));
  double square = 0;
  for (const torch::Tensor& gradient : whole.gradients) square += std::pow(Norm(gradient), 2);
  EXPECT_GT(square, 0) << "a batch without gradients tests nothing";
  for (const int micro_batch_size : {1, 5, 16}) {
    const Outcome pieces = Run(step, micro_batch_size);
    EXPECT_NEAR(pieces.loss, whole.loss, 1e-5 * std::max(1.0, whole.loss)) << micro_batch_size;
    EXPECT_LT(LargestDifference(whole, pieces), 5e-6) << micro_batch_size;
  }
}

// In float64 the pieces have the gradients of the whole batch to the last digits; so what is left in float32 is
// rounding, and of that neither has more.
TEST_P(TrainingStepTest, PiecesAreExactButForRounding) {
  const TrainingStep step = Step({GetParam()}, 24);
  const Float64Bert exact(*model_, GoldenPath("tiny_bert"));
  const EmbedTexts embed = [&](const PackedTokens& tokens, const DropoutSource& dropout) {
    return exact.Forward(tokens, dropout);
  };
  const Outcome whole = Run(step, std::nullopt, embed, exact.parameters());
  EXPECT_LT(LargestDifference(whole, Run(step, 5, embed, exact.parameters())), 1e-13);
  EXPECT_LT(LargestDifference(whole, Run(step, std::nullopt)), 1e-5);
  EXPECT_LT(LargestDifference(whole, Run(step, 5)), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(EveryLoss, TrainingStepTest, testing::ValuesIn(EveryLoss()),
                         [](const auto& info) { return info.param.name; });

// Those that need no particular loss.
class OneStepTest : public TrainingStepTest {};
INSTANTIATE_TEST_SUITE_P(InfoNce, OneStepTest, testing::Values(EveryLoss()[0]),
                         [](const auto& info) { return info.param.name; });

TEST_P(OneStepTest, DropoutIsOnAndFollowsFromTheStep) {
  const TrainingStep step = Step({GetParam()}, 12);
  TrainingStep other(&tokens_, 42, 6);
  other.Add({0, examples_}, sets_[0], losses_[0].loss, 1);
  const Outcome first = Run(step, std::nullopt), again = Run(step, std::nullopt), next = Run(other, std::nullopt);
  EXPECT_EQ(first.loss, again.loss);
  EXPECT_EQ(LargestDifference(first, again), 0);
  EXPECT_GT(LargestDifference(first, next), 0.1);
}

TEST_P(OneStepTest, SeveralLossesAddUpByTheirWeightsInPiecesToo) {
  std::vector<NamedLoss> losses;
  for (const NamedLoss& loss : EveryLoss()) {
    if (loss.name == "InfoNce" || loss.name == "SupCon" || loss.name == "SimCse") losses.push_back(loss);
  }
  const TrainingStep together = Step(losses, 16, 0.25);
  const Outcome whole = Run(together, std::nullopt), pieces = Run(together, 7);
  EXPECT_LT(LargestDifference(whole, pieces), 1e-5);
  double sum = 0;
  for (int i = 0; i < 3; ++i) {
    TrainingStep alone(&tokens_, 42, 5);
    alone.Add({i, examples_}, sets_[i], losses_[i].loss, 1);
    sum += 0.25 * Run(alone, std::nullopt).loss;
  }
  EXPECT_NEAR(whole.loss, sum, 1e-5);
  EXPECT_NEAR(pieces.loss, sum, 1e-5);
}

TEST_P(OneStepTest, FrozenParametersHaveNoGradientAndOthersTheSame) {
  const TrainingStep step = Step({GetParam()}, 12);
  const Outcome all = Run(step, std::nullopt);
  for (const ModelParameter& parameter : parameters_) parameter.value.set_requires_grad(parameter.layer > 1);
  for (const std::optional<int> micro_batch_size : {std::optional<int>(), std::optional<int>(5)}) {
    const Outcome some = Run(step, micro_batch_size);
    for (size_t i = 0; i < parameters_.size(); ++i) {
      EXPECT_EQ(some.gradients[i].defined(), parameters_[i].layer > 1) << parameters_[i].name;
      if (parameters_[i].layer <= 1) continue;
      EXPECT_LT(Norm(some.gradients[i] - all.gradients[i]), 1e-5 * std::max(1e-2, Norm(all.gradients[i])))
          << parameters_[i].name;
    }
  }
}

TEST_P(OneStepTest, LossThatIsNotFiniteHasNoGradients) {
  const TrainingStep step = Step({GetParam()}, 12);
  {
    const torch::NoGradGuard no_grad;
    parameters_.back().value.fill_(std::numeric_limits<float>::quiet_NaN());
  }
  for (const std::optional<int> micro_batch_size : {std::optional<int>(), std::optional<int>(5)}) {
    const Outcome outcome = Run(step, micro_batch_size);
    EXPECT_FALSE(std::isfinite(outcome.loss));
    for (const torch::Tensor& gradient : outcome.gradients) EXPECT_FALSE(gradient.defined());
  }
}

TEST_P(OneStepTest, AStepInPiecesStopsBetweenTwoOfThem) {
  const TrainingStep step = Step({GetParam()}, 12);
  for (const int64_t pieces : {1, 4, 8}) {
    int64_t calls = 0;
    const auto loss = step.Backward(embed_, 5, [&](int64_t done, int64_t total) {
      EXPECT_LE(done, total);
      return ++calls == pieces ? absl::CancelledError() : absl::OkStatus();
    });
    EXPECT_TRUE(absl::IsCancelled(loss.status()));
    EXPECT_EQ(calls, pieces);
  }
}

}  // namespace
}  // namespace tandem
