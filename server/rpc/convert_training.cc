// Datasets, training, jobs.

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include "absl/time/clock.h"
#include "server/rpc/convert.h"
#include "server/rpc/names.h"
#include "server/rpc/status.h"
#include "tandem/v1/dataset.pb.h"
#include "tandem/v1/job.pb.h"
#include "tandem/v1/training.pb.h"

namespace tandem {
namespace {

// A number of an event; 0 when it is missing or was not finite (JSON then has null).
double Number(const nlohmann::json& event, const char* key) {
  const auto found = event.find(key);
  return found != event.end() && found->is_number() ? found->get<double>() : 0;
}

int64_t Integer(const nlohmann::json& event, const char* key) {
  const auto found = event.find(key);
  return found != event.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
}

std::string Text(const nlohmann::json& event, const char* key) {
  const auto found = event.find(key);
  return found != event.end() && found->is_string() ? found->get<std::string>() : "";
}

void ToStep(const nlohmann::json& event, v1::JobEvent::TrainingStep* out) {
  out->set_step(Integer(event, "step"));
  out->set_total_steps(Integer(event, "total_steps"));
  out->set_loss(Number(event, "loss"));
  out->set_learning_rate(Number(event, "learning_rate"));
  out->set_gradient_norm(Number(event, "gradient_norm"));
  out->set_pairs_per_second(Number(event, "pairs_per_second"));
  out->set_epoch(Number(event, "epoch"));
  if (event.contains("objective")) out->set_objective(static_cast<int32_t>(Integer(event, "objective")));
  ToProto(absl::Seconds(Number(event, "seconds_left")), out->mutable_time_left());
}

void ToValidation(const nlohmann::json& event, v1::JobEvent::Validation* out) {
  out->set_step(Integer(event, "step"));
  out->set_best(event.value("best", nlohmann::json()) == true);
  const absl::StatusOr<ValidationResult> result = ValidationResultFromJson(event);
  if (result.ok()) ToProto(*result, out->mutable_metrics());
}

// One that is damaged is an empty one.
void ToComparison(const nlohmann::json& event, v1::TrainingComparison* out) {
  const absl::StatusOr<TrainingComparison> comparison = TrainingComparisonFromJson(event);
  if (comparison.ok()) ToProto(*comparison, out);
}

void ToProto(const Example& example, v1::Pair* out) {
  out->set_anchor(example.anchor);
  out->mutable_positives()->Add(example.positives.begin(), example.positives.end());
  out->mutable_negatives()->Add(example.negatives.begin(), example.negatives.end());
}

// One that is damaged is left out: the job is still shown.
void AddResult(const JobRecord& record, v1::Job* out) {
  switch (record.kind) {
    case JobKind::kTrain:
      return;
    case JobKind::kMineNegatives:
      if (!ToMining(record, out->mutable_mining()).ok()) out->clear_mining();
      return;
    case JobKind::kAnalyzeDataset:
      if (!ToAnalysis(record.result_json, out->mutable_analysis()).ok()) out->clear_analysis();
      return;
    case JobKind::kCompareReleases:
      if (!ToComparison(record, out->mutable_comparison()).ok()) out->clear_comparison();
      return;
    case JobKind::kCreateSnapshot:
    case JobKind::kRestoreSnapshot:
      if (!ToSnapshot(record, out->mutable_snapshot()).ok()) out->clear_snapshot();
  }
}

}  // namespace

void ToProto(const DatasetRecord& record, v1::Dataset* out) {
  out->set_name(DatasetName(record.id));
  out->set_display_name(record.display_name);
  ToProto(record.create_time, out->mutable_create_time());
  out->set_commit(record.commit);
  out->set_example_count(record.example_count);
}

void ToProto(const Example& example, v1::Example* out) {
  const std::string second = example.positives.empty() ? "" : example.positives[0];
  switch (example.kind) {
    case ExampleKind::kPair:
      ToProto(example, out->mutable_pair());
      return;
    case ExampleKind::kScoredPair:
      out->mutable_scored_pair()->set_first(example.anchor);
      out->mutable_scored_pair()->set_second(second);
      out->mutable_scored_pair()->set_score(example.score);
      return;
    case ExampleKind::kLabelledPair:
      out->mutable_labelled_pair()->set_first(example.anchor);
      out->mutable_labelled_pair()->set_second(second);
      out->mutable_labelled_pair()->set_similar(example.similar);
      return;
    case ExampleKind::kLabelledText:
      out->mutable_labelled_text()->set_text(example.anchor);
      out->mutable_labelled_text()->set_label(example.label);
      return;
    case ExampleKind::kText:
      out->mutable_text()->set_text(example.anchor);
  }
}

Example FromProto(const v1::Example& example) {
  Example record;
  switch (example.kind_case()) {
    case v1::Example::kPair:
      record.kind = ExampleKind::kPair;
      record.anchor = example.pair().anchor();
      record.positives.assign(example.pair().positives().begin(), example.pair().positives().end());
      record.negatives.assign(example.pair().negatives().begin(), example.pair().negatives().end());
      break;
    case v1::Example::kScoredPair:
      record.kind = ExampleKind::kScoredPair;
      record.anchor = example.scored_pair().first();
      record.positives = {example.scored_pair().second()};
      record.score = example.scored_pair().score();
      break;
    case v1::Example::kLabelledPair:
      record.kind = ExampleKind::kLabelledPair;
      record.anchor = example.labelled_pair().first();
      record.positives = {example.labelled_pair().second()};
      record.similar = example.labelled_pair().similar();
      break;
    case v1::Example::kLabelledText:
      record.kind = ExampleKind::kLabelledText;
      record.anchor = example.labelled_text().text();
      record.label = example.labelled_text().label();
      break;
    case v1::Example::kText:
      record.kind = ExampleKind::kText;
      record.anchor = example.text().text();
      break;
    case v1::Example::KIND_NOT_SET:
      break;  // Validate refuses it.
  }
  return record;
}

void ToProto(const JobRecord& record, const JobProgress& progress, v1::Job* out) {
  out->set_name(JobName(record.id));
  out->set_kind(static_cast<v1::Job::Kind>(record.kind));  // Numbers of the API.
  out->set_state(static_cast<v1::Job::State>(record.state));
  ToProto(record.create_time, out->mutable_create_time());
  if (record.start_time) ToProto(*record.start_time, out->mutable_start_time());
  if (record.end_time) ToProto(*record.end_time, out->mutable_end_time());
  out->set_attempt(record.attempt);
  out->set_step(progress.step);
  out->set_total_steps(progress.total_steps);
  out->set_last_sequence(progress.last_sequence);
  if (record.state == JobState::kFailed) *out->mutable_error() = ToStatusProto(record.error_code, record.error_message);
  out->set_model_revision(record.result_revision);
  if (!record.dataset.empty()) out->set_dataset(DatasetName(record.dataset));
  for (const std::string& dataset : record.datasets) out->add_datasets(DatasetName(dataset));
  out->set_base_revision(record.base_revision);
  if (!record.collection.empty()) out->set_collection(CollectionName(record.collection));
  if (!record.target_dataset.empty()) out->set_target_dataset(DatasetName(record.target_dataset));
  if (record.state == JobState::kSucceeded) AddResult(record, out);
}

void ToProto(const TrainingEstimate& estimate, v1::TrainingEstimate* out) {
  for (const TrainingEstimate::Objective& objective : estimate.objectives) {
    v1::TrainingEstimate::ObjectiveEstimate* const to = out->add_objectives();
    to->set_dataset(DatasetName(objective.dataset));
    to->set_dataset_commit(objective.commit);
    to->set_examples(objective.examples);
    to->set_batches_per_epoch(objective.batches_per_epoch);
  }
  out->set_validation_examples(estimate.validation_examples);
  out->set_steps_per_epoch(estimate.steps_per_epoch);
  out->set_total_steps(estimate.total_steps);
  out->set_tokens_per_step(estimate.tokens_per_step);
  out->set_peak_memory_bytes(estimate.peak_memory_bytes);
  ToProto(estimate.time, out->mutable_time());
  out->set_basis(estimate.job.empty() ? v1::TrainingEstimate::FLOATING_POINT : v1::TrainingEstimate::FINISHED_JOB);
  if (!estimate.job.empty()) out->set_job(JobName(estimate.job));
}

void ToProto(const nlohmann::json& event, int64_t last_sequence, v1::JobEvent* out) {
  const std::string type = Text(event, "type");
  const bool heartbeat = type == "heartbeat";
  out->set_sequence(heartbeat ? last_sequence : Integer(event, "sequence"));
  out->set_attempt(static_cast<int32_t>(Integer(event, "attempt")));
  ToProto(heartbeat ? absl::Now() : absl::FromUnixMicros(Integer(event, "time_us")), out->mutable_time());
  if (heartbeat) {
    out->mutable_heartbeat();
  } else if (type == "step") {
    ToStep(event, out->mutable_step());
  } else if (type == "validation") {
    ToValidation(event, out->mutable_validation());
  } else if (type == "comparison") {
    ToComparison(event, out->mutable_comparison());
  } else if (type == "checkpoint") {
    out->mutable_checkpoint()->set_step(Integer(event, "step"));
  } else if (type == "progress") {
    out->mutable_progress()->set_step(Integer(event, "step"));
    out->mutable_progress()->set_total_steps(Integer(event, "total_steps"));
  } else if (type == "state") {
    out->set_state_changed(static_cast<v1::Job::State>(Integer(event, "state")));
  } else if (type == "failed") {
    out->mutable_message()->set_text("failed: " + Text(event, "message"));
  } else {
    out->mutable_message()->set_text(Text(event, "text"));
  }
}

}  // namespace tandem
