#include "client/cli/report_job.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/comparison_text.h"
#include "client/cli/format.h"
#include "client/cli/report_sample.h"
#include "client/cli/validation_text.h"
#include "client/error.h"
#include "client/names.h"
#include "nlohmann/json.hpp"

namespace tandem::cli {
namespace {

using report::ValidationMetric;

std::vector<ValidationMetric> MetricsOf(const v1::ValidationMetrics& metrics) {
  std::vector<ValidationMetric> result;
  const auto add = [&](const char* name, double value, ValidationMetric::Place place = ValidationMetric::kScores) {
    result.push_back({name, value, place});
  };
  switch (metrics.metrics_case()) {
    case v1::ValidationMetrics::kRetrieval:
      add("nDCG@10", metrics.retrieval().ndcg_at_10());
      add("recall@10", metrics.retrieval().recall_at_10());
      add("MRR@10", metrics.retrieval().mrr_at_10());
      add("recall@1", metrics.retrieval().recall_at_1());
      if (metrics.retrieval().has_map()) add("MAP", metrics.retrieval().map(), ValidationMetric::kTableOnly);
      add("queries", metrics.retrieval().queries(), ValidationMetric::kCount);
      break;
    case v1::ValidationMetrics::kSimilarity:
      add("Spearman", metrics.similarity().spearman());
      add("Pearson", metrics.similarity().pearson());
      break;
    case v1::ValidationMetrics::kLabelledPairs:
      add("average precision", metrics.labelled_pairs().average_precision());
      add("accuracy", metrics.labelled_pairs().best_accuracy());
      add("F1", metrics.labelled_pairs().best_f1());
      add("threshold of accuracy", metrics.labelled_pairs().best_accuracy_threshold(), ValidationMetric::kTableOnly);
      add("threshold of F1", metrics.labelled_pairs().best_f1_threshold(), ValidationMetric::kTableOnly);
      break;
    case v1::ValidationMetrics::kClasses:
      add("nearest-neighbour accuracy", metrics.classes().knn_accuracy());
      add("texts", metrics.classes().texts(), ValidationMetric::kCount);
      break;
    case v1::ValidationMetrics::METRICS_NOT_SET:
      break;
  }
  if (metrics.has_loss()) add("loss", metrics.loss(), ValidationMetric::kAlone);
  if (metrics.has_alignment()) add("alignment", metrics.alignment(), ValidationMetric::kAlone);
  if (metrics.has_uniformity()) add("uniformity", metrics.uniformity(), ValidationMetric::kAlone);
  return result;
}

report::Estimate EstimateOf(const v1::EstimatedFigure& figure) {
  return {figure.value(), figure.lower(), figure.upper()};
}

std::vector<report::QueryChange> ChangesOf(const google::protobuf::RepeatedPtrField<v1::QueryChange>& changes) {
  std::vector<report::QueryChange> result;
  for (const v1::QueryChange& change : changes) result.push_back({change.text(), change.before(), change.after()});
  return result;
}

// What the numbers of the queries or pairs that changed are.
std::string NameOfChanges(const v1::ValidationMetrics& metrics) {
  switch (metrics.metrics_case()) {
    case v1::ValidationMetrics::kRetrieval:
      return "nDCG@10 of the query";
    case v1::ValidationMetrics::kSimilarity:
      return "1 less the distance of the pair's place among all cosines from its place among all scores, both from 0 "
             "to 1";
    case v1::ValidationMetrics::kLabelledPairs:
      return "Share of the pairs of the other kind that the pair is on the right side of";
    case v1::ValidationMetrics::kClasses:
      return "1 where the nearest other text is of the same class";
    case v1::ValidationMetrics::METRICS_NOT_SET:
      break;
  }
  return "";
}

report::Comparison ComparisonOf(const v1::TrainingComparison& comparison) {
  report::Comparison result{.step = comparison.step(),
                            .verdict = ComparisonVerdict(comparison),
                            .changes = NameOfChanges(comparison.after()),
                            .rose = ChangesOf(comparison.rose()),
                            .fell = ChangesOf(comparison.fell())};
  for (const v1::TrainingComparison::Metric& metric : comparison.metrics()) {
    result.metrics.push_back({MetricTitle(metric.name()), EstimateOf(metric.before()), EstimateOf(metric.after()),
                              EstimateOf(metric.difference())});
  }
  return result;
}

std::string LogText(const v1::JobEvent& event) {
  switch (event.event_case()) {
    case v1::JobEvent::kStateChanged:
      return absl::StrCat("job is ", EnumName(v1::Job::State_Name(event.state_changed())), ", attempt ",
                          event.attempt());
    case v1::JobEvent::kMessage:
      return event.message().text();
    case v1::JobEvent::kValidation:
      return absl::StrCat("validation at step ", FormatCount(event.validation().step()), ": ",
                          DescribeValidation(event.validation().metrics()),
                          event.validation().best() ? ", best so far" : "");
    case v1::JobEvent::kComparison:
      return ComparisonVerdict(event.comparison());
    case v1::JobEvent::kStep:
    case v1::JobEvent::kProgress:
    case v1::JobEvent::kCheckpoint:
    case v1::JobEvent::kHeartbeat:
    case v1::JobEvent::EVENT_NOT_SET:
      break;
  }
  return "";
}

// Enums travel as numbers in the JSON; they are those of TrainingOptions.
std::string OptionValue(absl::string_view name, const nlohmann::json& value) {
  using Options = v1::TrainingOptions;
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_number_integer()) return value.dump();
  const int number = value.get<int>();
  std::string text;
  if (name == "schedule" && Options::Schedule_IsValid(number)) text = Options::Schedule_Name(number);
  if (name == "order" && Options::Order_IsValid(number)) text = Options::Order_Name(number);
  if (name == "batch_sampler" && Options::BatchSampler_IsValid(number)) text = Options::BatchSampler_Name(number);
  if (name == "keep" && Options::Keep_IsValid(number)) text = Options::Keep_Name(number);
  if (name == "mixing" && Options::Mixing_IsValid(number)) text = Options::Mixing_Name(number);
  if (name == "precision" && Options::Precision_IsValid(number)) text = Options::Precision_Name(number);
  return text.empty() ? FormatCount(value.get<int64_t>()) : EnumName(text);
}

void Flatten(const std::string& path, const nlohmann::json& json, std::vector<report::Fact>* facts) {
  if (json.is_structured() && !json.empty()) {
    size_t i = 0;
    for (const auto& [key, value] : json.items()) {
      Flatten(json.is_array() ? absl::StrCat(path, "[", i++, "]") : absl::StrCat(path, path.empty() ? "" : ".", key),
              value, facts);
    }
    return;
  }
  facts->push_back({path, json.is_object() ? "as it is by default" : OptionValue(path, json)});
}

std::string DescribeSources(const v1::ModelRevision& revision) {
  std::vector<std::string> sources;
  for (const v1::ModelRevision::Source& source : revision.sources()) {
    sources.push_back(absl::StrCat(ShortName(source.dataset()), " up to commit ", FormatCount(source.commit())));
  }
  if (sources.empty()) {
    sources.push_back(
        absl::StrCat(ShortName(revision.dataset()), " up to commit ", FormatCount(revision.dataset_commit())));
  }
  return absl::StrJoin(sources, "; ");
}

void AddJob(const v1::Job& job, report::TrainingReport* report) {
  std::vector<std::string> datasets;
  for (const std::string& dataset : job.datasets()) datasets.push_back(ShortName(dataset));
  if (datasets.empty()) datasets.push_back(ShortName(job.dataset()));
  report->name = ShortName(job.name());
  report->state = EnumName(v1::Job::State_Name(job.state()));
  report->error = job.error().message();
  report->base = ShortName(job.base_revision());
  report->result = ShortName(job.model_revision());
  report->data = datasets[0];
  report->step = job.step();
  report->total_steps = job.total_steps();
  if (job.start_time().seconds() > 0 && job.end_time().seconds() > 0) {
    report->duration = FormatClock(absl::Seconds(job.end_time().seconds() - job.start_time().seconds()));
  }
  report->facts = {{"base model", report->base},
                   {"result", report->result},
                   {"datasets read", absl::StrJoin(datasets, ", ")},
                   {"made", FormatTime(job.create_time())},
                   {"started", FormatTime(job.start_time())},
                   {"ended", FormatTime(job.end_time())},
                   {"took", report->duration},
                   {"attempts", job.attempt() > 0 ? absl::StrCat(job.attempt()) : ""}};
}

// "objective 0: info_nce on pairs"; as many as the options have.
std::vector<std::string> NamesOfObjectives(const std::vector<report::Fact>& options,
                                           const v1::ModelRevision& revision) {
  std::vector<std::string> names;
  for (const report::Fact& option : options) {
    const std::string path = absl::StrCat("objectives[", names.size(), "].loss.");
    if (!absl::StartsWith(option.name, path) || absl::StartsWith(option.name, path + "matryoshka")) continue;
    const std::string loss = option.name.substr(path.size(), option.name.find('.', path.size()) - path.size());
    const int number = static_cast<int>(names.size());
    const std::string dataset =
        number < revision.sources_size() ? revision.sources(number).dataset() : revision.dataset();
    names.push_back(absl::StrCat("objective ", number, ": ", loss, " on ", ShortName(dataset)));
  }
  return names;
}

void AddRevision(const v1::ModelRevision& revision, report::TrainingReport* report) {
  const v1::EmbeddingContract& contract = revision.contract();
  report->options = DescribeOptions(revision.options_json());
  report->objectives = NamesOfObjectives(report->options, revision);
  report->facts.insert(
      report->facts.end(),
      {{"trained on", DescribeSources(revision)},
       {"architecture", revision.architecture()},
       {"parameters", FormatCount(revision.parameters())},
       {"vectors", absl::StrCat(contract.dimensions(), " dimensions, ", EnumName(v1::Pooling_Name(contract.pooling())),
                                " pooling, ", contract.max_length(), " tokens at most")},
       {"weights", revision.sha256().empty() ? "" : "sha256 " + revision.sha256().substr(0, 16) + "…"}});
  for (const report::Fact& option : report->options) {
    if (option.name == "batch_size" || option.name == "learning_rate" || option.name == "epochs" ||
        option.name == "seed") {
      report->facts.push_back(option);
    }
  }
}

}  // namespace

