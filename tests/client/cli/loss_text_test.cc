#include "client/cli/loss_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace tandem::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Refusal(absl::string_view loss) { return std::string(ParseLoss(loss).status().message()); }

TEST(LossTextTest, ANameAloneIsTheLossWithItsDefaults) {
  const v1::Loss loss = ParseLoss("cosent").value();
  EXPECT_EQ(loss.kind_case(), v1::Loss::kCosent);
  EXPECT_FALSE(loss.cosent().has_scale());
  EXPECT_EQ(ParseLoss("info-nce")->kind_case(), v1::Loss::kInfoNce);
}

TEST(LossTextTest, OptionsAreNumbersTruthValuesAndChoices) {
  const v1::Loss triplet = ParseLoss("triplet:mining=batch-hard,margin=0.3,distance=cosine").value();
  EXPECT_EQ(triplet.triplet().mining(), v1::TripletLoss::BATCH_HARD);
  EXPECT_FLOAT_EQ(triplet.triplet().margin(), 0.3f);
  EXPECT_EQ(triplet.triplet().distance(), v1::Loss::COSINE);
  const v1::Loss info_nce = ParseLoss("info_nce:symmetric,several-positives=false,false_negative_margin=-1").value();
  EXPECT_TRUE(info_nce.info_nce().symmetric());
  EXPECT_FALSE(info_nce.info_nce().several_positives());
  EXPECT_FLOAT_EQ(info_nce.info_nce().false_negative_margin(), -1);
  EXPECT_TRUE(ParseLoss("contrastive:squared=0")->contrastive().has_squared());
}

TEST(LossTextTest, RefusalsSayWhatThereIsToChooseFrom) {
  EXPECT_THAT(Refusal("tripet"), HasSubstr("'tripet' is none of info_nce, nt_xent, n_pair, triplet"));
  EXPECT_THAT(Refusal("matryoshka"), HasSubstr("is none of"));
  EXPECT_THAT(Refusal("triplet:margins=1"), HasSubstr("no option 'margins'; there is mining, distance, margin"));
  EXPECT_THAT(Refusal("triplet:margin=wide"), HasSubstr("margin: 'wide' is no number"));
  EXPECT_THAT(Refusal("triplet:margin"), HasSubstr("margin: '' is no number"));
  EXPECT_THAT(Refusal("triplet:mining=hard"), HasSubstr("'hard' is none of explicit, batch-all, batch-hard"));
  EXPECT_THAT(Refusal("triplet:mining=mining-unspecified"), HasSubstr("is none of explicit"));
  EXPECT_THAT(Refusal("info_nce:symmetric=perhaps"), HasSubstr("symmetric: 'perhaps' is neither true nor false"));
  EXPECT_THAT(Refusal("cosine_mse:scale=1"), HasSubstr("there is none"));
}

TEST(LossTextTest, AnObjectiveIsADatasetALossAndAWeight) {
  v1::Objective objective = ParseObjective("faq@7:triplet:margin=1:0.5").value();
  EXPECT_EQ(objective.dataset(), "faq");
  EXPECT_EQ(objective.dataset_commit(), 7);
  EXPECT_EQ(objective.loss().triplet().margin(), 1);
  EXPECT_EQ(objective.weight(), 0.5);
  objective = ParseObjective("faq:cosent:2").value();
  EXPECT_EQ(objective.weight(), 2);
  EXPECT_TRUE(objective.loss().has_cosent());
  objective = ParseObjective("datasets/faq:cosent").value();
  EXPECT_FALSE(objective.has_weight());
  EXPECT_FALSE(objective.has_dataset_commit());
  for (const char* bad : {"faq", "faq:none", "faq:cosent:scale=1:heavy", "faq@x:cosent", "a:cosent:scale=1:2:3"}) {
    EXPECT_EQ(ParseObjective(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

TEST(LossTextTest, MatryoshkaIsAListOfDimensionsPerhapsWithWeights) {
  EXPECT_THAT(ParseMatryoshka("256,128,64")->dimensions(), ElementsAre(256, 128, 64));
  EXPECT_TRUE(ParseMatryoshka("256,128,64")->weights().empty());
  EXPECT_THAT(ParseMatryoshka("256=1,128=0.5")->weights(), ElementsAre(1, 0.5f));
  EXPECT_FALSE(ParseMatryoshka("256,wide").ok());
  EXPECT_FALSE(ParseMatryoshka("256=heavy").ok());
}

TEST(LossTextTest, TheHelpNamesEveryLossWithItsOptions) {
  EXPECT_THAT(DescribeLosses(), HasSubstr("  triplet:mining=explicit|batch-all|batch-hard|"));
  EXPECT_THAT(DescribeLosses(), HasSubstr("  cosine_mse\n"));
  EXPECT_THAT(DescribeLosses(), HasSubstr("symmetric,"));
}

}  // namespace
}  // namespace tandem::cli
