#include "client/cli/validation_text.h"

#include "absl/strings/str_cat.h"
#include "client/cli/format.h"

namespace tandem::cli {
namespace {

std::string RestOf(const v1::ValidationMetrics& metrics) {
  switch (metrics.metrics_case()) {
    case v1::ValidationMetrics::kRetrieval:
      return absl::StrCat(", recall@10 ", FormatMetric(metrics.retrieval().recall_at_10()), ", MRR@10 ",
                          FormatMetric(metrics.retrieval().mrr_at_10()),
                          metrics.retrieval().has_map() ? ", MAP " + FormatMetric(metrics.retrieval().map()) : "", " (",
                          metrics.retrieval().queries(), " queries)");
    case v1::ValidationMetrics::kSimilarity:
      return absl::StrCat(", Pearson ", FormatMetric(metrics.similarity().pearson()));
    case v1::ValidationMetrics::kLabelledPairs: {
      const v1::LabelledPairMetrics& pairs = metrics.labelled_pairs();
      return absl::StrCat(", accuracy ", FormatMetric(pairs.best_accuracy()), " above ",
                          FormatMetric(pairs.best_accuracy_threshold()), ", F1 ", FormatMetric(pairs.best_f1()),
                          " above ", FormatMetric(pairs.best_f1_threshold()));
    }
    case v1::ValidationMetrics::kClasses:
      return absl::StrCat(" (", metrics.classes().texts(), " texts)");
    case v1::ValidationMetrics::METRICS_NOT_SET:
      break;
  }
  return "";
}

}  // namespace

std::string HeadlineOf(const v1::ValidationMetrics& metrics) {
  switch (metrics.metrics_case()) {
    case v1::ValidationMetrics::kRetrieval:
      return absl::StrCat("nDCG@10 ", FormatMetric(metrics.retrieval().ndcg_at_10()));
    case v1::ValidationMetrics::kSimilarity:
      return absl::StrCat("Spearman ", FormatMetric(metrics.similarity().spearman()));
    case v1::ValidationMetrics::kLabelledPairs:
      return absl::StrCat("average precision ", FormatMetric(metrics.labelled_pairs().average_precision()));
    case v1::ValidationMetrics::kClasses:
      return absl::StrCat("nearest-neighbour accuracy ", FormatMetric(metrics.classes().knn_accuracy()));
    case v1::ValidationMetrics::METRICS_NOT_SET:
      break;
  }
  return metrics.has_loss() ? absl::StrCat("loss ", FormatMetric(metrics.loss())) : "";
}

std::string DescribeValidation(const v1::ValidationMetrics& metrics) {
  std::string text = absl::StrCat(HeadlineOf(metrics), RestOf(metrics));
  const auto add = [&](const char* name, double value) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", name, " ", FormatMetric(value));
  };
  if (metrics.has_loss() && metrics.metrics_case() != v1::ValidationMetrics::METRICS_NOT_SET) {
    add("loss", metrics.loss());
  }
  if (metrics.has_alignment()) add("alignment", metrics.alignment());
  if (metrics.has_uniformity()) add("uniformity", metrics.uniformity());
  return text;
}

}  // namespace tandem::cli