void AddEvents(const std::vector<v1::JobEvent>& events, report::TrainingReport* report) {
  std::map<int64_t, report::StepFigures> steps;
  std::map<int64_t, report::ValidationFigures> validations;
  std::map<int64_t, bool> checkpoints;
  int attempt = 1;
  for (const v1::JobEvent& event : events) {
    if (event.has_step()) {
      const v1::JobEvent::TrainingStep& step = event.step();
      if (event.attempt() > attempt && !steps.empty()) report->restarts.push_back({event.attempt(), step.step() - 1});
      attempt = std::max(attempt, event.attempt());
      steps[step.step()] = {step.step(),
                            step.loss(),
                            step.learning_rate(),
                            step.gradient_norm(),
                            step.pairs_per_second(),
                            step.has_objective() ? step.objective() : -1};
    } else if (event.has_validation()) {
      const v1::JobEvent::Validation& validation = event.validation();
      validations[validation.step()] = {validation.step(), validation.best(), MetricsOf(validation.metrics())};
    } else if (event.has_comparison() && !event.comparison().metrics().empty()) {
      report->comparison = ComparisonOf(event.comparison());
    } else if (event.has_checkpoint()) {
      checkpoints[event.checkpoint().step()] = true;
    }
    if (std::string text = LogText(event); !text.empty())
      report->log.push_back({FormatTime(event.time()), std::move(text)});
  }
  for (const auto& [step, figures] : steps) report->steps.push_back(figures);
  for (auto& [step, figures] : validations) report->validations.push_back(std::move(figures));
  for (const auto& [step, there] : checkpoints) report->checkpoints.push_back(step);
}

