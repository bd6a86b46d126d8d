#include "server/base/loss_options.h"

#include <algorithm>
#include <array>
#include <string>

#include "server/base/field_checks.h"
#include "server/base/object_reader.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

constexpr double kMostScale = 1000;
constexpr double kLeastTemperature = 1 / kMostScale;
constexpr double kMostTemperature = 100;
constexpr double kMostMargin = 1000;
constexpr double kMostMatryoshkaWeight = 1000;
constexpr size_t kMostMatryoshkaDimensions = 64;
constexpr int kMostDimension = 65'536;

// In the order of LossOptions::kind.
constexpr std::array<std::string_view, 10> kNames = {"info_nce",    "nt_xent", "n_pair", "triplet", "sup_con",
                                                     "contrastive", "sim_cse", "cosent", "angle",   "cosine_mse"};
static_assert(kNames.size() == std::variant_size_v<decltype(LossOptions::kind)>);

// Ranges, by kind. `path` is the loss's own ("loss.info_nce").
absl::Status Check(const std::string& path, const InfoNceOptions& loss) {
  RETURN_IF_ERROR(CheckPositive(path + ".scale", loss.scale, kMostScale));
  RETURN_IF_ERROR(CheckBetween(path + ".hardness", loss.hardness, 0, 100));
  if (loss.false_negative_margin) {
    RETURN_IF_ERROR(CheckBetween(path + ".false_negative_margin", *loss.false_negative_margin, -2, 2));
  }
  if (loss.hard_negatives != InfoNceOptions::HardNegatives::kAll && loss.hardness == 0) {
    return InvalidField(path + ".hard_negatives", "not without hardness, whose negatives it names");
  }
  return absl::OkStatus();
}

absl::Status Check(const std::string& path, const NtXentOptions& loss) {
  return CheckBetween(path + ".temperature", loss.temperature, kLeastTemperature, kMostTemperature);
}

absl::Status Check(const std::string& path, const NPairOptions& loss) {
  return CheckBetween(path + ".regularization", loss.regularization, 0, 100);
}

absl::Status Check(const std::string& path, const TripletOptions& loss) {
  return CheckPositive(path + ".margin", loss.margin, kMostMargin);
}

absl::Status Check(const std::string& path, const SupConOptions& loss) {
  return CheckBetween(path + ".temperature", loss.temperature, kLeastTemperature, kMostTemperature);
}

absl::Status Check(const std::string& path, const ContrastiveOptions& loss) {
  return CheckPositive(path + ".margin", loss.margin, kMostMargin);
}

absl::Status Check(const std::string& path, const SimCseOptions& loss) {
  return CheckPositive(path + ".scale", loss.scale, kMostScale);
}

absl::Status Check(const std::string& path, const CosentOptions& loss) {
  return CheckPositive(path + ".scale", loss.scale, kMostScale);
}

absl::Status Check(const std::string& path, const AngleOptions& loss) {
  return CheckPositive(path + ".scale", loss.scale, kMostScale);
}

absl::Status Check(const std::string&, const CosineMseOptions&) { return absl::OkStatus(); }

absl::Status Check(const std::string& path, const MatryoshkaOptions& matryoshka) {
  const std::vector<int>& dimensions = matryoshka.dimensions;
  const std::vector<float>& weights = matryoshka.weights;
  if (dimensions.size() > kMostMatryoshkaDimensions) {
    return InvalidField(path + ".dimensions",
                        Concat(dimensions.size(), " values: must be at most ", kMostMatryoshkaDimensions));
  }
  for (size_t i = 0; i < dimensions.size(); ++i) {
    const std::string place = Concat(path, ".dimensions[", i, "]");
    RETURN_IF_ERROR(CheckRange(place, dimensions[i], 1, kMostDimension));
    if (std::count(dimensions.begin(), dimensions.begin() + static_cast<std::ptrdiff_t>(i), dimensions[i]) > 0) {
      return InvalidField(place, Concat(dimensions[i], ": stands there twice"));
    }
  }
  if (!weights.empty() && weights.size() != dimensions.size()) {
    return InvalidField(path + ".weights",
                        Concat(weights.size(), " values: must be none or as many as dimensions, ", dimensions.size()));
  }
  for (size_t i = 0; i < weights.size(); ++i) {
    RETURN_IF_ERROR(CheckPositive(Concat(path, ".weights[", i, "]"), weights[i], kMostMatryoshkaWeight));
  }
  return absl::OkStatus();
}

