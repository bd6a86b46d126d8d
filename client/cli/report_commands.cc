#include <fstream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "client/cli/commands.h"
#include "client/cli/report_job.h"
#include "client/cli/report_release.h"
#include "client/error.h"
#include "nlohmann/json.hpp"

namespace tandem::cli {
namespace {

constexpr size_t kMostTexts = 300;

struct Options {
  std::string name, out;
  size_t texts = kMostTexts;
  bool no_analysis = false;
};

absl::Status Write(Session& out, const Options& options, absl::string_view kind, absl::string_view name,
                   const std::string& page) {
  const std::string path =
      options.out.empty() ? absl::StrCat(kind, "-", absl::StrReplaceAll(name, {{"/", "-"}}), ".html") : options.out;
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << page;
  file.close();
  if (!file) return BadInput("--out", absl::StrCat(path, " cannot be written"));
  out.PrintLine(out.json ? nlohmann::json{{"file", path}}.dump() : absl::StrCat("wrote ", path));
  return absl::OkStatus();
}

absl::Status ReportJob(Client& client, Session& out, const Options& options) {
  Analyse analyse;
  if (!options.no_analysis) {
    analyse = [&](const v1::AnalyzeDatasetRequest& request) { return FindOrAnalyse(client, out, request); };
  }
  absl::StatusOr<report::TrainingReport> report = CollectTrainingReport(client, options.name, options.texts, analyse);
  if (!report.ok()) return report.status();
  if (!report->no_training_data.empty()) out.Say(report->no_training_data);
  if (!report->no_sample.empty()) out.Say(report->no_sample);
  return Write(out, options, "job", report->name, Draw(*report));
}

absl::Status ReportRelease(Client& client, Session& out, const Options& options) {
  absl::StatusOr<report::ReleaseReport> report = CollectReleaseReport(client, options.name);
  if (!report.ok()) return report.status();
  return Write(out, options, "release", report->name, Draw(*report));
}

}  // namespace

void AddReportCommands(CLI::App& app, Session& session) {
  CLI::App* noun =
      Session::AddNoun(app, "report", "Pages that show a training or a release: one HTML file, complete in itself",
                       "tandem report job j1\ntandem report release docs/r1 --out r1.html");
  auto job = std::make_shared<Options>();
  CLI::App* command =
      session.Add(*noun, "job", "Training data, loss, validations, and what the training did to the embeddings",
                  "tandem report job j1\ntandem report job j1 --out j1.html --texts 0",
                  [job](Client& client, Session& out) { return ReportJob(client, out, *job); });
  command->add_option("JOB", job->name, "Job")->required();
  command->add_option("--out", job->out, "File to write [job-JOB.html]");
  command
      ->add_option("--texts", job->texts,
                   "Texts of the dataset that are embedded before and after, up to 300; 0 leaves that part out")
      ->check(CLI::Range(size_t{0}, kMostTexts))
      ->capture_default_str();
  command->add_flag(
      "--no-analysis", job->no_analysis,
      "Leave out what is wrong with the training data. It comes from the newest analysis of the dataset as "
      "far as it was trained on; without one, it is analysed now");

  auto release = std::make_shared<Options>();
  command = session.Add(*noun, "release", "States, index, evaluation and the gate's verdict",
                        "tandem report release docs/r1 --out r1.html",
                        [release](Client& client, Session& out) { return ReportRelease(client, out, *release); });
  command->add_option("RELEASE", release->name, "COLLECTION/RELEASE")->required();
  command->add_option("--out", release->out, "File to write [release-COLLECTION-RELEASE.html]");
}

}  // namespace tandem::cli