std::vector<report::Fact> DescribeOptions(absl::string_view options_json) {
  nlohmann::json json = nlohmann::json::parse(options_json, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return {};
  for (const char* of_the_machine : {"base_directory", "threads"}) json.erase(of_the_machine);
  std::vector<report::Fact> facts;
  Flatten("", json, &facts);
  return facts;
}

absl::StatusOr<report::TrainingReport> CollectTrainingReport(const Client& client, absl::string_view name, size_t texts,
                                                             const Analyse& analyse) {
  absl::StatusOr<v1::Job> job = client.jobs.Get(name);
  if (!job.ok()) return job.status();
  if (job->kind() != v1::Job::TRAIN) {
    return BadInput(job->name(), absl::StrCat("is a job of kind ", EnumName(v1::Job::Kind_Name(job->kind())),
                                              "; there are reports of trainings only"));
  }
  absl::StatusOr<std::vector<v1::JobEvent>> events = client.jobs.Events(name);
  if (!events.ok()) return events.status();
  report::TrainingReport result;
  AddJob(*job, &result);
  AddEvents(*events, &result);
  if (job->model_revision().empty()) {
    if (analyse) AddTrainingData(*job, nullptr, analyse, &result);
    result.no_sample = "The job has made no model revision, so there is nothing to compare.";
    return result;
  }
  const absl::StatusOr<v1::ModelRevision> revision = client.models.GetRevision(job->model_revision());
  if (analyse) AddTrainingData(*job, revision.ok() ? &*revision : nullptr, analyse, &result);
  if (!revision.ok()) {
    result.no_sample = absl::StrCat("The revision cannot be compared: ", revision.status().message());
    return result;
  }
  AddRevision(*revision, &result);
  if (texts == 0) return result;
  absl::StatusOr<report::EmbeddingSample> sample = CollectSample(client, *job, *revision, texts);
  if (sample.ok()) {
    result.sample = *std::move(sample);
  } else {
    result.no_sample = absl::StrCat("The texts cannot be compared: ", sample.status().message());
  }
  return result;
}

}  // namespace tandem::cli
