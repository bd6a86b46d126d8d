#include "client/report/training_figures.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/format.h"
#include "client/report/chart.h"
#include "client/report/markup.h"

namespace tandem::report {
namespace {

constexpr size_t kMostRows = 200;
constexpr double kSmallWidth = 350;
constexpr double kSmallHeight = 230;
constexpr size_t kMostCurves = 4;

std::vector<Point> Points(const TrainingReport& report, double StepFigures::*value) {
  std::vector<Point> points;
  for (const StepFigures& step : report.steps) points.push_back({static_cast<double>(step.step), step.*value});
  return points;
}

std::string Loss(double value) { return cli::FormatMetric(value); }
std::string Rate(double value) { return absl::StrFormat("%.2g", value); }
std::string Norm(double value) { return absl::StrFormat("%.3f", value); }
std::string Throughput(double value) { return absl::StrFormat("%.0f", value); }

// A row for each step, or for evenly spread ones when there are many.
DataTable StepTable(const std::vector<std::pair<std::string, std::vector<Point>>>& columns,
                    std::string (*format)(double)) {
  DataTable table{.columns = {"step"}};
  for (const auto& [name, points] : columns) table.columns.push_back(Escape(name));
  const size_t size = columns[0].second.size();
  for (size_t i : EvenlySpread(size, kMostRows)) {
    std::vector<std::string> row = {cli::FormatCount(static_cast<int64_t>(columns[0].second[i].x))};
    for (const auto& [name, points] : columns) row.push_back(format(points[i].y));
    table.rows.push_back(std::move(row));
  }
  if (size > kMostRows) {
    table.note = absl::StrCat(cli::FormatCount(kMostRows), " of ", cli::FormatCount(static_cast<int64_t>(size)),
                              " steps, evenly spread.");
  }
  return table;
}

std::vector<Mark> CourseMarks(const TrainingReport& report) {
  std::vector<Mark> marks;
  for (int64_t step : report.checkpoints) {
    marks.push_back(
        {Mark::kTick, static_cast<double>(step), 0, absl::StrCat("checkpoint at step ", cli::FormatCount(step))});
  }
  for (const Restart& restart : report.restarts) {
    marks.push_back({Mark::kLine, static_cast<double>(restart.step), 0, absl::StrCat("attempt ", restart.attempt)});
  }
  return marks;
}

std::string DrawLoss(const TrainingReport& report) {
  const std::vector<Point> loss = Points(report, &StepFigures::loss);
  const size_t window = std::max<size_t>(1, loss.size() / 10);
  LineChart chart{.title = "Training loss over steps", .x_name = "step", .marks = CourseMarks(report)};
  std::vector<std::pair<std::string, std::vector<Point>>> columns = {{"loss", loss}};
  chart.curves.push_back({.name = "loss of a step", .points = loss, .faint = window > 1});
  if (window > 1) {
    const std::string name = absl::StrCat("mean of ", window, " steps");
    columns.push_back({name, Smooth(loss, window)});
    chart.curves.push_back({.name = name, .points = columns.back().second});
  }
  std::string explanation = "What the training minimised.";
  if (!report.checkpoints.empty()) explanation += " Triangles on the axis are checkpoints.";
  if (!report.restarts.empty()) explanation += " A dashed line is where a new attempt went on from a checkpoint.";
  return Render(Figure{.title = "Loss",
                       .explanation = explanation,
                       .legend = Legend(chart.curves),
                       .svg = Draw(chart),
                       .numbers = StepTable(columns, Loss)});
}

// Objectives that take turns have losses of their own, on scales of their own: a picture for each.
std::string DrawLossOfObjective(const TrainingReport& report, int objective) {
  std::vector<Point> loss;
  for (const StepFigures& step : report.steps) {
    if (step.objective == objective) loss.push_back({static_cast<double>(step.step), step.loss});
  }
  const std::string number = absl::StrCat("objective ", objective);
  const size_t known = static_cast<size_t>(objective);
  const std::string name = known < report.objectives.size() ? report.objectives[known] : number;
  const size_t window = std::max<size_t>(1, loss.size() / 10);
  LineChart chart{.title = absl::StrCat("Training loss of ", number, " over steps"),
                  .x_name = "step",
                  .width = kSmallWidth,
                  .height = kSmallHeight};
  const int color = objective % static_cast<int>(kMostCurves);
  chart.curves.push_back({.name = number, .points = loss, .color = color, .faint = window > 1});
  std::vector<std::pair<std::string, std::vector<Point>>> columns = {{"loss", loss}};
  if (window > 1) {
    columns.push_back({absl::StrCat("mean of ", window), Smooth(loss, window)});
    chart.curves.push_back({.name = columns.back().first, .points = columns.back().second, .color = color});
  }
  const std::string explanation =
      absl::StrCat("Of its own ", cli::FormatCount(static_cast<int64_t>(loss.size())), " steps",
                   window > 1 ? absl::StrCat("; the strong line is the mean of ", window, " of them.") : ".");
  return Render(Figure{.title = absl::StrCat("Loss: ", Shorten(name, 60)),
                       .explanation = explanation,
                       .svg = Draw(chart),
                       .numbers = StepTable(columns, Loss)});
}

std::string DrawLosses(const TrainingReport& report) {
  std::set<int> objectives;
  for (const StepFigures& step : report.steps) objectives.insert(step.objective);
  if (objectives.size() == 1) return DrawLoss(report);
  std::vector<std::string> figures;
  for (const int objective : objectives) figures.push_back(DrawLossOfObjective(report, objective));
  return Row(figures);
}

std::string DrawSmall(const TrainingReport& report, absl::string_view title, absl::string_view explanation,
                      double StepFigures::*value, int color, std::string (*format)(double)) {
  const std::vector<Point> points = Points(report, value);
  LineChart chart{
      .title = absl::StrCat(title, " over steps"), .x_name = "step", .width = kSmallWidth, .height = kSmallHeight};
  chart.curves.push_back({.name = std::string(title), .points = points, .color = color});
  return Render(Figure{.title = std::string(title),
                       .explanation = std::string(explanation),
                       .svg = Draw(chart),
                       .numbers = StepTable({{std::string(title), points}}, format)});
}

DataTable ValidationTable(const TrainingReport& report) {
  const ValidationFigures* best = BestValidation(report);
  DataTable table{.columns = {"step"}};
  for (const ValidationMetric& metric : report.validations[0].metrics) table.columns.push_back(Escape(metric.name));
  for (size_t i : EvenlySpread(report.validations.size(), kMostRows)) {
    const ValidationFigures& validation = report.validations[i];
    std::vector<std::string> row = {absl::StrCat(cli::FormatCount(validation.step),
                                                 &validation == best ? " <span class=\"better\">best</span>" : "")};
    for (const ValidationMetric& metric : validation.metrics) {
      row.push_back(metric.place == ValidationMetric::kCount ? cli::FormatCount(std::llround(metric.value))
                                                             : cli::FormatMetric(metric.value));
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

Curve ValidationCurve(const TrainingReport& report, size_t metric, int color) {
  Curve curve{.name = report.validations[0].metrics[metric].name, .color = color, .dots = true};
  for (const ValidationFigures& validation : report.validations) {
    if (metric >= validation.metrics.size()) continue;
    curve.points.push_back({static_cast<double>(validation.step), validation.metrics[metric].value});
  }
  return curve;
}

std::string DrawScores(const TrainingReport& report) {
  LineChart chart{.title = "Validation scores over steps", .x_name = "step", .height = 280};
  const std::vector<ValidationMetric>& metrics = report.validations[0].metrics;
  for (size_t i = 0; i < metrics.size() && chart.curves.size() < kMostCurves; ++i) {
    if (metrics[i].place != ValidationMetric::kScores) continue;
    chart.curves.push_back(ValidationCurve(report, i, static_cast<int>(chart.curves.size())));
  }
  if (chart.curves.empty()) return "";
  if (const ValidationFigures* best = BestValidation(report);
      best != nullptr && metrics[0].place == ValidationMetric::kScores) {
    const double value = best->metrics[0].value;
    chart.marks.push_back({Mark::kRing, static_cast<double>(best->step), value,
                           absl::StrCat("best ", metrics[0].name, " ", cli::FormatMetric(value), " at step ",
                                        cli::FormatCount(best->step))});
  }
  return Render(Figure{.title = "Scores",
                       .explanation = "On the validation examples, which training does not learn from; the ring is the "
                                      "best validation.",
                       .legend = Legend(chart.curves),
                       .svg = Draw(chart),
                       .numbers = ValidationTable(report)});
}

}  // namespace

const ValidationFigures* BestValidation(const TrainingReport& report) {
  for (auto i = report.validations.rbegin(); i != report.validations.rend(); ++i) {
    if (i->best) return &*i;
  }
  return nullptr;
}

std::string DrawCourse(const TrainingReport& report) {
  return DrawLosses(report) +
         Row({DrawSmall(report, "Learning rate", "As the schedule gave it.", &StepFigures::learning_rate, 2, Rate),
              DrawSmall(report, "Gradient norm", "Before clipping.", &StepFigures::gradient_norm, 3, Norm),
              DrawSmall(report, "Examples a second", "Validations and checkpoints not counted.",
                        &StepFigures::examples_per_second, 1, Throughput)});
}

std::string DrawValidations(const TrainingReport& report) {
  std::vector<std::string> alone;
  const std::vector<ValidationMetric>& metrics = report.validations[0].metrics;
  for (size_t i = 0; i < metrics.size(); ++i) {
    if (metrics[i].place != ValidationMetric::kAlone) continue;
    LineChart chart{.title = absl::StrCat("Validation ", metrics[i].name, " over steps"),
                    .x_name = "step",
                    .curves = {ValidationCurve(report, i, static_cast<int>(alone.size() % kMostCurves))},
                    .width = kSmallWidth,
                    .height = kSmallHeight};
    alone.push_back(Render(Figure{.title = absl::StrCat("Validation: ", metrics[i].name),
                                  .explanation = "Lower is better.",
                                  .svg = Draw(chart),
                                  .numbers = StepTable({{metrics[i].name, chart.curves[0].points}}, Loss)}));
  }
  return DrawScores(report) + (alone.empty() ? "" : Row(alone));
}

}  // namespace tandem::report
