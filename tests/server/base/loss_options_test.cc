#include "server/base/loss_options.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/status.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using Mining = TripletOptions::Mining;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// A loss of every kind with no value at its default.
std::vector<LossOptions> EveryKind() {
  return {{InfoNceOptions{30, true, true, true, 2, InfoNceOptions::HardNegatives::kExplicit, 0.1f, true},
           {{256, 64}, {1, 0.5f}}},
          {NtXentOptions{0.5f}, {{32}, {}}},
          {NPairOptions{0.02f}, {}},
          {TripletOptions{Mining::kBatchSemiHard, Distance::kCosine, 0.25f}, {}},
          {SupConOptions{0.2f}, {}},
          {ContrastiveOptions{Distance::kEuclidean, 1.5f, false, true}, {}},
          {SimCseOptions{10}, {}},
          {CosentOptions{11}, {}},
          {AngleOptions{12}, {}},
          {CosineMseOptions{}, {}}};
}

TEST(LossOptionsTest, JsonKeepsEveryOptionOfEveryKind) {
  size_t kind = 0;
  for (const LossOptions& loss : EveryKind()) {
    ASSERT_EQ(loss.kind.index(), kind++);
    const nlohmann::json json = ToJson(loss);
    const absl::StatusOr<LossOptions> read = LossOptionsFromJson(json);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->kind.index(), loss.kind.index());
    EXPECT_EQ(ToJson(*read), json);
    EXPECT_TRUE(read->Validate("loss").ok()) << json;
    // Every option is written: none has the value that a missing key stands for.
    const nlohmann::json defaults =
        ToJson(*LossOptionsFromJson({{std::string(NameOf(loss)), nlohmann::json::object()}}));
    for (const auto& [key, value] : json[std::string(NameOf(loss))].items()) {
      EXPECT_NE(defaults[std::string(NameOf(loss))].value(key, nlohmann::json()), value) << NameOf(loss) << "." << key;
    }
  }
  EXPECT_EQ(kind, std::variant_size_v<decltype(LossOptions::kind)>);
}

TEST(LossOptionsTest, DefaultsAreValid) {
  EXPECT_TRUE(LossOptions().Validate("loss").ok());
  for (const LossOptions& loss : EveryKind()) {
    const nlohmann::json json = {{std::string(NameOf(loss)), nlohmann::json::object()}};
    const absl::StatusOr<LossOptions> defaults = LossOptionsFromJson(json);
    ASSERT_TRUE(defaults.ok()) << defaults.status();
    EXPECT_TRUE(defaults->Validate("loss").ok()) << json;
  }
}

TEST(LossOptionsTest, JsonWithAnUnknownKeyOrAValueOfAnotherTypeIsRefused) {
  const std::pair<const char*, const char*> cases[] = {
      {R"([])", "not a JSON object"},
      {R"({})", "0 kinds of loss"},
      {R"({"info_nce":{},"cosent":{}})", "2 kinds of loss"},
      {R"({"info_nce":{},"other":{}})", "unknown key \"other\""},
      {R"({"info_nce":7})", "info_nce: not a JSON object"},
      {R"({"info_nce":{"temperature":1}})", "unknown key \"temperature\""},
      {R"({"cosine_mse":{"scale":1}})", "unknown key \"scale\""},
      {R"({"info_nce":{"scale":"20"}})", "info_nce: scale: \"20\""},
      {R"({"info_nce":{"symmetric":1}})", "symmetric"},
      {R"({"triplet":{"mining":6}})", "triplet: mining: 6"},
      {R"({"triplet":{"mining":0}})", "triplet: mining: 0"},
      {R"({"triplet":{"distance":3}})", "triplet: distance: 3"},
      {R"({"info_nce":{"hard_negatives":4}})", "hard_negatives: 4"},
      {R"({"info_nce":{},"matryoshka":{"dimensions":[1.5]}})", "matryoshka: dimensions"},
      {R"({"info_nce":{},"matryoshka":{"size":[1]}})", "unknown key \"size\""},
  };
  for (const auto& [text, fault] : cases) {
    const absl::StatusOr<LossOptions> read = LossOptionsFromJson(nlohmann::json::parse(text));
    ASSERT_FALSE(read.ok()) << text;
    EXPECT_EQ(read.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(read.status().message()), HasSubstr(fault)) << text;
  }
}

