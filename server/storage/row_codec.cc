#include "server/storage/row_codec.h"

#include <nlohmann/json.hpp>

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

std::string PackMetrics(const std::optional<RetrievalMetrics>& metrics) {
  return metrics ? MetricsToJson(*metrics).dump() : "";
}

absl::StatusOr<std::optional<RetrievalMetrics>> UnpackMetrics(std::string_view json) {
  if (json.empty()) return std::nullopt;
  ASSIGN_OR_RETURN(RetrievalMetrics metrics, MetricsFromJson(nlohmann::json::parse(json, nullptr, false)));
  return metrics;
}

std::string PackEvaluation(const std::optional<Evaluation>& evaluation) {
  if (!evaluation) return "";
  return nlohmann::json{{"evaluation_set", evaluation->evaluation_set},
                        {"commit", evaluation->commit},
                        {"metrics", MetricsToJson(evaluation->metrics)},
                        {"index_recall_at_10", evaluation->index_recall_at_10}}
      .dump();
}

absl::StatusOr<std::optional<Evaluation>> UnpackEvaluation(std::string_view json) {
  if (json.empty()) return std::nullopt;
  const nlohmann::json parsed = nlohmann::json::parse(json, nullptr, false);
  if (!parsed.is_object() || !parsed.contains("evaluation_set") || !parsed["evaluation_set"].is_string() ||
      !parsed.contains("commit") || !parsed["commit"].is_number_integer() || !parsed.contains("metrics") ||
      !parsed.contains("index_recall_at_10") || !parsed["index_recall_at_10"].is_number()) {
    return absl::DataLossError("stored evaluation: a field is missing");
  }
  Evaluation evaluation;
  evaluation.evaluation_set = parsed["evaluation_set"].get<std::string>();
  evaluation.commit = parsed["commit"].get<int64_t>();
  evaluation.index_recall_at_10 = parsed["index_recall_at_10"].get<double>();
  ASSIGN_OR_RETURN(evaluation.metrics, MetricsFromJson(parsed["metrics"]));
  return evaluation;
}

std::string PackContract(const EmbeddingContract& contract) { return ToJson(contract).dump(); }

absl::StatusOr<EmbeddingContract> UnpackContract(std::string_view json) {
  return ContractFromJson(nlohmann::json::parse(json, nullptr, false));
}

}  // namespace tandem