nlohmann::json KindToJson(const InfoNceOptions& loss) {
  nlohmann::json json = {{"scale", loss.scale},
                         {"symmetric", loss.symmetric},
                         {"query_negatives", loss.query_negatives},
                         {"document_negatives", loss.document_negatives},
                         {"hardness", loss.hardness},
                         {"hard_negatives", static_cast<int>(loss.hard_negatives)},
                         {"several_positives", loss.several_positives}};
  if (loss.false_negative_margin) json["false_negative_margin"] = *loss.false_negative_margin;
  return json;
}

nlohmann::json KindToJson(const NtXentOptions& loss) { return {{"temperature", loss.temperature}}; }
nlohmann::json KindToJson(const NPairOptions& loss) { return {{"regularization", loss.regularization}}; }
nlohmann::json KindToJson(const TripletOptions& loss) {
  return {{"mining", static_cast<int>(loss.mining)},
          {"distance", static_cast<int>(loss.distance)},
          {"margin", loss.margin}};
}
nlohmann::json KindToJson(const SupConOptions& loss) { return {{"temperature", loss.temperature}}; }
nlohmann::json KindToJson(const ContrastiveOptions& loss) {
  return {{"distance", static_cast<int>(loss.distance)},
          {"margin", loss.margin},
          {"squared", loss.squared},
          {"only_hard", loss.only_hard}};
}
nlohmann::json KindToJson(const SimCseOptions& loss) { return {{"scale", loss.scale}}; }
nlohmann::json KindToJson(const CosentOptions& loss) { return {{"scale", loss.scale}}; }
nlohmann::json KindToJson(const AngleOptions& loss) { return {{"scale", loss.scale}}; }
nlohmann::json KindToJson(const CosineMseOptions&) { return nlohmann::json::object(); }

void ReadKind(ObjectReader& reader, InfoNceOptions& loss) {
  reader.Read("scale", loss.scale);
  reader.Read("symmetric", loss.symmetric);
  reader.Read("query_negatives", loss.query_negatives);
  reader.Read("document_negatives", loss.document_negatives);
  reader.Read("hardness", loss.hardness);
  reader.ReadEnum("hard_negatives", loss.hard_negatives, InfoNceOptions::HardNegatives::kExplicit);
  reader.Read("false_negative_margin", loss.false_negative_margin);
  reader.Read("several_positives", loss.several_positives);
}

void ReadKind(ObjectReader& reader, NtXentOptions& loss) { reader.Read("temperature", loss.temperature); }
void ReadKind(ObjectReader& reader, NPairOptions& loss) { reader.Read("regularization", loss.regularization); }
void ReadKind(ObjectReader& reader, TripletOptions& loss) {
  reader.ReadEnum("mining", loss.mining, TripletOptions::Mining::kBatchSemiHard);
  reader.ReadEnum("distance", loss.distance, Distance::kCosine);
  reader.Read("margin", loss.margin);
}
void ReadKind(ObjectReader& reader, SupConOptions& loss) { reader.Read("temperature", loss.temperature); }
void ReadKind(ObjectReader& reader, ContrastiveOptions& loss) {
  reader.ReadEnum("distance", loss.distance, Distance::kCosine);
  reader.Read("margin", loss.margin);
  reader.Read("squared", loss.squared);
  reader.Read("only_hard", loss.only_hard);
}
void ReadKind(ObjectReader& reader, SimCseOptions& loss) { reader.Read("scale", loss.scale); }
void ReadKind(ObjectReader& reader, CosentOptions& loss) { reader.Read("scale", loss.scale); }
void ReadKind(ObjectReader& reader, AngleOptions& loss) { reader.Read("scale", loss.scale); }
void ReadKind(ObjectReader&, CosineMseOptions&) {}

// `loss.kind` becomes its alternative `Index` when that is the one called `name`.
template <size_t Index>
absl::Status KindFromJson(size_t index, const nlohmann::json& json, LossOptions& loss) {
  if constexpr (Index == kNames.size()) {
    return absl::InternalError("no such loss");
  } else {
    if (index != Index) return KindFromJson<Index + 1>(index, json, loss);
    ObjectReader reader(kNames[Index], json);
    ReadKind(reader, loss.kind.emplace<Index>());
    return reader.Finish();
  }
}

