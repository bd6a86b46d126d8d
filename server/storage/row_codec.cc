#include "server/storage/row_codec.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "server/base/object_reader.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {

namespace {

void AppendUint32(std::string& bytes, uint32_t value) {
  for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<char>(value >> shift & 0xff));
}

bool TakeUint32(std::string_view& bytes, uint32_t& value) {
  if (bytes.size() < 4) return false;
  value = 0;
  for (int i = 0; i < 4; ++i) value |= static_cast<uint32_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  bytes.remove_prefix(4);
  return true;
}

bool TakeText(std::string_view& bytes, std::string& text) {
  uint32_t size = 0;
  if (!TakeUint32(bytes, size) || bytes.size() < size) return false;
  text = bytes.substr(0, size);
  bytes.remove_prefix(size);
  return true;
}

nlohmann::json MetricsToJson(const RetrievalMetrics& metrics) {
  return {{"ndcg_at_10", metrics.ndcg_at_10},
          {"recall_at_10", metrics.recall_at_10},
          {"mrr_at_10", metrics.mrr_at_10},
          {"recall_at_1", metrics.recall_at_1},
          {"queries", metrics.queries}};
}

absl::StatusOr<RetrievalMetrics> MetricsFromJson(const nlohmann::json& json) {
  if (!json.is_object()) return absl::DataLossError("stored metrics: not an object");
  RetrievalMetrics metrics;
  const std::pair<const char*, double*> figures[] = {{"ndcg_at_10", &metrics.ndcg_at_10},
                                                     {"recall_at_10", &metrics.recall_at_10},
                                                     {"mrr_at_10", &metrics.mrr_at_10},
                                                     {"recall_at_1", &metrics.recall_at_1}};
  for (const auto& [name, figure] : figures) {
    const auto found = json.find(name);
    if (found == json.end() || !found->is_number()) {
      return absl::DataLossError(Concat("stored metrics: no number \"", name, "\""));
    }
    *figure = found->get<double>();
  }
  const auto queries = json.find("queries");
  if (queries == json.end() || !queries->is_number_integer()) {
    return absl::DataLossError("stored metrics: no number \"queries\"");
  }
  metrics.queries = queries->get<int>();
  return metrics;
}

nlohmann::json EvaluationToJson(const Evaluation& evaluation) {
  nlohmann::json json = {{"evaluation_set", evaluation.evaluation_set},
                         {"commit", evaluation.commit},
                         {"metrics", MetricsToJson(evaluation.metrics)},
                         {"index_recall_at_10", evaluation.index_recall_at_10}};
  if (const std::optional<Calibration>& calibration = evaluation.calibration) {
    json["calibration"] = {{"slope", calibration->scaling.slope},
                           {"intercept", calibration->scaling.intercept},
                           {"scores", calibration->scores},
                           {"expected_error", calibration->expected_error}};
  }
  return json;
}

absl::StatusOr<Calibration> CalibrationFromJson(const nlohmann::json& json) {
  Calibration calibration;
  ObjectReader reader("stored calibration", json);
  reader.Read("slope", calibration.scaling.slope);
  reader.Read("intercept", calibration.scaling.intercept);
  reader.Read("scores", calibration.scores);
  reader.Read("expected_error", calibration.expected_error);
  if (const absl::Status read = reader.Finish(); !read.ok()) return absl::DataLossError(read.message());
  return calibration;
}

absl::StatusOr<Evaluation> EvaluationFromJson(const nlohmann::json& json) {
  if (!json.is_object() || !json.contains("evaluation_set") || !json["evaluation_set"].is_string() ||
      !json.contains("commit") || !json["commit"].is_number_integer() || !json.contains("metrics") ||
      !json.contains("index_recall_at_10") || !json["index_recall_at_10"].is_number()) {
    return absl::DataLossError("stored evaluation: a field is missing");
  }
  Evaluation evaluation;
  evaluation.evaluation_set = json["evaluation_set"].get<std::string>();
  evaluation.commit = json["commit"].get<int64_t>();
  evaluation.index_recall_at_10 = json["index_recall_at_10"].get<double>();
  ASSIGN_OR_RETURN(evaluation.metrics, MetricsFromJson(json["metrics"]));
  if (json.contains("calibration")) {
    ASSIGN_OR_RETURN(evaluation.calibration, CalibrationFromJson(json["calibration"]));
  }
  return evaluation;
}

}  // namespace

