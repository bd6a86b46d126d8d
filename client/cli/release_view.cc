#include "client/cli/release_view.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/format.h"
#include "client/cli/outage.h"
#include "client/cli/progress_bar.h"
#include "client/names.h"

namespace tandem::cli {
namespace {

std::string Figures(const v1::Evaluation& evaluation) {
  const v1::RetrievalMetrics& metrics = evaluation.metrics();
  return absl::StrCat("nDCG@10 ", FormatMetric(metrics.ndcg_at_10()), ", recall@10 ",
                      FormatMetric(metrics.recall_at_10()), ", MRR@10 ", FormatMetric(metrics.mrr_at_10()), " (",
                      FormatCount(metrics.queries()), " queries)");
}

std::string Describe(const v1::Calibration& calibration) {
  return absl::StrFormat("relevance 0.5 at score %.4f, expected error %.4f (%d hits)",
                         -calibration.intercept() / calibration.slope(), calibration.expected_error(),
                         calibration.hits());
}

void AddEvaluation(Table* table, const std::string& who, const v1::Evaluation& evaluation) {
  const v1::RetrievalMetrics& metrics = evaluation.metrics();
  table->AddRow({who, FormatMetric(metrics.ndcg_at_10()), FormatMetric(metrics.recall_at_10()),
                 FormatMetric(metrics.mrr_at_10()), FormatMetric(evaluation.index_recall_at_10()),
                 FormatCount(metrics.queries())});
}

std::string DescribeChanges(const v1::GateReport& gate) {
  if (gate.fell().empty()) return "";
  Table table({{"LIVE", Table::kRight}, {"CANDIDATE", Table::kRight}, {"QUERIES WHOSE nDCG@10 FELL MOST"}});
  for (const v1::QueryChange& change : gate.fell()) {
    table.AddRow({FormatMetric(change.before()), FormatMetric(change.after()), change.text()});
  }
  return "\n" + table.Render();
}

std::string DescribeVerdict(const v1::GateReport& gate) {
  if (gate.passed()) return absl::StrCat("passed ", FormatTime(gate.time()));
  if (!gate.overridden()) return absl::StrCat("refused ", FormatTime(gate.time()), ": ", gate.reason());
  return absl::StrCat("overridden ", FormatTime(gate.time()), " by ", gate.overridden_by(), " (",
                      gate.override_reason(), "); it had said: ", gate.reason());
}

}  // namespace

std::string DescribeIndex(const v1::IndexSpec& index) {
  std::string text;
  const auto add = [&text](bool set, absl::string_view name, int32_t value) {
    if (set) absl::StrAppend(&text, " ", name, "=", value);
  };
  switch (index.kind_case()) {
    case v1::IndexSpec::kFlat:
      return "flat";
    case v1::IndexSpec::kHnsw:
      text = "hnsw";
      add(index.hnsw().has_m(), "m", index.hnsw().m());
      add(index.hnsw().has_ef_construction(), "ef_construction", index.hnsw().ef_construction());
      add(index.hnsw().has_ef_search(), "ef_search", index.hnsw().ef_search());
      return text;
    case v1::IndexSpec::kIvfFlat:
      text = "ivf-flat";
      add(index.ivf_flat().has_lists(), "lists", index.ivf_flat().lists());
      add(index.ivf_flat().has_nprobe(), "nprobe", index.ivf_flat().nprobe());
      return text;
    case v1::IndexSpec::kIvfPq:
      text = "ivf-pq";
      add(index.ivf_pq().has_lists(), "lists", index.ivf_pq().lists());
      add(index.ivf_pq().has_nprobe(), "nprobe", index.ivf_pq().nprobe());
      add(index.ivf_pq().has_subquantizers(), "subquantizers", index.ivf_pq().subquantizers());
      add(index.ivf_pq().has_rerank_factor(), "rerank_factor", index.ivf_pq().rerank_factor());
      return text;
    case v1::IndexSpec::kScalarQuantized:
      text = index.scalar_quantized().storage() == v1::STORE_FLOAT16 ? "sq16" : "sq8";
      add(index.scalar_quantized().has_rerank_factor(), "rerank_factor", index.scalar_quantized().rerank_factor());
      return text;
    case v1::IndexSpec::kBinary:
      text = "binary";
      add(index.binary().has_rerank_factor(), "rerank_factor", index.binary().rerank_factor());
      return text;
    case v1::IndexSpec::KIND_NOT_SET:
      return "";
  }
  return text;
}

std::string DescribeRelease(const v1::Release& release) {
  const v1::Evaluation& evaluation = release.evaluation();
  const bool evaluated = release.has_evaluation() && !evaluation.evaluation_set().empty();
  return RenderFields({
             {"release", ShortName(release.name())},
             {"state", absl::StrCat(EnumName(v1::Release::State_Name(release.state())),
                                    release.rebuilding() ? ", its damaged index is built again" : "")},
             {"model", ShortName(release.model_revision())},
             {"index", DescribeIndex(release.index())},
             {"made", FormatTime(release.create_time())},
             {"promoted", FormatTime(release.promote_time())},
             {"built", absl::StrCat(FormatCount(release.documents_done()), " of ",
                                    FormatCount(release.documents_total()), " documents")},
             {"commit", absl::StrCat(FormatCount(release.cursor()), " of ", FormatCount(release.target_commit()))},
             {"evaluation set", ShortName(evaluation.evaluation_set())},
             {"evaluation", evaluated ? Figures(evaluation) : ""},
             {"calibration", release.has_calibration() ? Describe(release.calibration()) : ""},
             {"index recall@10", release.has_evaluation() ? FormatMetric(evaluation.index_recall_at_10()) : ""},
             {"gate", release.has_gate() ? DescribeVerdict(release.gate()) : ""},
             {"memory", release.index_bytes() > 0 ? FormatBytes(release.index_bytes()) : ""},
             {"error", release.error().message()},
         }) +
         DescribeChanges(release.gate());
}

std::string DescribePromotion(const v1::PromoteReleaseResponse& response) {
  std::string text = absl::StrCat(ShortName(response.release().name()), " is live");
  if (!response.previous().name().empty()) {
    absl::StrAppend(&text, "; ", ShortName(response.previous().name()), " stays ready for a rollback");
  }
  text += "\n";
  const v1::GateReport& gate = response.gate();
  if (gate.overridden()) {
    absl::StrAppend(&text, "the gate was overridden: ", gate.override_reason(), "\nit had said: ", gate.reason(), "\n");
  }
  if (gate.candidate().evaluation_set().empty()) return text;
  Table table({{"RELEASE"},
               {"nDCG@10", Table::kRight},
               {"RECALL@10", Table::kRight},
               {"MRR@10", Table::kRight},
               {"INDEX RECALL", Table::kRight},
               {"QUERIES", Table::kRight}});
  if (!gate.live().evaluation_set().empty()) AddEvaluation(&table, "live before", gate.live());
  AddEvaluation(&table, "live now", gate.candidate());
  text += table.Render();
  if (!gate.live().evaluation_set().empty()) {
    absl::StrAppendFormat(&text, "difference of nDCG@10: %+.4f, 95%% interval [%+.4f, %+.4f]\n", gate.ndcg_difference(),
                          gate.ndcg_difference_lower(), gate.ndcg_difference_upper());
  }
  text += DescribeChanges(gate);
  return text;
}

absl::StatusOr<v1::Release> WatchBuild(Client& client, Session& session, const std::string& release,
                                       bool print_changes) {
  if (session.interactive()) session.Say("Ctrl-C ends the watching, not the build.");
  ProgressBar bar(session.progress_output(), "building", "documents");
  Outage outage(&bar);
  absl::StatusOr<v1::Release> built = client.releases.Watch(
      release,
      [&](const v1::Release& change) {
        if (print_changes && session.json) session.PrintLine(ToJson(change));
        outage.Over();
        ProgressView view;
        view.done = static_cast<double>(change.documents_done());
        view.total = static_cast<double>(change.documents_total());
        view.left = TimeLeft(change.time_left());
        if (change.documents_total() > 0 && change.documents_done() == change.documents_total() &&
            change.state() == v1::Release::BUILDING) {
          view.note = "indexing and evaluating";
        }
        bar.Update(std::move(view));
      },
      [&](const absl::Status& error) { outage.Broken(error); });
  bar.Finish();
  return built;
}

absl::Status OutcomeOf(const v1::Release& release) {
  if (release.state() != v1::Release::FAILED) return absl::OkStatus();
  return absl::UnknownError(absl::StrCat(release.name(), " failed: ", release.error().message()));
}

}  // namespace tandem::cli
