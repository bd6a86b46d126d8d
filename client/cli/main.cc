// tandem: the command line. Exit codes: 0 done, 1 an error, 2 wrong usage.

#include <cstdio>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "client/cli/commands.h"
#include "client/cli/session.h"

namespace tandem::cli {
namespace {

constexpr int kError = 1;
constexpr int kUsage = 2;

void AddGlobalOptions(CLI::App& app, Session& session) {
  app.add_option("--server", session.address, "Address of tandemd")->envname("TANDEM_SERVER")->capture_default_str();
  app.add_flag("--json", session.json, "Print one JSON object, or JSON lines, and nothing else on stdout");
  app.add_option("--timeout", session.timeout_s, "Seconds that one call may take")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
}

void AddCommands(CLI::App& app, Session& session) {
  AddServerCommands(app, session);
  AddModelCommands(app, session);
  AddDatasetCommands(app, session);
  AddTrainCommand(app, session);
  AddJobCommands(app, session);
  AddCollectionCommands(app, session);
  AddDocumentCommands(app, session);
  AddEvaluationCommands(app, session);
  AddReleaseCommands(app, session);
  AddSnapshotCommands(app, session);
  AddReportCommands(app, session);
  AddSearchCommand(app, session);
  AddFeedbackCommands(app, session);
  AddEmbeddingCommands(app, session);
  // Last: commands inherit the footer that is there when they are added.
  app.footer(
      Examples("tandem model import ./all-MiniLM-L6-v2 --model mini\n"
               "tandem collection create docs\n"
               "tandem document import docs documents.jsonl\n"
               "tandem release create docs --model mini --id base\n"
               "tandem release promote docs/base\n"
               "tandem search docs 'show free disk space'"));
}

int Main(int argc, char** argv) {
  Session session;
  CLI::App app("tandem fine-tunes a text encoder on your pairs and keeps an index of your documents in step with it.");
  app.name("tandem");
  app.require_subcommand(1);
  app.fallthrough();
  AddGlobalOptions(app, session);
  AddCommands(app, session);

  // CLI11 reports wrong usage, and --help, by exceptions; they end here.
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // "A subcommand is required" would be true, but of no help, after a mistyped one.
    if (const std::vector<std::string> unknown = app.remaining(true);
        !unknown.empty() && dynamic_cast<const CLI::RequiredError*>(&error) != nullptr) {
      std::fprintf(stderr, "tandem: '%s' is not known here; see --help\n", unknown.front().c_str());
      return kUsage;
    }
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  const absl::Status status = session.Run();
  if (status.ok()) return 0;
  std::fflush(stdout);
  std::fprintf(stderr, "tandem: %s\n", std::string(status.message()).c_str());
  return kError;
}

}  // namespace
}  // namespace tandem::cli

int main(int argc, char** argv) { return tandem::cli::Main(argc, argv); }
