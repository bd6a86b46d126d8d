#pragma once
// The commands, one function for each noun; main adds them all. Each command ends in Session::Add.

#include "CLI/CLI.hpp"
#include "client/cli/session.h"

namespace tandem::cli {

void AddModelCommands(CLI::App& app, Session& session);
void AddDatasetCommands(CLI::App& app, Session& session);
void AddDatasetJobCommands(CLI::App& dataset, Session& session);  // Below the noun.
void AddTrainCommand(CLI::App& app, Session& session);
void AddJobCommands(CLI::App& app, Session& session);
void AddCollectionCommands(CLI::App& app, Session& session);
void AddDocumentCommands(CLI::App& app, Session& session);
void AddEvaluationCommands(CLI::App& app, Session& session);
void AddReleaseCommands(CLI::App& app, Session& session);
void AddReleaseJobCommands(CLI::App& release, Session& session);  // Below the noun.
void AddReportCommands(CLI::App& app, Session& session);
void AddSnapshotCommands(CLI::App& app, Session& session);
void AddSearchCommand(CLI::App& app, Session& session);
void AddFeedbackCommands(CLI::App& app, Session& session);
void AddEmbeddingCommands(CLI::App& app, Session& session);
void AddServerCommands(CLI::App& app, Session& session);

}  // namespace tandem::cli
