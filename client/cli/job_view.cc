#include "client/cli/job_view.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/analysis_text.h"
#include "client/cli/comparison_text.h"
#include "client/cli/format.h"
#include "client/cli/outage.h"
#include "client/cli/progress_bar.h"
#include "client/cli/validation_text.h"
#include "client/names.h"

namespace tandem::cli {
namespace {

// Turns events into what the bar shows. Not thread-safe.
class JobBar {
 public:
  JobBar(v1::Job::Kind kind, ProgressOutput output)
      : bar_(std::move(output), LabelOf(kind), UnitOf(kind)), outage_(&bar_) {}

  void Show(const v1::JobEvent& event) {
    outage_.Over();
    switch (event.event_case()) {
      case v1::JobEvent::kStep:
        step_ = event.step();
        Draw();
        break;
      case v1::JobEvent::kValidation:
        validated_ = HeadlineOf(event.validation().metrics());
        bar_.Say(ValidationLine(event.validation()));
        Draw();
        break;
      case v1::JobEvent::kStateChanged:
        bar_.Say(absl::StrCat("job is ", EnumName(v1::Job::State_Name(event.state_changed())),
                              event.attempt() > 1 ? absl::StrCat(", attempt ", event.attempt()) : ""));
        break;
      case v1::JobEvent::kMessage:
        bar_.Say(event.message().text());
        break;
      case v1::JobEvent::kProgress:
        if (event.progress().total_steps() > 0) DrawProgress(event.progress());
        break;
      case v1::JobEvent::kComparison:
        comparison_ = event.comparison();
        break;
      case v1::JobEvent::kCheckpoint:
      case v1::JobEvent::kHeartbeat:
      case v1::JobEvent::EVENT_NOT_SET:
        break;
    }
  }

  void Broken(const absl::Status& error) { outage_.Broken(error); }
  void Finish() { bar_.Finish(); }
  const std::optional<v1::TrainingComparison>& comparison() const { return comparison_; }

 private:
  static std::string LabelOf(v1::Job::Kind kind) {
    switch (kind) {
      case v1::Job::MINE_NEGATIVES:
        return "mining";
      case v1::Job::ANALYZE_DATASET:
        return "analysing";
      case v1::Job::COMPARE_RELEASES:
        return "comparing";
      case v1::Job::CREATE_SNAPSHOT:
        return "copying";
      case v1::Job::RESTORE_SNAPSHOT:
        return "restoring";
      default:
        return "training";
    }
  }

  static std::string UnitOf(v1::Job::Kind kind) {
    switch (kind) {
      case v1::Job::TRAIN:
        return "steps";
      case v1::Job::COMPARE_RELEASES:
        return "queries";
      case v1::Job::CREATE_SNAPSHOT:
      case v1::Job::RESTORE_SNAPSHOT:
        return "MiB";
      default:
        return "examples read";
    }
  }

  static std::string ValidationLine(const v1::JobEvent::Validation& validation) {
    return absl::StrCat("validation at step ", validation.step(), ": ", DescribeValidation(validation.metrics()),
                        validation.best() ? ", best so far" : "");
  }

  void DrawProgress(const v1::JobEvent::Progress& progress) {
    ProgressView view;
    view.done = static_cast<double>(progress.step());
    view.total = static_cast<double>(progress.total_steps());
    bar_.Update(std::move(view));
  }

  void Draw() {
    if (step_.step() == 0) return;
    ProgressView view;
    view.done = static_cast<double>(step_.step());
    view.total = static_cast<double>(step_.total_steps());
    view.left = TimeLeft(step_.time_left());
    view.per_second = 0;  // Examples, in the note, say more than steps.
    view.note = absl::StrFormat("loss %.4f  lr %.2g  %.0f examples/s", step_.loss(), step_.learning_rate(),
                                step_.pairs_per_second());
    if (!validated_.empty()) absl::StrAppend(&view.note, "  ", validated_);
    bar_.Update(std::move(view));
  }

