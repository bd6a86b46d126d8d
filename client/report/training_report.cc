#include "client/report/training_report.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/format.h"
#include "client/report/embedding_figures.h"
#include "client/report/markup.h"
#include "client/report/training_figures.h"

namespace tandem::report {
namespace {

constexpr size_t kMostLogLines = 200;

std::string Summary(const TrainingReport& report) {
  std::string text = absl::StrCat(UserText(report.base), " trained on ", UserText(report.data));
  if (report.total_steps > 0) {
    absl::StrAppend(&text, ", ", cli::FormatCount(report.step), " of ", cli::FormatCount(report.total_steps), " steps");
  }
  if (!report.duration.empty()) absl::StrAppend(&text, " in ", Escape(report.duration));
  if (!report.result.empty()) absl::StrAppend(&text, ", made ", UserText(report.result));
  return text + ".";
}

std::string Arrow(double before, double after, std::string (*format)(double)) {
  return absl::StrCat(format(before), " → ", format(after));
}

std::string Hundredths(double value) { return absl::StrFormat("%.2f", value); }

// The numbers that a reader wants first.
std::vector<Tile> HeadTiles(const TrainingReport& report, const std::vector<Change>& changes) {
  std::vector<Tile> tiles;
  if (report.comparison) {
    tiles.push_back(TileOf(*report.comparison));
  } else if (const ValidationFigures* best = BestValidation(report); best != nullptr && !best->metrics.empty()) {
    const ValidationFigures& first = report.validations.front();
    const std::string& name = best->metrics[0].name;
    const bool one = &first == best;
    tiles.push_back({absl::StrCat("validation: ", name),
                     one ? cli::FormatMetric(best->metrics[0].value)
                         : Arrow(first.metrics[0].value, best->metrics[0].value, cli::FormatMetric),
                     one ? absl::StrCat("at step ", cli::FormatCount(best->step))
                         : absl::StrCat(first.step == 0 ? "base model" : absl::StrCat("step ", first.step),
                                        " → best, step ", cli::FormatCount(best->step))});
  }
  for (const Change& change : changes) {
    if (change.name == kGap) {
      tiles.push_back({"pairs are nearer than others by", Arrow(change.before, change.after, Hundredths),
                       "mean cosine, before → after"});
    }
  }
  if (!report.steps.empty()) {
    tiles.push_back({"training loss", cli::FormatMetric(report.steps.back().loss),
                     absl::StrCat("at step ", cli::FormatCount(report.steps.back().step))});
  }
  return tiles;
}

std::string SampleSections(const EmbeddingSample& sample, const SampleFigures& before, const SampleFigures& after,
                           const std::vector<Change>& changes) {
  const std::string seen = sample.unseen
                               ? "The training did not learn from these texts."
                               : "The training learned from most of these texts, so this shows what it did to "
                                 "them, not how well it does on others.";
  std::string body =
      absl::StrCat("<p class=\"note\">", UserText(sample.source), ", evenly spread, embedded with the base and ",
                   "with the new revision. ", seen, "</p>\n");
  std::string html;
  if (!changes.empty()) {
    body += "<h3>Cosines</h3>\n" + (before.other_cosines.empty() ? std::string() : DrawCosines(before, after));
    body += DrawChanges(changes);
    body += "<p class=\"note\">Intervals: paired bootstrap over the pairs, 1,000 resamples.</p>\n";
  }
  body += absl::StrCat(
      "<h3>Map of the embeddings</h3>\n<p class=\"note\">Both maps show the same texts in the same two "
      "directions, at the same scale: the principal components of both sets of vectors together, each set "
      "centred on its own mean. Training moves a model's weights only a little, so directions mean the "
      "same before and after, and what moved in the picture moved in the model. Hover over a point for its "
      "text.</p>\n",
      DrawMaps(sample));
  return Section("What training did to the embeddings", body);
}

std::string Log(const TrainingReport& report) {
  if (report.log.empty()) return "";
  DataTable table{.columns = {"what happened", "when"}};
  const size_t size = report.log.size();
  for (size_t i = size > kMostLogLines ? size - kMostLogLines : 0; i < size; ++i) {
    table.rows.push_back({UserText(report.log[i].text, 400), Escape(report.log[i].time)});
  }
  if (size > kMostLogLines) table.note = absl::StrCat("The last ", kMostLogLines, " of ", size, ".");
  return Section("Events", Details(absl::StrCat(size, size == 1 ? " event" : " events"), Render(table)));
}

std::string Data(const TrainingReport& report) {
  std::string body;
  for (const TrainingData& data : report.training_data) body += DrawTrainingData(data);
  if (!report.no_training_data.empty()) {
    absl::StrAppend(&body, "<p class=\"note\">", UserText(report.no_training_data, 400), "</p>\n");
  }
  return body.empty() ? "" : Section("Training data", body);
}

std::string Course(const TrainingReport& report) {
  if (report.steps.empty()) {
    return Section("The course of training", "<p class=\"note\">No step of the training has been reported.</p>\n");
  }
  return Section("The course of training", DrawCourse(report));
}

}  // namespace

std::string Draw(const TrainingReport& report) {
  SampleFigures before, after;
  std::vector<Change> changes;
  if (report.sample) {
    before = Measure(*report.sample, report.sample->before);
    after = Measure(*report.sample, report.sample->after);
    changes = CompareSample(before, after);
  }
  std::string body;
  if (!report.error.empty()) body += absl::StrCat("<p class=\"error\">", UserText(report.error, 2000), "</p>\n");
  body += Tiles(HeadTiles(report, changes));
  body += Section("What was trained",
                  Facts(report.facts) + (report.options.empty() ? "" : Details("All options", Facts(report.options))));
  body += Data(report) + Course(report);
  if (report.comparison) body += Section("What training did to the model", DrawComparison(*report.comparison));
  if (!report.validations.empty()) body += Section("Validation", DrawValidations(report));
  if (report.sample) {
    body += SampleSections(*report.sample, before, after, changes);
  } else if (!report.no_sample.empty()) {
    body += Section("What training did to the embeddings",
                    absl::StrCat("<p class=\"note\">", UserText(report.no_sample, 400), "</p>\n"));
  }
  return Page("Training job", report.name, report.state, Summary(report), body + Log(report));
}

}  // namespace tandem::report
