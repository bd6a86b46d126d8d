#pragma once
// The analysis of what a training learned from, for its page.

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/cli/session.h"
#include "client/client.h"
#include "client/report/training_report.h"

namespace tandem::cli {

// Gives the finished job of an analysis like the one that is asked for: of the dataset and, when it is set, the commit.
using Analyse = std::function<absl::StatusOr<v1::Job>(const v1::AnalyzeDatasetRequest&)>;

// The newest such job of the server; one that still runs is waited for, with a bar on stderr. When there is none, one
// is started and waited for. An analysis that fails or is cancelled is an error.
absl::StatusOr<v1::Job> FindOrAnalyse(Client& client, Session& session, const v1::AnalyzeDatasetRequest& request);

// The analyses of the datasets that `job` trained on, as far as it did: those that `revision` names, which may be null;
// then the first dataset of the job. One that cannot be had is told in the report.
void AddTrainingData(const v1::Job& job, const v1::ModelRevision* revision, const Analyse& analyse,
                     report::TrainingReport* report);

// REQUIRES: job.has_analysis().
report::TrainingData TrainingDataOf(const v1::Job& job);

}  // namespace tandem::cli
