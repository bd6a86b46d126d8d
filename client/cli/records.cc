#include "client/cli/records.h"

#include <google/protobuf/util/json_util.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "client/cli/display_width.h"
#include "client/error.h"

namespace tandem::cli {
namespace {

using Json = nlohmann::json;

absl::StatusOr<Json> ParseObject(absl::string_view line) {
  Json json = Json::parse(line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return absl::InvalidArgumentError("is not JSON");
  if (!json.is_object()) return absl::InvalidArgumentError("is no JSON object: {...} is needed");
  return json;
}

// The string under `key`, which must be there.
absl::StatusOr<std::string> Text(const Json& json, const char* key) {
  const auto it = json.find(key);
  if (it == json.end()) return BadInput(key, "is missing");
  if (!it->is_string()) return BadInput(key, "must be a string");
  return it->get<std::string>();
}

// The strings under `one` (a string) and `many` (a list) together.
absl::StatusOr<std::vector<std::string>> Texts(const Json& json, const char* one, const char* many) {
  std::vector<std::string> result;
  if (json.contains(one)) {
    absl::StatusOr<std::string> text = Text(json, one);
    if (!text.ok()) return text.status();
    result.push_back(*std::move(text));
  }
  if (const auto it = json.find(many); it != json.end()) {
    if (!it->is_array()) return BadInput(many, "must be a list of strings");
    for (const Json& element : *it) {
      if (!element.is_string()) return BadInput(many, "must be a list of strings");
      result.push_back(element.get<std::string>());
    }
  }
  return result;
}

absl::StatusOr<v1::Example> PairOfJson(const Json& json) {
  absl::StatusOr<std::string> anchor = Text(json, "anchor");
  if (!anchor.ok()) return anchor.status();
  absl::StatusOr<std::vector<std::string>> positives = Texts(json, "positive", "positives");
  if (!positives.ok()) return positives.status();
  if (positives->empty()) return BadInput("positive", "is missing");
  absl::StatusOr<std::vector<std::string>> negatives = Texts(json, "negative", "negatives");
  if (!negatives.ok()) return negatives.status();
  v1::Example example;
  example.mutable_pair()->set_anchor(*anchor);
  for (std::string& text : *positives) example.mutable_pair()->add_positives(std::move(text));
  for (std::string& text : *negatives) example.mutable_pair()->add_negatives(std::move(text));
  return example;
}

absl::StatusOr<v1::Example> TwoTextsOfJson(const Json& json) {
  absl::StatusOr<std::string> first = Text(json, "first");
  if (!first.ok()) return first.status();
  absl::StatusOr<std::string> second = Text(json, "second");
  if (!second.ok()) return second.status();
  v1::Example example;
  if (const auto it = json.find("score"); it != json.end()) {
    if (!it->is_number()) return BadInput("score", "must be a number");
    example.mutable_scored_pair()->set_first(*first);
    example.mutable_scored_pair()->set_second(*second);
    example.mutable_scored_pair()->set_score(it->get<float>());
    return example;
  }
  const auto it = json.find("similar");
  if (it == json.end()) return BadInput("score", "is missing, and so is similar: one of them is needed");
  if (!it->is_boolean()) return BadInput("similar", "must be true or false");
  example.mutable_labelled_pair()->set_first(*first);
  example.mutable_labelled_pair()->set_second(*second);
  example.mutable_labelled_pair()->set_similar(it->get<bool>());
  return example;
}

absl::StatusOr<v1::Example> ExampleOfJson(absl::string_view line) {
  absl::StatusOr<Json> json = ParseObject(line);
  if (!json.ok()) return json.status();
  if (json->contains("first") || json->contains("second")) return TwoTextsOfJson(*json);
  if (!json->contains("text") && !json->contains("label")) return PairOfJson(*json);
  absl::StatusOr<std::string> text = Text(*json, "text");
  if (!text.ok()) return text.status();
  v1::Example example;
  if (!json->contains("label")) {
    example.mutable_text()->set_text(*text);
    return example;
  }
  absl::StatusOr<std::string> label = Text(*json, "label");
  if (!label.ok()) return label.status();
  example.mutable_labelled_text()->set_text(*text);
  example.mutable_labelled_text()->set_label(*label);
  return example;
}

absl::StatusOr<std::vector<std::string>> Columns(absl::string_view line, size_t fewest, size_t most,
                                                 absl::string_view meaning) {
  std::vector<std::string> columns = absl::StrSplit(line, '\t');
  if (columns.size() < fewest || columns.size() > most) {
    return absl::InvalidArgumentError(absl::StrCat("has ", columns.size(), " columns; ", meaning, " is needed"));
  }
  if (!IsUtf8(line)) return absl::InvalidArgumentError("is not UTF-8");
  return columns;
}

absl::StatusOr<v1::Example> PairOfTsv(absl::string_view line) {
  absl::StatusOr<std::vector<std::string>> columns = Columns(line, 2, 66, "anchor, positive, and perhaps negatives");
  if (!columns.ok()) return columns.status();
  v1::Example example;
  example.mutable_pair()->set_anchor((*columns)[0]);
  example.mutable_pair()->add_positives((*columns)[1]);
  for (size_t i = 2; i < columns->size(); ++i) example.mutable_pair()->add_negatives((*columns)[i]);
  return example;
}

absl::StatusOr<v1::Example> ScoredPairOfTsv(absl::string_view line) {
  absl::StatusOr<std::vector<std::string>> columns = Columns(line, 3, 3, "first, second, score");
  if (!columns.ok()) return columns.status();
  float score = 0;
  if (!absl::SimpleAtof((*columns)[2], &score)) {
    return BadInput("score", absl::StrCat("'", (*columns)[2], "' is no number"));
  }
  v1::Example example;
  example.mutable_scored_pair()->set_first((*columns)[0]);
  example.mutable_scored_pair()->set_second((*columns)[1]);
  example.mutable_scored_pair()->set_score(score);
  return example;
}

absl::StatusOr<v1::Example> LabelledPairOfTsv(absl::string_view line) {
  absl::StatusOr<std::vector<std::string>> columns = Columns(line, 3, 3, "first, second, similar");
  if (!columns.ok()) return columns.status();
  bool similar = false;
  if (!absl::SimpleAtob((*columns)[2], &similar)) {
    return BadInput("similar", absl::StrCat("'", (*columns)[2], "' must be true, false, 1 or 0"));
  }
  v1::Example example;
  example.mutable_labelled_pair()->set_first((*columns)[0]);
  example.mutable_labelled_pair()->set_second((*columns)[1]);
  example.mutable_labelled_pair()->set_similar(similar);
  return example;
}

absl::StatusOr<v1::Example> LabelledTextOfTsv(absl::string_view line) {
  absl::StatusOr<std::vector<std::string>> columns = Columns(line, 2, 2, "text, label");
  if (!columns.ok()) return columns.status();
  v1::Example example;
  example.mutable_labelled_text()->set_text((*columns)[0]);
  example.mutable_labelled_text()->set_label((*columns)[1]);
  return example;
}

absl::StatusOr<v1::Example> TextOfTsv(absl::string_view line) {
  absl::StatusOr<std::vector<std::string>> columns = Columns(line, 1, 1, "text");
  if (!columns.ok()) return columns.status();
  v1::Example example;
  example.mutable_text()->set_text((*columns)[0]);
  return example;
}

absl::StatusOr<v1::Example> ExampleOfTsv(absl::string_view line, ExampleKind kind) {
  switch (kind) {
    case ExampleKind::kPair:
      return PairOfTsv(line);
    case ExampleKind::kScoredPair:
      return ScoredPairOfTsv(line);
    case ExampleKind::kLabelledPair:
      return LabelledPairOfTsv(line);
    case ExampleKind::kLabelledText:
      return LabelledTextOfTsv(line);
    case ExampleKind::kText:
      return TextOfTsv(line);
  }
  return absl::InternalError("unknown kind of example");
}

absl::Status SetPayload(const std::string& json, v1::Document* document) {
  if (!google::protobuf::util::JsonStringToMessage(json, document->mutable_payload()).ok()) {
    return BadInput("payload", "must be a JSON object");
  }
  return absl::OkStatus();
}

absl::Status SetVector(const Json& values, v1::Document* document) {
  std::string packed;
  for (const Json& value : values) {
    if (!value.is_number()) return BadInput("vector", "must be a list of numbers");
    const float number = value.get<float>();
    packed.append(reinterpret_cast<const char*>(&number), sizeof(number));
  }
  document->mutable_vector()->set_encoding(v1::PACKED_FLOAT32);
  document->mutable_vector()->set_packed(std::move(packed));
  return absl::OkStatus();
}

absl::StatusOr<v1::Document> DocumentOfJson(absl::string_view line) {
  absl::StatusOr<Json> json = ParseObject(line);
  if (!json.ok()) return json.status();
  absl::StatusOr<std::string> id = Text(*json, json->contains("_id") ? "_id" : "id");
  if (!id.ok()) return id.status();
  v1::Document document;
  document.set_id(*id);
  if (const auto vector = json->find("vector"); vector != json->end()) {
    if (!vector->is_array()) return BadInput("vector", "must be a list of numbers");
    if (absl::Status status = SetVector(*vector, &document); !status.ok()) return status;
  }
  if (json->contains("text") || !document.has_vector()) {
    absl::StatusOr<std::string> text = Text(*json, "text");
    if (!text.ok()) return text.status();
    document.set_text(*text);
  }
  if (json->contains("title")) {
    absl::StatusOr<std::string> title = Text(*json, "title");
    if (!title.ok()) return title.status();
    if (!title->empty()) document.set_text(absl::StrCat(*title, " ", document.text()));
  }
  if (const auto it = json->find("payload"); it != json->end() && !it->is_null()) {
    if (!it->is_object()) return BadInput("payload", "must be a JSON object");
    if (absl::Status status = SetPayload(it->dump(), &document); !status.ok()) return status;
  }
  return document;
}

}  // namespace

RecordFormat FormatOf(absl::string_view path) {
  return absl::EndsWith(path, ".tsv") || absl::EndsWith(path, ".txt") ? RecordFormat::kTsv : RecordFormat::kJsonl;
}

absl::StatusOr<v1::Example> ParseExample(absl::string_view line, RecordFormat format, ExampleKind kind) {
  return format == RecordFormat::kJsonl ? ExampleOfJson(line) : ExampleOfTsv(line, kind);
}

absl::StatusOr<v1::Document> ParseDocument(absl::string_view line, RecordFormat format) {
  if (format == RecordFormat::kJsonl) return DocumentOfJson(line);
  absl::StatusOr<std::vector<std::string>> columns = Columns(line, 2, 3, "id, text, and perhaps a payload");
  if (!columns.ok()) return columns.status();
  v1::Document document;
  document.set_id((*columns)[0]);
  document.set_text((*columns)[1]);
  if (columns->size() == 3 && !(*columns)[2].empty()) {
    if (absl::Status status = SetPayload((*columns)[2], &document); !status.ok()) return status;
  }
  return document;
}

absl::StatusOr<v1::UpdatePayloadsRequest::Update> ParsePayloadUpdate(absl::string_view line) {
  absl::StatusOr<Json> json = ParseObject(line);
  if (!json.ok()) return json.status();
  absl::StatusOr<std::string> id = Text(*json, "id");
  if (!id.ok()) return id.status();
  const auto payload = json->find("payload");
  if (payload == json->end() || !payload->is_object()) return BadInput("payload", "must be a JSON object");
  v1::UpdatePayloadsRequest::Update update;
  update.set_id(*id);
  if (!google::protobuf::util::JsonStringToMessage(payload->dump(), update.mutable_payload()).ok()) {
    return BadInput("payload", "must be a JSON object");
  }
  return update;
}

absl::StatusOr<v1::EvaluationQuery> ParseEvaluationQuery(absl::string_view line) {
  absl::StatusOr<Json> json = ParseObject(line);
  if (!json.ok()) return json.status();
  absl::StatusOr<std::string> text = Text(*json, "text");
  if (!text.ok()) return text.status();
  v1::EvaluationQuery query;
  query.set_text(*text);
  const auto judgements = json->find("judgements");
  if (judgements == json->end() || !judgements->is_array() || judgements->empty()) {
    return BadInput("judgements", "must be a list with at least one {\"document\": …, \"grade\": …}");
  }
  for (const Json& element : *judgements) {
    if (!element.is_object()) return BadInput("judgements", "must be a list of objects");
    absl::StatusOr<std::string> document = Text(element, "document");
    if (!document.ok()) return document.status();
    const auto grade = element.find("grade");
    if (grade != element.end() && !grade->is_number_integer()) return BadInput("grade", "must be a whole number");
    v1::Judgement* judgement = query.add_judgements();
    judgement->set_document(*document);
    judgement->set_grade(grade == element.end() ? 1 : grade->get<int32_t>());
  }
  return query;
}

absl::StatusOr<BeirQuery> ParseBeirQuery(absl::string_view line) {
  absl::StatusOr<Json> json = ParseObject(line);
  if (!json.ok()) return json.status();
  absl::StatusOr<std::string> id = Text(*json, "_id");
  if (!id.ok()) return id.status();
  absl::StatusOr<std::string> text = Text(*json, "text");
  if (!text.ok()) return text.status();
  return BeirQuery{.id = *std::move(id), .text = *std::move(text)};
}

absl::StatusOr<BeirJudgement> ParseBeirJudgement(absl::string_view line) {
  absl::StatusOr<std::vector<std::string>> columns = Columns(line, 3, 3, "query, document, grade");
  if (!columns.ok()) return columns.status();
  BeirJudgement judgement{.query = (*columns)[0], .document = (*columns)[1]};
  if (!absl::SimpleAtoi((*columns)[2], &judgement.grade)) {
    return BadInput("grade", absl::StrCat("'", (*columns)[2], "' is no whole number"));
  }
  return judgement;
}

}  // namespace tandem::cli
