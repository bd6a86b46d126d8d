#include "tests/server/training/every_loss.h"

#include <variant>

#include <nlohmann/json.hpp>

namespace tandem {

std::vector<NamedLoss> EveryLoss() {
  using Mining = TripletOptions::Mining;
  InfoNceOptions all;
  all.symmetric = all.query_negatives = all.document_negatives = true;
  all.hardness = 2;
  all.false_negative_margin = 0.05f;
  const auto triplet = [](Mining mining, Distance distance, float margin) {
    return LossOptions{TripletOptions{.mining = mining, .distance = distance, .margin = margin}, {}};
  };
  constexpr ExampleForm kPair = ExampleForm::kPair, kScored = ExampleForm::kScoredPair,
                        kLabelledPair = ExampleForm::kLabelledPair, kClass = ExampleForm::kLabelledText;
  return {{"InfoNce", {InfoNceOptions(), {}}, kPair},
          {"InfoNceAllOptions", {all, {}}, kPair},
          {"InfoNceSeveralPositives", {InfoNceOptions{.several_positives = true}, {}}, kPair},
          {"InfoNceMatryoshka", {InfoNceOptions(), {{32, 16, 8}, {1, 0.5f, 0.25f}}}, kPair},
          {"NtXent", {NtXentOptions(), {}}, kPair},
          {"NPair", {NPairOptions{.regularization = 0.02f}, {}}, kPair},
          {"TripletExplicit", triplet(Mining::kExplicit, Distance::kEuclidean, 5), kPair},
          {"TripletBatchAll", triplet(Mining::kBatchAll, Distance::kEuclidean, 0.5f), kClass},
          {"TripletBatchHard", triplet(Mining::kBatchHard, Distance::kCosine, 0.5f), kClass},
          {"TripletSoftMargin", triplet(Mining::kBatchHardSoftMargin, Distance::kEuclidean, 5), kClass},
          {"TripletSemiHard", triplet(Mining::kBatchSemiHard, Distance::kCosine, 0.5f), kClass},
          {"SupCon", {SupConOptions(), {}}, kClass},
          {"Contrastive", {ContrastiveOptions(), {}}, kLabelledPair},
          {"ContrastiveOnlyHard", {ContrastiveOptions{.only_hard = true}, {}}, kLabelledPair},
          {"SimCse", {SimCseOptions(), {}}, ExampleForm::kText},
          {"SimCseOfPairs", {SimCseOptions(), {}}, kPair},
          {"Cosent", {CosentOptions(), {}}, kScored},
          {"Angle", {AngleOptions(), {}}, kScored},
          {"CosineMse", {CosineMseOptions(), {}}, kScored}};
}

std::vector<std::string> ExampleLines(ExampleForm form, int count, bool negatives_everywhere, bool several) {
  static const std::vector<std::string> kWords = {"search",  "index",  "model", "image",
                                                  "network", "server", "tree",  "music"};
  std::vector<std::string> lines;
  for (int i = 0; i < count; ++i) {
    const std::string number = std::to_string(i), words = kWords[i % 8] + " " + kWords[i / 8 % 8] + " ";
    const std::string first = "a " + words + number, second = "this package is for " + words + number + " data";
    nlohmann::json example;
    switch (form) {
      case ExampleForm::kPair:
        example = {{"anchor", first}, {"positives", {second}}};
        if (several && i % 2 == 0) example["positives"].push_back("code and text of " + words + number);
        if (negatives_everywhere || i % 3 == 0) example["negatives"] = {"the letter of a bird " + number};
        break;
      case ExampleForm::kScoredPair:
        example = {{"first", first}, {"second", second}, {"score", i % 5 * 0.25}};
        break;
      case ExampleForm::kLabelledPair:
        example = {{"first", first}, {"second", second}, {"similar", i % 3 != 0}};
        break;
      case ExampleForm::kLabelledText:
        example = {{"text", first}, {"label", kWords[i % 8]}};
        break;
      case ExampleForm::kText:
        example = {{"text", first}};
        break;
    }
    lines.push_back(example.dump());
  }
  return lines;
}

std::vector<std::string> ExampleLines(const NamedLoss& loss, int count) {
  const auto* const triplet = std::get_if<TripletOptions>(&loss.loss.kind);
  const auto* const info_nce = std::get_if<InfoNceOptions>(&loss.loss.kind);
  return ExampleLines(loss.form, count, triplet && triplet->mining == TripletOptions::Mining::kExplicit,
                      info_nce && info_nce->several_positives);
}

}  // namespace tandem