std::string PackTexts(const std::vector<std::string>& texts) {
  std::string bytes;
  for (const std::string& text : texts) {
    AppendUint32(bytes, static_cast<uint32_t>(text.size()));
    bytes += text;
  }
  return bytes;
}

absl::StatusOr<std::vector<std::string>> UnpackTexts(std::string_view bytes) {
  std::vector<std::string> texts;
  while (!bytes.empty()) {
    if (!TakeText(bytes, texts.emplace_back())) return absl::DataLossError("stored list of texts: cut short");
  }
  return texts;
}

std::string PackJudgements(const std::vector<Judgement>& judgements) {
  std::string bytes;
  for (const Judgement& judgement : judgements) {
    AppendUint32(bytes, static_cast<uint32_t>(judgement.grade));
    AppendUint32(bytes, static_cast<uint32_t>(judgement.document.size()));
    bytes += judgement.document;
  }
  return bytes;
}

absl::StatusOr<std::vector<Judgement>> UnpackJudgements(std::string_view bytes) {
  std::vector<Judgement> judgements;
  while (!bytes.empty()) {
    uint32_t grade = 0;
    Judgement& judgement = judgements.emplace_back();
    if (!TakeUint32(bytes, grade) || !TakeText(bytes, judgement.document)) {
      return absl::DataLossError("stored judgements: cut short");
    }
    judgement.grade = static_cast<int>(grade);
  }
  return judgements;
}

std::string PackIds(const std::vector<std::string>& ids) { return nlohmann::json(ids).dump(); }

absl::StatusOr<std::vector<std::string>> UnpackIds(std::string_view json) {
  const nlohmann::json list = nlohmann::json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!list.is_array()) return absl::DataLossError("stored ids: not a list");
  std::vector<std::string> ids;
  for (const nlohmann::json& id : list) {
    if (!id.is_string()) return absl::DataLossError("stored ids: one is not a text");
    ids.push_back(id.get<std::string>());
  }
  return ids;
}

std::string PackSources(const std::vector<DatasetCommit>& sources) {
  if (sources.empty()) return "";
  nlohmann::json list = nlohmann::json::array();
  for (const DatasetCommit& source : sources) list.push_back({source.dataset, source.commit});
  return list.dump();
}

absl::StatusOr<std::vector<DatasetCommit>> UnpackSources(std::string_view json) {
  std::vector<DatasetCommit> sources;
  if (json.empty()) return sources;
  const nlohmann::json list = nlohmann::json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!list.is_array()) return absl::DataLossError("stored sources: not a list");
  for (const nlohmann::json& source : list) {
    if (!source.is_array() || source.size() != 2 || !source[0].is_string() || !source[1].is_number_integer()) {
      return absl::DataLossError("stored sources: one is not a dataset and a commit");
    }
    sources.push_back({source[0].get<std::string>(), source[1].get<int64_t>()});
  }
  return sources;
}

std::string PackValidation(const std::optional<ValidationResult>& validation) {
  return validation ? ToJson(*validation).dump() : "";
}

absl::StatusOr<std::optional<ValidationResult>> UnpackValidation(std::string_view json) {
  if (json.empty()) return std::nullopt;
  ASSIGN_OR_RETURN(ValidationResult validation, ValidationResultFromJson(nlohmann::json::parse(json, nullptr, false)));
  return validation;
}

std::string PackComparison(const std::optional<TrainingComparison>& comparison) {
  return comparison ? ToJson(*comparison).dump() : "";
}

absl::StatusOr<std::optional<TrainingComparison>> UnpackComparison(std::string_view json) {
  if (json.empty()) return std::nullopt;
  ASSIGN_OR_RETURN(TrainingComparison comparison,
                   TrainingComparisonFromJson(nlohmann::json::parse(json, nullptr, false)));
  return comparison;
}

std::string PackEvaluation(const std::optional<Evaluation>& evaluation) {
  return evaluation ? EvaluationToJson(*evaluation).dump() : "";
}

absl::StatusOr<std::optional<Evaluation>> UnpackEvaluation(std::string_view json) {
  if (json.empty()) return std::nullopt;
  return EvaluationFromJson(nlohmann::json::parse(json, nullptr, false));
}

