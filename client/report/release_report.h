#pragma once
// What is known of a release, and the page that shows it. Strings are as users and the server wrote them; drawing
// escapes and shortens them.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "client/report/page.h"
#include "client/report/query_changes.h"

namespace tandem::report {

// One evaluation, of the release or of the one that was live.
struct EvaluationRow {
  std::string name;  // Of the release, or "live then".
  double ndcg = 0, recall = 0, mrr = 0, index_recall = 0;
  int64_t queries = 0;
};

// What the gate said.
struct Verdict {
  std::string result;  // "passed", "refused" or "overridden".
  std::string time, reason;
  std::string override_reason, overridden_by;
  std::vector<EvaluationRow> compared;          // The candidate, and the live release when there was one.
  bool has_difference = false;                  // Both were evaluated.
  double difference = 0, lower = 0, upper = 0;  // Of nDCG@10, candidate minus live, with its 95% interval.
  std::optional<double> margin;         // The interval's lower end must be above its negative; the collection's now.
  std::vector<QueryChange> rose, fell;  // The queries whose nDCG@10 changed most, from live to candidate.
};

struct ReleaseReport {
  std::string name, state, error;
  std::string model;
  std::vector<Fact> facts, contract, index;
  int64_t cursor = 0, target_commit = 0, documents_done = 0, documents_total = 0;
  std::optional<EvaluationRow> evaluation;
  std::string evaluation_set;
  std::optional<double> min_index_recall;  // The collection's gate now.
  std::optional<Verdict> verdict;
};

std::string Draw(const ReleaseReport& report);

}  // namespace tandem::report
