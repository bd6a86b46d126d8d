#pragma once
// Resource names. Everywhere in the library a resource may be given by its full name ("collections/docs/releases/r1")
// or in short ("docs/r1"); these functions make the full one and refuse what cannot be one.

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tandem {

std::string DatasetName(absl::string_view dataset);        // "pairs" -> "datasets/pairs"
std::string CollectionName(absl::string_view collection);  // "docs" -> "collections/docs"
std::string JobName(absl::string_view job);                // "j1" -> "jobs/j1"
std::string SnapshotName(absl::string_view snapshot);      // "s1" -> "snapshots/s1"
std::string ModelName(absl::string_view model);            // "mini" -> "models/mini"

// "mini/r1" -> "models/mini/revisions/r1"; "mini" -> "models/mini", which stands for its newest revision.
std::string ModelOrRevisionName(absl::string_view model);

// "docs/r1" -> "collections/docs/releases/r1".
absl::StatusOr<std::string> ReleaseName(absl::string_view release);

// "docs/heldout" -> "collections/docs/evaluationSets/heldout".
absl::StatusOr<std::string> EvaluationSetName(absl::string_view evaluation_set);

// The last part of a name: "collections/docs/releases/r1" -> "r1".
absl::string_view ShortId(absl::string_view name);

// The shortest form that the functions above accept: "collections/docs/releases/r1" -> "docs/r1".
std::string ShortName(absl::string_view name);

}  // namespace tandem
