#include "server/release/gate.h"

#include <string>
#include <string_view>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "server/base/bootstrap.h"

namespace tandem {

GateReport AskGate(const GatePolicy& policy, std::span<const EvaluationQuery> queries, const MeasuredRelease& candidate,
                   const MeasuredRelease* live) {
  GateReport report;
  report.candidate = candidate.evaluation;
  std::vector<std::string> refusals;
  if (candidate.evaluation.index_recall_at_10 < policy.min_index_recall) {
    refusals.push_back(absl::StrFormat("the index's recall@10 is %.4f, its floor is %.4f",
                                       candidate.evaluation.index_recall_at_10, policy.min_index_recall));
  }
  if (!policy.evaluation_set.empty()) {
    if (candidate.evaluation.metrics.ndcg_at_10 < policy.min_ndcg) {
      refusals.push_back(absl::StrFormat("nDCG@10 on evaluation set \"%s\" is %.4f, its floor is %.4f",
                                         policy.evaluation_set, candidate.evaluation.metrics.ndcg_at_10,
                                         policy.min_ndcg));
    }
    if (live != nullptr) {
      report.live = live->evaluation;
      report.ndcg = PairedBootstrap(candidate.ndcg_at_10, live->ndcg_at_10);
      report.changes = LargestChanges(live->ndcg_at_10, candidate.ndcg_at_10,
                                      [&](size_t i) { return std::string_view(queries[i].text); });
      if (!(report.ndcg.lower > -policy.margin)) {
        refusals.push_back(absl::StrFormat(
            "nDCG@10 on evaluation set \"%s\" is %.4f against %.4f of the live release: the difference is %+.4f with a "
            "95%% interval of [%+.4f, %+.4f], whose lower end must be above %.4f",
            policy.evaluation_set, candidate.evaluation.metrics.ndcg_at_10, live->evaluation.metrics.ndcg_at_10,
            report.ndcg.mean, report.ndcg.lower, report.ndcg.upper, -policy.margin));
      }
    }
  }
  report.passed = refusals.empty();
  report.reason = absl::StrJoin(refusals, "; ");
  return report;
}

GateReport GateWithoutEvaluationSet() {
  GateReport report;
  report.reason =
      "the collection's gate names no evaluation set to judge the release on: create one and name it in "
      "gate.evaluation_set (UpdateCollection), or give an override_reason";
  return report;
}

bool LacksEvaluationSet(const GatePolicy& policy, bool replaces_live) {
  return policy.evaluation_set.empty() && (replaces_live || policy.min_ndcg > 0);
}

}  // namespace tandem
