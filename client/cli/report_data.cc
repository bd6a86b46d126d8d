#include "client/cli/report_data.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/analysis_text.h"
#include "client/cli/format.h"
#include "client/cli/job_view.h"
#include "client/names.h"
#include "nlohmann/json.hpp"

namespace tandem::cli {
namespace {

using Analysis = v1::DatasetAnalysis;

constexpr size_t kJobsToSearch = 1000;

// Whether the job analyses, or has analysed, what is asked for. Which commit it is of is known when it has ended.
bool MayAnswer(const v1::Job& job, const v1::AnalyzeDatasetRequest& request) {
  if (job.kind() != v1::Job::ANALYZE_DATASET || job.dataset() != request.dataset()) return false;
  if (!IsFinished(job.state())) return true;
  return job.has_analysis() &&
         (!request.has_dataset_commit() || job.analysis().dataset_commit() == request.dataset_commit());
}

// What training took from the options of a revision's lineage.
void AddOptions(const v1::ModelRevision& revision, v1::AnalyzeDatasetRequest* request) {
  const nlohmann::json options = nlohmann::json::parse(revision.options_json(), nullptr, /*allow_exceptions=*/false);
  if (!options.is_object()) return;
  const auto number = [&](const char* key) {
    const auto found = options.find(key);
    return found != options.end() && found->is_number_integer() ? found->get<int32_t>() : 0;
  };
  if (number("batch_size") > 0) request->set_batch_size(number("batch_size"));
  if (number("max_length") > 0) request->set_max_length(number("max_length"));
}

std::vector<v1::AnalyzeDatasetRequest> RequestsOf(const v1::Job& job, const v1::ModelRevision* revision) {
  v1::AnalyzeDatasetRequest request;
  request.set_base_revision(job.base_revision());
  request.set_dataset(job.dataset());
  if (revision == nullptr) return {request};
  AddOptions(*revision, &request);
  request.set_dataset_commit(revision->dataset_commit());
  std::vector<v1::AnalyzeDatasetRequest> requests;
  if (revision->sources().empty()) requests.push_back(request);
  for (const v1::ModelRevision::Source& source : revision->sources()) {
    request.set_dataset(source.dataset());
    request.set_dataset_commit(source.commit());
    const bool known = std::any_of(requests.begin(), requests.end(),
                                   [&](const auto& other) { return other.dataset() == source.dataset(); });
    if (!known) requests.push_back(request);
  }
  // The validation's is the last that a job reads, and is none that it trains on.
  if (job.datasets().empty()) return requests;
  const std::string& last = job.datasets(job.datasets_size() - 1);
  const bool trained =
      std::any_of(requests.begin(), requests.end(), [&](const auto& other) { return other.dataset() == last; });
  for (auto& each : requests) {
    if (!trained) each.set_validation_dataset(last);
  }
  return requests;
}

std::vector<report::Fact> CountsOf(const Analysis& analysis) {
  std::vector<report::Fact> facts = {
      {"examples", FormatCount(analysis.examples())},
      {"rows", FormatCount(analysis.rows())},
      {"texts", FormatCount(analysis.texts())},
      {"distinct texts", FormatCount(analysis.distinct_texts())},
      {"repeated examples", FormatCount(analysis.exact_duplicates().count())},
      {"repeated but for case and space", FormatCount(analysis.folded_duplicates().count())}};
  if (!analysis.validation_dataset().empty()) {
    facts.push_back({"validation examples", FormatCount(analysis.validation_examples())});
    facts.push_back({"first texts that validation has too", FormatCount(analysis.shared_anchors().count())});
  }
  if (analysis.false_negatives() >= 0.005) {
    facts.push_back({"false negatives a batch",
                     absl::StrFormat("%.2f in %d at random", analysis.false_negatives(), analysis.batch_size())});
  }
  return facts;
}

std::vector<report::Fact> BalanceOf(const Analysis& analysis) {
  std::vector<report::Fact> facts;
  if (analysis.has_labels()) {
    const Analysis::LabelBalance& labels = analysis.labels();
    const double most = std::log2(std::max<double>(1, static_cast<double>(labels.classes())));
    facts = {{"classes", FormatCount(labels.classes())},
             {"largest class", absl::StrCat(labels.largest(), ", ", FormatCount(labels.largest_size()), " texts")},
             {"smallest class", absl::StrCat(labels.smallest(), ", ", FormatCount(labels.smallest_size()), " texts")},
             {"classes of one text", FormatCount(labels.single_texts())},
             {"entropy", absl::StrFormat("%.2f bits of at most %.2f", labels.entropy(), most)}};
  }
  if (analysis.similar() + analysis.dissimilar() > 0) {
    facts.push_back({"similar pairs", FormatCount(analysis.similar())});
    facts.push_back({"dissimilar pairs", FormatCount(analysis.dissimilar())});
  }
  if (analysis.has_scores()) facts.push_back({"mean score", FormatMetric(analysis.scores().mean())});
  return facts;
}

report::TextLengthFigures LengthsOf(const char* name, const Analysis::TextLengths& lengths) {
  return {.name = name, .texts = {lengths.histogram().begin(), lengths.histogram().end()}};
}

}  // namespace

report::TrainingData TrainingDataOf(const v1::Job& job) {
  const Analysis& analysis = job.analysis();
  report::TrainingData data;
  data.source = absl::StrCat(ShortName(analysis.dataset()), " up to commit ", FormatCount(analysis.dataset_commit()),
                             ", analysed by job ", ShortName(job.name()));
  for (const Analysis::Finding& finding : analysis.findings()) {
    data.findings.push_back({EnumName(Analysis::Finding::Severity_Name(finding.severity())), finding.advice(),
                             DescribeCommits(finding.commits())});
  }
  data.counts = CountsOf(analysis);
  data.balance = BalanceOf(analysis);
  if (analysis.has_first_lengths()) data.lengths.push_back(LengthsOf("first texts", analysis.first_lengths()));
  if (analysis.has_second_lengths()) {
    data.lengths.push_back(LengthsOf("positives and negatives", analysis.second_lengths()));
  }
  data.max_length = analysis.max_length();
  data.scores.assign(analysis.scores().histogram().begin(), analysis.scores().histogram().end());
  data.lowest_score = analysis.scores().lowest();
  data.highest_score = analysis.scores().highest();
  return data;
}

absl::StatusOr<v1::Job> FindOrAnalyse(Client& client, Session& session, const v1::AnalyzeDatasetRequest& request) {
  absl::StatusOr<std::vector<v1::Job>> jobs = client.jobs.List(kJobsToSearch);
  if (!jobs.ok()) return jobs.status();
  for (const v1::Job& known : *jobs) {
    if (!MayAnswer(known, request)) continue;
    if (IsFinished(known.state())) return known;
    absl::StatusOr<v1::Job> waited = WatchWithBar(client, session, known.name(), 0, /*print_events=*/false);
    if (!waited.ok()) return waited.status();
    if (MayAnswer(*waited, request)) return waited;
  }
  absl::StatusOr<v1::Job> started = client.datasets.Analyze(request);
  if (!started.ok()) return started.status();
  session.Say(absl::StrCat(ShortName(request.dataset()), " is analysed by ", started->name()));
  absl::StatusOr<v1::Job> finished = WatchWithBar(client, session, started->name(), 0, /*print_events=*/false);
  if (!finished.ok()) return finished.status();
  if (absl::Status outcome = OutcomeOf(*finished); !outcome.ok()) return outcome;
  return finished;
}

void AddTrainingData(const v1::Job& job, const v1::ModelRevision* revision, const Analyse& analyse,
                     report::TrainingReport* report) {
  for (const v1::AnalyzeDatasetRequest& request : RequestsOf(job, revision)) {
    const absl::StatusOr<v1::Job> analysis = analyse(request);
    if (analysis.ok() && analysis->has_analysis()) {
      report->training_data.push_back(TrainingDataOf(*analysis));
    } else {
      absl::StrAppend(&report->no_training_data, report->no_training_data.empty() ? "" : " ",
                      ShortName(request.dataset()), " cannot be analysed: ", analysis.status().message(), ".");
    }
  }
}

}  // namespace tandem::cli