std::string PackGate(const std::optional<GateReport>& report) {
  if (!report) return "";
  nlohmann::json json = {{"passed", report->passed},
                         {"overridden", report->overridden},
                         {"reason", report->reason},
                         {"ndcg", {report->ndcg.mean, report->ndcg.lower, report->ndcg.upper}},
                         {"changes", ToJson(report->changes)},
                         {"override_reason", report->override_reason},
                         {"overridden_by", report->overridden_by},
                         {"time_us", absl::ToUnixMicros(report->time)}};
  if (report->candidate) json["candidate"] = EvaluationToJson(*report->candidate);
  if (report->live) json["live"] = EvaluationToJson(*report->live);
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

absl::StatusOr<std::optional<GateReport>> UnpackGate(std::string_view text) {
  if (text.empty()) return std::nullopt;
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto is = [&](const char* key, auto test) { return json.is_object() && json.contains(key) && test(json[key]); };
  const auto text_of = [](const nlohmann::json& value) { return value.is_string(); };
  const auto flag_of = [](const nlohmann::json& value) { return value.is_boolean(); };
  const auto three_numbers = [](const nlohmann::json& value) {
    return value.is_array() && value.size() == 3 &&
           std::all_of(value.begin(), value.end(), [](const auto& number) { return number.is_number(); });
  };
  if (!is("passed", flag_of) || !is("overridden", flag_of) || !is("reason", text_of) || !is("ndcg", three_numbers) ||
      !is("override_reason", text_of) || !is("overridden_by", text_of) ||
      !is("time_us", [](const nlohmann::json& value) { return value.is_number_integer(); })) {
    return absl::DataLossError("stored gate report: a field is missing");
  }
  GateReport report;
  report.passed = json["passed"].get<bool>();
  report.overridden = json["overridden"].get<bool>();
  report.reason = json["reason"].get<std::string>();
  report.ndcg = {json["ndcg"][0].get<double>(), json["ndcg"][1].get<double>(), json["ndcg"][2].get<double>()};
  if (json.contains("changes")) {  // Not in reports of earlier versions.
    ASSIGN_OR_RETURN(report.changes, QueryChangesFromJson(json["changes"]));
  }
  report.override_reason = json["override_reason"].get<std::string>();
  report.overridden_by = json["overridden_by"].get<std::string>();
  report.time = absl::FromUnixMicros(json["time_us"].get<int64_t>());
  if (json.contains("candidate")) {
    ASSIGN_OR_RETURN(report.candidate, EvaluationFromJson(json["candidate"]));
  }
  if (json.contains("live")) {
    ASSIGN_OR_RETURN(report.live, EvaluationFromJson(json["live"]));
  }
  return report;
}

std::string PackFields(const std::vector<FilterableField>& fields) {
  nlohmann::json list = nlohmann::json::array();
  for (const FilterableField& field : fields) list.push_back({field.name, static_cast<int>(field.type)});
  return list.dump();
}

absl::StatusOr<std::vector<FilterableField>> UnpackFields(std::string_view json) {
  const nlohmann::json list = nlohmann::json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!list.is_array()) return absl::DataLossError("stored fields: not a list");
  std::vector<FilterableField> fields;
  for (const nlohmann::json& field : list) {
    if (!field.is_array() || field.size() != 2 || !field[0].is_string() || !field[1].is_number_integer() ||
        field[1] < static_cast<int>(FieldType::kKeyword) || field[1] > static_cast<int>(FieldType::kDatetime)) {
      return absl::DataLossError("stored fields: one is not a name and a type");
    }
    fields.push_back({field[0].get<std::string>(), static_cast<FieldType>(field[1].get<int>())});
  }
  return fields;
}

std::string PackContract(const EmbeddingContract& contract) { return ToJson(contract).dump(); }

absl::StatusOr<EmbeddingContract> UnpackContract(std::string_view json) {
  return ContractFromJson(nlohmann::json::parse(json, nullptr, false));
}

absl::StatusOr<EmbeddingContract> UnpackVectorContract(std::string_view text) {
  nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (json.is_object()) json["max_length"] = 1;  // Of texts, which nothing reads.
  ASSIGN_OR_RETURN(EmbeddingContract contract, ContractFromJson(json));
  contract.max_length = 0;
  return contract;
}

}  // namespace tandem
