#include "server/training/epoch_miner.h"

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/server/training/golden.h"

namespace tandem {
namespace {

constexpr int kAnchors = 24;

absl::Status GoOn(int64_t, int64_t) { return absl::OkStatus(); }

class EpochMinerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto model = TextModel::Load(GoldenPath("tiny_bert"));
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
    const std::vector<std::string> words = {"search", "index", "model", "image", "network", "server", "tree", "music"};
    const auto text = [&](int i) { return words[i % 8] + " " + words[i * 5 / 8 % 8] + " " + std::to_string(i); };
    for (int i = 0; i < kAnchors; ++i) {
      TrainingExample example{.anchor = texts_.Intern("find " + text(i)),
                              .positives = {texts_.Intern("here is " + text(i))}};
      if (i % 4 == 0) example.negatives = {texts_.Intern("a letter " + text(i)), texts_.Intern(text(i + 1))};
      // A document with the text of an anchor, and anchors with two examples.
      if (i % 5 == 1) example.negatives = {texts_.Intern("find " + text(i - 1))};
      set_.examples.push_back(example);
      if (i % 6 == 0) {
        set_.examples.push_back({.anchor = example.anchor, .positives = {texts_.Intern("there is " + text(i))}});
      }
    }
    auto tokens = TokenCache::Make(texts_, std::vector<const ExampleSet*>{&set_}, model_->tokenizer(),
                                   model_->contract(), 64, GoOn);
    ASSERT_TRUE(tokens.ok()) << tokens.status();
    tokens_ = *std::move(tokens);
    positives_.emplace(set_);
  }

  EpochMiner::Found Mine(const NegativeMiningOptions& options, int64_t epoch = 0) {
    auto found = EpochMiner(set_, *positives_, &tokens_, options).Mine(*model_, epoch, GoOn);
    EXPECT_TRUE(found.ok()) << found.status();
    return found.ok() ? *std::move(found) : EpochMiner::Found();
  }

  std::vector<float> Embed(const TokenizedText& text) {
    const torch::NoGradGuard no_grad;
    const torch::Tensor row = model_->Forward(Pack(std::vector<const TokenizedText*>{&text}), nullptr)[0].contiguous();
    return {row.data_ptr<float>(), row.data_ptr<float>() + row.numel()};
  }

  // Cosine of an anchor and a document, text by text and in double.
  double Cosine(TextId anchor, TextId document) {
    const std::vector<float> a = Embed(tokens_.anchor(anchor)), b = Embed(tokens_.document(document));
    double product = 0, of_a = 0, of_b = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      product += static_cast<double>(a[i]) * b[i];
      of_a += static_cast<double>(a[i]) * a[i];
      of_b += static_cast<double>(b[i]) * b[i];
    }
    return product / std::sqrt(of_a * of_b);
  }

  std::set<TextId> Documents() const {
    std::set<TextId> documents;
    for (const TrainingExample& example : set_.examples) {
      documents.insert(example.positives.begin(), example.positives.end());
      documents.insert(example.negatives.begin(), example.negatives.end());
    }
    return documents;
  }

  // All documents that may have a rank for an example, best first.
  std::vector<RankedDocument> Ranking(const TrainingExample& example) {
    std::vector<RankedDocument> ranking;
    for (const TextId document : Documents()) {
      const auto is = [&](std::span<const TextId> texts) { return std::ranges::count(texts, document) > 0; };
      if (document == example.anchor || is(positives_->of(example.anchor)) || is(example.negatives)) continue;
      ranking.push_back({document, static_cast<float>(Cosine(example.anchor, document))});
    }
    std::ranges::sort(ranking, [](const auto& a, const auto& b) { return a.score > b.score; });
    return ranking;
  }

  std::unique_ptr<TextModel> model_;
  TextTable texts_;
  ExampleSet set_;
  TokenCache tokens_;
  std::optional<KnownPositives> positives_;
};

