#include "server/base/validation_metrics.h"

#include <string>

#include "absl/status/status.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

using nlohmann::json;

absl::Status Take(const json& object, const char* key, double& out) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number()) {
    return absl::DataLossError(Concat("validation result: ", key, " is missing or not a number"));
  }
  out = found->get<double>();
  return absl::OkStatus();
}

absl::Status Take(const json& object, const char* key, int& out) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_integer()) {
    return absl::DataLossError(Concat("validation result: ", key, " is missing or not a whole number"));
  }
  out = found->get<int>();
  return absl::OkStatus();
}

absl::Status TakeOptional(const json& object, const char* key, std::optional<double>& out) {
  if (!object.contains(key)) return absl::OkStatus();
  return Take(object, key, out.emplace());
}

absl::Status Read(const json& in, RetrievalMetrics& out) {
  RETURN_IF_ERROR(Take(in, "ndcg_at_10", out.ndcg_at_10));
  RETURN_IF_ERROR(Take(in, "recall_at_10", out.recall_at_10));
  RETURN_IF_ERROR(Take(in, "mrr_at_10", out.mrr_at_10));
  RETURN_IF_ERROR(Take(in, "recall_at_1", out.recall_at_1));
  RETURN_IF_ERROR(TakeOptional(in, "map", out.map));
  return Take(in, "queries", out.queries);
}

absl::Status Read(const json& in, SimilarityMetrics& out) {
  RETURN_IF_ERROR(Take(in, "spearman", out.spearman));
  return Take(in, "pearson", out.pearson);
}

absl::Status Read(const json& in, PairMetrics& out) {
  RETURN_IF_ERROR(Take(in, "average_precision", out.average_precision));
  RETURN_IF_ERROR(Take(in, "best_accuracy", out.best_accuracy));
  RETURN_IF_ERROR(Take(in, "best_accuracy_threshold", out.best_accuracy_threshold));
  RETURN_IF_ERROR(Take(in, "best_f1", out.best_f1));
  return Take(in, "best_f1_threshold", out.best_f1_threshold);
}

absl::Status Read(const json& in, ClassMetrics& out) {
  RETURN_IF_ERROR(Take(in, "knn_accuracy", out.knn_accuracy));
  return Take(in, "texts", out.texts);
}

// `key` is one that only these metrics have.
template <typename Metrics>
absl::Status ReadIfThere(const json& in, const char* key, std::optional<Metrics>& out) {
  return in.contains(key) ? Read(in, out.emplace()) : absl::OkStatus();
}

}  // namespace

double ValidationMetrics::score() const {
  if (retrieval) return retrieval->ndcg_at_10;
  if (similarity) return similarity->spearman;
  if (pairs) return pairs->average_precision;
  if (classes) return classes->knn_accuracy;
  return 0;
}

json ToJson(const ValidationResult& result) {
  const ValidationMetrics& metrics = result.metrics;
  json out = json::object();
  if (result.loss) out["loss"] = *result.loss;
  if (metrics.retrieval) {
    out["ndcg_at_10"] = metrics.retrieval->ndcg_at_10;
    out["recall_at_10"] = metrics.retrieval->recall_at_10;
    out["mrr_at_10"] = metrics.retrieval->mrr_at_10;
    out["recall_at_1"] = metrics.retrieval->recall_at_1;
    if (metrics.retrieval->map) out["map"] = *metrics.retrieval->map;
    out["queries"] = metrics.retrieval->queries;
  }
  if (metrics.similarity) {
    out["spearman"] = metrics.similarity->spearman;
    out["pearson"] = metrics.similarity->pearson;
  }
  if (metrics.pairs) {
    out["average_precision"] = metrics.pairs->average_precision;
    out["best_accuracy"] = metrics.pairs->best_accuracy;
    out["best_accuracy_threshold"] = metrics.pairs->best_accuracy_threshold;
    out["best_f1"] = metrics.pairs->best_f1;
    out["best_f1_threshold"] = metrics.pairs->best_f1_threshold;
  }
  if (metrics.classes) {
    out["knn_accuracy"] = metrics.classes->knn_accuracy;
    out["texts"] = metrics.classes->texts;
  }
  if (metrics.alignment) out["alignment"] = *metrics.alignment;
  if (metrics.uniformity) out["uniformity"] = *metrics.uniformity;
  return out;
}

absl::StatusOr<ValidationResult> ValidationResultFromJson(const json& json) {
  if (!json.is_object()) return absl::DataLossError("validation result: not a JSON object");
  ValidationResult result;
  ValidationMetrics& metrics = result.metrics;
  RETURN_IF_ERROR(TakeOptional(json, "loss", result.loss));
  RETURN_IF_ERROR(ReadIfThere(json, "ndcg_at_10", metrics.retrieval));
  RETURN_IF_ERROR(ReadIfThere(json, "spearman", metrics.similarity));
  RETURN_IF_ERROR(ReadIfThere(json, "average_precision", metrics.pairs));
  RETURN_IF_ERROR(ReadIfThere(json, "knn_accuracy", metrics.classes));
  RETURN_IF_ERROR(TakeOptional(json, "alignment", metrics.alignment));
  RETURN_IF_ERROR(TakeOptional(json, "uniformity", metrics.uniformity));
  return result;
}

}  // namespace tandem
