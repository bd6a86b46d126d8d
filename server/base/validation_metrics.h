#pragma once
// What a validation measured, whatever the form of the validation examples: one kind of metrics, the loss where it is
// defined, and how the vectors lie. Written into events, checkpoints and result.json as flat JSON; keys are those of
// the proto's messages.

#include <optional>

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "server/base/class_metrics.h"
#include "server/base/pair_metrics.h"
#include "server/base/retrieval_metrics.h"
#include "server/base/similarity_metrics.h"

namespace tandem {

// At most one of the first four is set, by the form of the examples: pairs, scored pairs, labelled pairs, labelled
// texts. None of plain texts.
struct ValidationMetrics {
  std::optional<RetrievalMetrics> retrieval;
  std::optional<SimilarityMetrics> similarity;
  std::optional<PairMetrics> pairs;
  std::optional<ClassMetrics> classes;
  // Wang and Isola 2020, of vectors of length 1: mean ||a - p||^2 over the positive pairs, and log mean
  // exp(-2 ||x - y||^2) over the pairs of different texts. Lower is better for both.
  std::optional<double> alignment, uniformity;

  // What decides which weights are best, higher is better: nDCG@10, Spearman, average precision or accuracy. 0 when
  // none of them is set: then the loss decides.
  double score() const;
};

struct ValidationResult {
  std::optional<double> loss;  // Set when the loss of the first objective takes examples of this form.
  ValidationMetrics metrics;
};

// Keys: "loss"; "ndcg_at_10", "recall_at_10", "mrr_at_10", "recall_at_1", "map", "queries"; "spearman", "pearson";
// "average_precision", "best_accuracy", "best_accuracy_threshold", "best_f1", "best_f1_threshold"; "knn_accuracy",
// "texts"; "alignment", "uniformity". Those that are not set are left out. They reach disk: do not change.
nlohmann::json ToJson(const ValidationResult& result);

// Other keys are passed over, so that a whole "validation" event may be given. DATA_LOSS names the key at fault.
absl::StatusOr<ValidationResult> ValidationResultFromJson(const nlohmann::json& json);

}  // namespace tandem