TEST(LossOptionsTest, EveryNumberHasARange) {
  const std::pair<const char*, std::function<LossOptions(float)>> fields[] = {
      {"info_nce.scale",
       [](float x) {
         return LossOptions{InfoNceOptions{.scale = x}, {}};
       }},
      {"info_nce.hardness",
       [](float x) {
         return LossOptions{InfoNceOptions{.hardness = x}, {}};
       }},
      {"info_nce.false_negative_margin",
       [](float x) {
         return LossOptions{InfoNceOptions{.false_negative_margin = x}, {}};
       }},
      {"nt_xent.temperature",
       [](float x) {
         return LossOptions{NtXentOptions{x}, {}};
       }},
      {"n_pair.regularization",
       [](float x) {
         return LossOptions{NPairOptions{x}, {}};
       }},
      {"triplet.margin",
       [](float x) {
         return LossOptions{TripletOptions{.margin = x}, {}};
       }},
      {"sup_con.temperature",
       [](float x) {
         return LossOptions{SupConOptions{x}, {}};
       }},
      {"contrastive.margin",
       [](float x) {
         return LossOptions{ContrastiveOptions{.margin = x}, {}};
       }},
      {"sim_cse.scale",
       [](float x) {
         return LossOptions{SimCseOptions{x}, {}};
       }},
      {"cosent.scale",
       [](float x) {
         return LossOptions{CosentOptions{x}, {}};
       }},
      {"angle.scale",
       [](float x) {
         return LossOptions{AngleOptions{x}, {}};
       }},
      {"matryoshka.weights[1]",
       [](float x) {
         return LossOptions{InfoNceOptions{}, {{8, 4}, {1, x}}};
       }},
  };
  for (const auto& [field, make] : fields) {
    EXPECT_TRUE(make(1).Validate("loss").ok()) << field;
    for (const float bad : {-3.0f, 1001.0f, kNaN, kInfinity, -kInfinity}) {
      const absl::Status status = make(bad).Validate("loss");
      EXPECT_EQ(FieldPath(status), "loss." + std::string(field)) << bad << ": " << status;
    }
  }
}

TEST(LossOptionsTest, ZeroIsAllowedWhereItMeansOff) {
  EXPECT_TRUE((LossOptions{InfoNceOptions{.hardness = 0, .false_negative_margin = 0.0f}, {}}.Validate("loss").ok()));
  EXPECT_TRUE((LossOptions{NPairOptions{0}, {}}.Validate("loss").ok()));
  EXPECT_FALSE((LossOptions{TripletOptions{.margin = 0}, {}}.Validate("loss").ok()));
  EXPECT_FALSE((LossOptions{SupConOptions{0}, {}}.Validate("loss").ok()));
}

TEST(LossOptionsTest, HardNegativesAreNamedOnlyWithHardness) {
  InfoNceOptions loss{.hard_negatives = InfoNceOptions::HardNegatives::kExplicit};
  EXPECT_EQ(FieldPath(LossOptions{loss, {}}.Validate("objectives[2].loss")),
            "objectives[2].loss.info_nce.hard_negatives");
  loss.hardness = 5;
  EXPECT_TRUE((LossOptions{loss, {}}.Validate("loss").ok()));
}

