#include "client/cli/mining_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace tandem::cli {
namespace {

using ::testing::HasSubstr;

std::string Refusal(absl::string_view text) { return std::string(ParseMining(text).status().message()); }

TEST(MiningTextTest, OptionsAreThoseOfTheMessageWithRanksAndRefresh) {
  const v1::MiningDuringTraining mining =
      ParseMining(
          "negatives=7,ranks=10-50,margin=0.05,relative-margin=0.1,min_score=-0.5,max-score=0.9,sampling=random,"
          "seed=5000000000,refresh=2")
          .value();
  const v1::NegativeMining& options = mining.options();
  EXPECT_EQ(options.negatives(), 7);
  EXPECT_EQ(options.min_rank(), 10);
  EXPECT_EQ(options.max_rank(), 50);
  EXPECT_EQ(options.margin(), 0.05);
  EXPECT_EQ(options.relative_margin(), 0.1);
  EXPECT_EQ(options.min_score(), -0.5);
  EXPECT_EQ(options.max_score(), 0.9);
  EXPECT_EQ(options.sampling(), v1::NegativeMining::RANDOM);
  EXPECT_EQ(options.seed(), 5'000'000'000);
  EXPECT_EQ(mining.refresh_epochs(), 2);
}

TEST(MiningTextTest, WhatIsNotGivenStaysNotSet) {
  EXPECT_EQ(ParseMining("")->ByteSizeLong(), 0);
  EXPECT_FALSE(ParseMining("refresh=3")->has_options());
  EXPECT_FALSE(ParseMining("margin=0")->options().has_max_rank());
  EXPECT_TRUE(ParseMining("margin=0")->options().has_margin());
}

TEST(MiningTextTest, OneRankIsTheLast) {
  EXPECT_EQ(ParseMining("ranks=30")->options().min_rank(), 1);
  EXPECT_EQ(ParseMining("ranks=30")->options().max_rank(), 30);
}

TEST(MiningTextTest, RefusalsSayWhatThereIsToChooseFrom) {
  EXPECT_THAT(Refusal("rank=5"),
              HasSubstr("mine: no option 'rank'; there is negatives=NUMBER, ranks=FIRST-LAST, margin"));
  EXPECT_THAT(Refusal("min_rank=5"), HasSubstr("no option 'min_rank'"));
  EXPECT_THAT(Refusal("ranks=5-x"), HasSubstr("ranks: '5-x' is not FIRST-LAST"));
  EXPECT_THAT(Refusal("ranks"), HasSubstr("ranks: '' is not FIRST-LAST"));
  EXPECT_THAT(Refusal("negatives=0.5"), HasSubstr("negatives: '0.5' is no whole number"));
  EXPECT_THAT(Refusal("negatives=5000000000"), HasSubstr("is no whole number"));
  EXPECT_THAT(Refusal("margin=wide"), HasSubstr("margin: 'wide' is no number"));
  EXPECT_THAT(Refusal("sampling=best"), HasSubstr("'best' is none of top, random"));
  EXPECT_THAT(Refusal("refresh=often"), HasSubstr("refresh_epochs: 'often' is no whole number"));
}

TEST(MiningTextTest, HelpNamesEveryOption) {
  EXPECT_EQ(DescribeMining(),
            "negatives=NUMBER,ranks=FIRST-LAST,margin=NUMBER,relative_margin=NUMBER,min_score=NUMBER,max_score=NUMBER,"
            "sampling=top|random,seed=NUMBER,refresh=EPOCHS");
}

}  // namespace
}  // namespace tandem::cli
