#include "client/cli/report_release.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "client/cli/format.h"
#include "client/cli/release_view.h"
#include "client/names.h"

namespace tandem::cli {
namespace {

report::EvaluationRow RowOf(const std::string& name, const v1::Evaluation& evaluation) {
  return {.name = name,
          .ndcg = evaluation.metrics().ndcg_at_10(),
          .recall = evaluation.metrics().recall_at_10(),
          .mrr = evaluation.metrics().mrr_at_10(),
          .index_recall = evaluation.index_recall_at_10(),
          .queries = evaluation.metrics().queries()};
}

std::string VerdictOf(const v1::GateReport& gate) {
  if (gate.passed()) return "passed";
  return gate.overridden() ? "refused, and overridden" : "refused";
}

report::Verdict DescribeGate(const v1::GateReport& gate, const v1::GatePolicy& policy, const std::string& name) {
  report::Verdict verdict{.result = VerdictOf(gate),
                          .time = FormatTime(gate.time()),
                          .reason = gate.reason(),
                          .override_reason = gate.override_reason(),
                          .overridden_by = gate.overridden_by()};
  const bool candidate = !gate.candidate().evaluation_set().empty(), live = !gate.live().evaluation_set().empty();
  if (candidate) verdict.compared.push_back(RowOf(name, gate.candidate()));
  if (live) verdict.compared.push_back(RowOf("live then", gate.live()));
  verdict.has_difference = candidate && live;
  verdict.difference = gate.ndcg_difference();
  verdict.lower = gate.ndcg_difference_lower();
  verdict.upper = gate.ndcg_difference_upper();
  for (const v1::QueryChange& change : gate.rose()) {
    verdict.rose.push_back({change.text(), change.before(), change.after()});
  }
  for (const v1::QueryChange& change : gate.fell()) {
    verdict.fell.push_back({change.text(), change.before(), change.after()});
  }
  if (policy.has_margin()) verdict.margin = policy.margin();
  return verdict;
}

std::vector<report::Fact> DescribeSpec(const v1::Release& release) {
  return {{"index", DescribeIndex(release.index())},
          {"memory", release.index_bytes() > 0 ? FormatBytes(release.index_bytes()) : "not in memory"},
          {"files", release.rebuilding() ? "damaged; the index is built again" : ""}};
}

std::vector<report::Fact> DescribeContract(const v1::EmbeddingContract& contract) {
  return {{"dimensions", FormatCount(contract.dimensions())},
          {"pooling", EnumName(v1::Pooling_Name(contract.pooling()))},
          {"metric", EnumName(v1::Metric_Name(contract.metric()))},
          {"normalize", contract.normalize() ? "yes" : "no"},
          {"longest text", absl::StrCat(FormatCount(contract.max_length()), " tokens, truncated at the ",
                                        EnumName(v1::TruncationSide_Name(contract.truncation_side())))},
          {"query prompt", contract.query_prompt()},
          {"document prompt", contract.document_prompt()}};
}

}  // namespace

report::ReleaseReport ReportOf(const v1::Release& release, const v1::GatePolicy& gate) {
  report::ReleaseReport result;
  result.name = ShortName(release.name());
  result.state = EnumName(v1::Release::State_Name(release.state()));
  result.error = release.error().message();
  result.model = ShortName(release.model_revision());
  result.facts = {{"state", result.state},
                  {"model revision", result.model},
                  {"made", FormatTime(release.create_time())},
                  {"promoted", FormatTime(release.promote_time())},
                  {"gate asked", FormatTime(release.gate().time())}};
  result.contract = DescribeContract(release.contract());
  result.index = DescribeSpec(release);
  result.cursor = release.cursor();
  result.target_commit = release.target_commit();
  result.documents_done = release.documents_done();
  result.documents_total = release.documents_total();
  if (!release.evaluation().evaluation_set().empty()) {
    result.evaluation = RowOf(result.name, release.evaluation());
    result.evaluation_set = absl::StrCat(ShortName(release.evaluation().evaluation_set()), ", at commit ",
                                         FormatCount(release.evaluation().commit()));
  }
  if (gate.has_min_index_recall()) result.min_index_recall = gate.min_index_recall();
  if (release.has_gate()) result.verdict = DescribeGate(release.gate(), gate, result.name);
  return result;
}

absl::StatusOr<report::ReleaseReport> CollectReleaseReport(const Client& client, absl::string_view name) {
  const absl::StatusOr<v1::Release> release = client.releases.Get(name);
  if (!release.ok()) return release.status();
  const std::string& full = release->name();
  const absl::StatusOr<v1::Collection> collection = client.collections.Get(full.substr(0, full.find("/releases/")));
  if (!collection.ok()) return collection.status();
  return ReportOf(*release, collection->gate());
}

}  // namespace tandem::cli