absl::StatusOr<MatryoshkaOptions> MatryoshkaFromJson(const nlohmann::json& json) {
  MatryoshkaOptions matryoshka;
  ObjectReader reader("matryoshka", json);
  reader.Read("dimensions", matryoshka.dimensions);
  reader.Read("weights", matryoshka.weights);
  RETURN_IF_ERROR(reader.Finish());
  return matryoshka;
}

}  // namespace

absl::Status LossOptions::Validate(std::string_view path) const {
  const std::string own = Concat(path, ".", NameOf(*this));
  RETURN_IF_ERROR(std::visit([&own](const auto& options) { return Check(own, options); }, kind));
  return Check(Concat(path, ".matryoshka"), matryoshka);
}

absl::Status LossOptions::ValidateDimensions(std::string_view path, int model_dimensions) const {
  for (size_t i = 0; i < matryoshka.dimensions.size(); ++i) {
    RETURN_IF_ERROR(
        CheckRange(Concat(path, ".matryoshka.dimensions[", i, "]"), matryoshka.dimensions[i], 1, model_dimensions));
  }
  return absl::OkStatus();
}

bool Takes(const LossOptions& loss, ExampleForm form) {
  struct Visitor {
    ExampleForm form;
    bool operator()(const InfoNceOptions&) const { return form == ExampleForm::kPair; }
    bool operator()(const NtXentOptions&) const { return form == ExampleForm::kPair; }
    bool operator()(const NPairOptions&) const { return form == ExampleForm::kPair; }
    bool operator()(const TripletOptions& triplet) const {
      return form ==
             (triplet.mining == TripletOptions::Mining::kExplicit ? ExampleForm::kPair : ExampleForm::kLabelledText);
    }
    bool operator()(const SupConOptions&) const { return form == ExampleForm::kLabelledText; }
    bool operator()(const ContrastiveOptions&) const { return form == ExampleForm::kLabelledPair; }
    bool operator()(const SimCseOptions&) const { return true; }
    bool operator()(const CosentOptions&) const { return form == ExampleForm::kScoredPair; }
    bool operator()(const AngleOptions&) const { return form == ExampleForm::kScoredPair; }
    bool operator()(const CosineMseOptions&) const { return form == ExampleForm::kScoredPair; }
  };
  return std::visit(Visitor{form}, loss.kind);
}

bool TakesNegatives(const LossOptions& loss) {
  return Takes(loss, ExampleForm::kPair) && !std::holds_alternative<SimCseOptions>(loss.kind);
}

std::string_view NameOf(const LossOptions& loss) { return kNames[loss.kind.index()]; }

std::string_view NameOf(ExampleForm form) {
  switch (form) {
    case ExampleForm::kPair:
      return "a pair";
    case ExampleForm::kScoredPair:
      return "a scored pair";
    case ExampleForm::kLabelledPair:
      return "a labelled pair";
    case ExampleForm::kLabelledText:
      return "a labelled text";
    case ExampleForm::kText:
      return "a text";
  }
  return "an example of an unknown form";
}

nlohmann::json ToJson(const LossOptions& loss) {
  nlohmann::json json;
  json[std::string(NameOf(loss))] = std::visit([](const auto& options) { return KindToJson(options); }, loss.kind);
  if (!loss.matryoshka.dimensions.empty()) {
    json["matryoshka"] = {{"dimensions", loss.matryoshka.dimensions}, {"weights", loss.matryoshka.weights}};
  }
  return json;
}

absl::StatusOr<LossOptions> LossOptionsFromJson(const nlohmann::json& json) {
  LossOptions loss;
  ObjectReader reader("loss", json);
  int kinds = 0;
  for (size_t i = 0; i < kNames.size(); ++i) {
    const nlohmann::json* const options = reader.Find(kNames[i].data());
    if (options == nullptr) continue;
    ++kinds;
    RETURN_IF_ERROR(KindFromJson<0>(i, *options, loss));
  }
  if (const nlohmann::json* const matryoshka = reader.Find("matryoshka")) {
    ASSIGN_OR_RETURN(loss.matryoshka, MatryoshkaFromJson(*matryoshka));
  }
  RETURN_IF_ERROR(reader.Finish());
  if (kinds != 1) return absl::InvalidArgumentError(Concat("loss: ", kinds, " kinds of loss: must be one"));
  return loss;
}

}  // namespace tandem