TEST(LossOptionsTest, MatryoshkaTakesDifferentDimensionsInAnyOrder) {
  const auto fault = [](MatryoshkaOptions matryoshka) {
    return FieldPath(LossOptions{InfoNceOptions{}, std::move(matryoshka)}.Validate("loss"));
  };
  EXPECT_EQ(fault({{64, 256, 128}, {}}), std::nullopt);
  EXPECT_EQ(fault({{1}, {1}}), std::nullopt);
  EXPECT_EQ(fault({{64, 128, 64}, {}}), "loss.matryoshka.dimensions[2]");
  EXPECT_EQ(fault({{64, 0}, {}}), "loss.matryoshka.dimensions[1]");
  EXPECT_EQ(fault({{-1}, {}}), "loss.matryoshka.dimensions[0]");
  EXPECT_EQ(fault({std::vector<int>(65, 1), {}}), "loss.matryoshka.dimensions");
  EXPECT_EQ(fault({{64, 32}, {1}}), "loss.matryoshka.weights");
  EXPECT_EQ(fault({{}, {1}}), "loss.matryoshka.weights");
  EXPECT_EQ(fault({{64}, {0}}), "loss.matryoshka.weights[0]");
}

TEST(LossOptionsTest, MatryoshkaDimensionsBeyondTheModelsAreRefused) {
  const LossOptions loss{InfoNceOptions{}, {{384, 385}, {}}};
  EXPECT_TRUE(loss.ValidateDimensions("loss", 385).ok());
  const absl::Status status = loss.ValidateDimensions("loss", 384);
  EXPECT_EQ(FieldPath(status), "loss.matryoshka.dimensions[1]");
  EXPECT_THAT(std::string(status.message()), HasSubstr("385: must be in [1, 384]"));
  EXPECT_TRUE(LossOptions().ValidateDimensions("loss", 1).ok());
}

TEST(LossOptionsTest, EachLossTakesTheFormsThatItIsMadeFor) {
  using Form = ExampleForm;
  const std::vector<Form> all = {Form::kPair, Form::kScoredPair, Form::kLabelledPair, Form::kLabelledText, Form::kText};
  const std::pair<LossOptions, std::vector<Form>> cases[] = {
      {{InfoNceOptions{}, {}}, {Form::kPair}},
      {{NtXentOptions{}, {}}, {Form::kPair}},
      {{NPairOptions{}, {}}, {Form::kPair}},
      {{TripletOptions{}, {}}, {Form::kPair}},
      {{TripletOptions{.mining = Mining::kBatchAll}, {}}, {Form::kLabelledText}},
      {{TripletOptions{.mining = Mining::kBatchHardSoftMargin}, {}}, {Form::kLabelledText}},
      {{SupConOptions{}, {}}, {Form::kLabelledText}},
      {{ContrastiveOptions{}, {}}, {Form::kLabelledPair}},
      {{SimCseOptions{}, {}}, all},
      {{CosentOptions{}, {}}, {Form::kScoredPair}},
      {{AngleOptions{}, {}}, {Form::kScoredPair}},
      {{CosineMseOptions{}, {}}, {Form::kScoredPair}},
  };
  for (const auto& [loss, forms] : cases) {
    for (const Form form : all) {
      EXPECT_EQ(Takes(loss, form), std::count(forms.begin(), forms.end(), form) == 1) << NameOf(loss) << NameOf(form);
    }
  }
}

TEST(LossOptionsTest, LossesOfPairsTakeTheirNegatives) {
  for (const LossOptions& loss : EveryKind()) {
    const std::string_view name = NameOf(loss);
    // The triplets here are mined in the batch.
    EXPECT_EQ(TakesNegatives(loss), name == "info_nce" || name == "nt_xent" || name == "n_pair") << name;
  }
  EXPECT_TRUE(TakesNegatives({TripletOptions{}, {}}));
}

TEST(LossOptionsTest, NamesAreThoseOfTheRequest) {
  EXPECT_EQ(NameOf(LossOptions()), "info_nce");
  EXPECT_EQ(NameOf(LossOptions{CosineMseOptions{}, {}}), "cosine_mse");
  EXPECT_EQ(NameOf(LossOptions{SimCseOptions{}, {}}), "sim_cse");
  EXPECT_EQ(NameOf(ExampleForm::kLabelledText), "a labelled text");
}

}  // namespace
}  // namespace tandem
