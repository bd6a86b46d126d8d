#pragma once
// May a release go live? A pure function of the collection's policy and of what was measured. The first release of a
// collection is judged by the floors alone; one that replaces another also by the paired difference of nDCG@10.

#include <span>
#include <vector>

#include "server/release/collections.h"
#include "server/storage/records.h"

namespace tandem {

// An evaluation with what the paired bootstrap needs: one value a query, in the order of the evaluation set. Without an
// evaluation set only the index's recall was measured and `ndcg_at_10` is empty.
struct MeasuredRelease {
  Evaluation evaluation;
  std::vector<double> ndcg_at_10;
};

// `live` is null for a collection's first release. With an evaluation set, both must have been measured on `queries`,
// its queries; of them the report names those that fell and rose most. `overridden` is left false: that is the caller's
// decision.
GateReport AskGate(const GatePolicy& policy, std::span<const EvaluationQuery> queries, const MeasuredRelease& candidate,
                   const MeasuredRelease* live);

// What the gate says without measuring: a release is to replace another (or a floor of nDCG@10 is set), and there is
// no evaluation set to judge it on.
GateReport GateWithoutEvaluationSet();

// Whether `policy` needs an evaluation set for this promotion and has none.
bool LacksEvaluationSet(const GatePolicy& policy, bool replaces_live);

}  // namespace tandem
