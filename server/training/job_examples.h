#pragma once
// The example sets of a training job, as its losses and its validation take them.

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/base/job_directory.h"
#include "server/training/example_file.h"

namespace tandem {

struct JobExamples {
  TextTable texts;
  std::vector<ExampleSet> training;  // One an objective.
  ExampleSet validation;             // Of any form; empty when there is nothing to validate on.
  std::string summary;               // Counts, for people.
};

// Reads the files of the job. Validation is the job's own file, or else a part of the first objective's examples
// (SplitByAnchor); no example of any objective begins with a text that a validation example begins with. What the
// losses ask for is done: one positive an example unless the loss keeps several together, two views of the first text
// for SimCSE. FAILED_PRECONDITION when a loss does not take an objective's examples.
absl::StatusOr<JobExamples> ReadJobExamples(const std::filesystem::path& job_directory, const TrainerOptions& options);

}  // namespace tandem