TEST_F(EpochMinerTest, ChoosesByTheCosinesOfTextsEmbeddedOneByOne) {
  for (const NegativeMiningOptions& options :
       {NegativeMiningOptions{.negatives = 4}, NegativeMiningOptions{.negatives = 3, .min_rank = 3, .max_rank = 9},
        NegativeMiningOptions{.negatives = 8, .max_rank = 1000, .margin = 0.002},
        NegativeMiningOptions{.negatives = 8, .max_rank = 12, .relative_margin = 0.005, .min_score = 0.1}}) {
    const EpochMiner::Found found = Mine(options);
    ASSERT_EQ(found.negatives.size(), set_.size());
    int64_t differ = 0, without = 0;
    double sum = 0;
    for (int64_t i = 0; i < set_.size(); ++i) {
      const TrainingExample& example = set_.examples[static_cast<size_t>(i)];
      double lowest = 2;
      for (const TextId positive : positives_->of(example.anchor)) {
        lowest = std::min(lowest, Cosine(example.anchor, positive));
      }
      const std::vector<int64_t> expected =
          ChooseNegatives(Ranking(example), static_cast<float>(lowest), options, /*anchor_key=*/0);
      const std::span<const TextId> chosen = found.negatives.of(i);
      // Documents whose cosines are a rounding apart may change places.
      differ += !std::ranges::equal(chosen, expected);
      without += chosen.empty();
      for (const TextId text : chosen) sum += Cosine(example.anchor, text);
    }
    EXPECT_LE(differ, 1);
    EXPECT_EQ(found.figures.examples, set_.size() - without);
    EXPECT_GT(found.negatives.texts.size(), 0);
    EXPECT_NEAR(found.figures.mean_negative_score, sum / static_cast<double>(found.negatives.texts.size()), 1e-5);
    EXPECT_EQ(found.figures.anchors, kAnchors);
    EXPECT_EQ(found.figures.documents, static_cast<int64_t>(Documents().size()));
  }
}

TEST_F(EpochMinerTest, NoPositiveOfTheAnchorNorItsTextNorAGivenNegativeIsMined) {
  const EpochMiner::Found found = Mine({.negatives = 64, .max_rank = 1000});
  for (int64_t i = 0; i < set_.size(); ++i) {
    const TrainingExample& example = set_.examples[static_cast<size_t>(i)];
    std::set<TextId> expected = Documents();
    expected.erase(example.anchor);
    for (const TextId text : positives_->of(example.anchor)) expected.erase(text);
    for (const TextId text : example.negatives) expected.erase(text);
    const std::span<const TextId> chosen = found.negatives.of(i);
    EXPECT_EQ(std::set<TextId>(chosen.begin(), chosen.end()), expected);
  }
}

TEST_F(EpochMinerTest, WithThoseOfAnExampleThereAre64AtMost) {
  TrainingExample& example = set_.examples[2];
  example.negatives.assign(61, *Documents().begin());  // Texts may repeat.
  EXPECT_EQ(Mine({.negatives = 5}).negatives.of(2).size(), 3);
  example.negatives.resize(64, *Documents().begin());
  EXPECT_EQ(Mine({.negatives = 5}).negatives.of(2).size(), 0);
}

TEST_F(EpochMinerTest, ARandomChoiceDiffersFromEpochToEpoch) {
  const NegativeMiningOptions options{.negatives = 3, .sampling = NegativeMiningOptions::Sampling::kRandom};
  EXPECT_EQ(Mine(options, 1).negatives.texts, Mine(options, 1).negatives.texts);
  EXPECT_NE(Mine(options, 1).negatives.texts, Mine(options, 2).negatives.texts);
}

TEST_F(EpochMinerTest, EndsWhenItMayNotProceed) {
  const EpochMiner miner(set_, *positives_, &tokens_, {});
  int calls = 0;
  ASSERT_TRUE(miner.Mine(*model_, 0, [&](int64_t, int64_t) { return ++calls, absl::OkStatus(); }).ok());
  EXPECT_GE(calls, 2);
  for (int last = 1; last <= calls; ++last) {
    int left = last;
    const auto found = miner.Mine(
        *model_, 0, [&](int64_t, int64_t) { return --left > 0 ? absl::OkStatus() : absl::CancelledError(); });
    EXPECT_TRUE(absl::IsCancelled(found.status())) << last;
  }
}

TEST_F(EpochMinerTest, AnEmbeddingThatIsNotFiniteIsAnError) {
  const torch::NoGradGuard no_grad;
  model_->Parameters()[0].value.fill_(std::numeric_limits<float>::quiet_NaN());
  const auto found = EpochMiner(set_, *positives_, &tokens_, {}).Mine(*model_, 0, GoOn);
  EXPECT_TRUE(absl::IsFailedPrecondition(found.status())) << found.status();
}

TEST_F(EpochMinerTest, ListsFitTheirOwnSetOnly) {
  const EpochMiner miner(set_, *positives_, &tokens_, {});
  NegativeLists lists = Mine({}).negatives;
  EXPECT_TRUE(miner.Fits(lists));
  NegativeLists anchor = lists;
  const std::set<TextId> documents = Documents();
  anchor.texts[0] = std::ranges::find_if(set_.examples, [&](const TrainingExample& example) {
                      return !documents.contains(example.anchor);
                    })->anchor;
  EXPECT_FALSE(miner.Fits(anchor));
  NegativeLists beyond = lists;
  beyond.texts[0] = 1'000'000;
  EXPECT_FALSE(miner.Fits(beyond));
  lists.Add({});
  EXPECT_FALSE(miner.Fits(lists));
}

}  // namespace
}  // namespace tandem