  ProgressBar bar_;
  Outage outage_;
  v1::JobEvent::TrainingStep step_;
  std::string validated_;  // The last validation in short.
  std::optional<v1::TrainingComparison> comparison_;
};

std::string Datasets(const v1::Job& job) {
  if (job.datasets().empty()) return ShortName(job.dataset());
  std::string names;
  for (const std::string& dataset : job.datasets())
    absl::StrAppend(&names, names.empty() ? "" : ", ", ShortName(dataset));
  return names;
}

std::string DescribeMining(const v1::MiningResult& mining) {
  const std::string commits =
      mining.pairs() == 0 ? ""
                          : absl::StrCat(FormatCount(mining.first_commit()), " to ", FormatCount(mining.last_commit()));
  const double of_each =
      mining.pairs() == 0 ? 0 : static_cast<double>(mining.negatives()) / static_cast<double>(mining.pairs());
  return RenderFields(
      {{"pairs", absl::StrCat(FormatCount(mining.pairs()), " in ", ShortName(mining.dataset()))},
       {"commits", commits},
       {"negatives", absl::StrFormat("%s, %.2f a pair", FormatCount(mining.negatives()), of_each)},
       {"pairs without", FormatCount(mining.pairs_without_negatives())},
       {"found by", absl::StrCat(ShortName(mining.release()), " at commit ", FormatCount(mining.release_commit()))},
       {"mean score", absl::StrCat("positives ", FormatMetric(mining.mean_positive_score()), ", negatives ",
                                   FormatMetric(mining.mean_negative_score()))}});
}

std::string DescribeSnapshot(const v1::SnapshotResult& snapshot) {
  return RenderFields({{"snapshot", ShortName(snapshot.snapshot())},
                       {"collection", ShortName(snapshot.collection())},
                       {"release", std::string(ShortId(snapshot.release()))},
                       {"model", ShortName(snapshot.model_revision())},
                       {"commit", FormatCount(snapshot.commit())},
                       {"documents", FormatCount(snapshot.documents())},
                       {"size", FormatBytes(snapshot.bytes())}});
}

std::string DescribeResult(const v1::Job& job) {
  if (job.has_mining()) return "\n" + DescribeMining(job.mining());
  if (job.has_comparison()) return "\n" + DescribeReleases(job.comparison());
  if (job.has_snapshot()) return "\n" + DescribeSnapshot(job.snapshot());
  return job.has_analysis() ? "\n" + DescribeAnalysis(job.analysis()) : "";
}

}  // namespace

std::string DescribeJob(const v1::Job& job) {
  return RenderFields({
             {"job", ShortName(job.name())},
             {"kind", EnumName(v1::Job::Kind_Name(job.kind()))},
             {"state", EnumName(v1::Job::State_Name(job.state()))},
             {"base", ShortName(job.base_revision())},
             {"dataset", Datasets(job)},
             {"collection", ShortName(job.collection())},
             {"into", ShortName(job.target_dataset())},
             {"step", job.total_steps() == 0
                          ? ""
                          : absl::StrCat(FormatCount(job.step()), " of ", FormatCount(job.total_steps()))},
             {"attempt", job.attempt() > 1 ? absl::StrCat(job.attempt()) : ""},
             {"made", FormatTime(job.create_time())},
             {"started", FormatTime(job.start_time())},
             {"ended", FormatTime(job.end_time())},
             {"revision", ShortName(job.model_revision())},
             {"error", job.error().message()},
         }) +
         DescribeResult(job);
}

std::string SummarizeResult(const v1::Job& job) {
  if (job.has_analysis()) return CountFindings(job.analysis());
  if (job.has_comparison())
    return absl::StrFormat("overlap@%d %.4f", job.comparison().top_k(), job.comparison().overlap_at_k());
  if (job.has_snapshot())
    return absl::StrCat(ShortName(job.snapshot().snapshot()), ", ", FormatBytes(job.snapshot().bytes()));
  if (job.has_mining())
    return absl::StrCat(FormatCount(job.mining().pairs()), " pairs in ", ShortName(job.mining().dataset()));
  return ShortName(job.model_revision());
}

absl::StatusOr<v1::Job> WatchWithBar(Client& client, Session& session, const std::string& job, int64_t after_sequence,
                                     bool print_events) {
  if (session.interactive()) session.Say("Ctrl-C ends the watching, not the job.");
  absl::StatusOr<v1::Job> begun = client.jobs.Get(job);
  if (!begun.ok()) return begun.status();
  JobBar bar(begun->kind(), session.progress_output());
  absl::StatusOr<v1::Job> finished = client.jobs.Watch(
      job, after_sequence,
      [&](const v1::JobEvent& event) {
        if (print_events && session.json) session.PrintLine(ToJson(event));
        bar.Show(event);
      },
      [&](const absl::Status& error) { bar.Broken(error); });
  bar.Finish();
  if (bar.comparison() && !session.json) session.PrintLine(DescribeComparison(*bar.comparison()));
  return finished;
}

absl::Status OutcomeOf(const v1::Job& job) {
  if (job.state() == v1::Job::SUCCEEDED) return absl::OkStatus();
  if (job.state() == v1::Job::CANCELLED) return absl::CancelledError(absl::StrCat(job.name(), " was cancelled"));
  return absl::Status(static_cast<absl::StatusCode>(job.error().code() == 0 ? 2 : job.error().code()),
                      absl::StrCat(job.name(), " failed: ", job.error().message()));
}

absl::Status FollowJob(Client& client, Session& session, const v1::Job& job, bool watch) {
  if (!watch) {
    session.Print(job, absl::StrCat(DescribeJob(job), "follow it with: tandem job watch ", ShortName(job.name())));
    return absl::OkStatus();
  }
  session.Say(absl::StrCat("started ", job.name()));
  absl::StatusOr<v1::Job> finished = WatchWithBar(client, session, job.name(), 0, /*print_events=*/false);
  if (!finished.ok()) return finished.status();
  session.Print(*finished, DescribeJob(*finished));
  return OutcomeOf(*finished);
}

}  // namespace tandem::cli
