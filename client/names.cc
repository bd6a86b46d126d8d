#include "client/names.h"

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "client/error.h"

namespace tandem {
namespace {

std::string Prefixed(absl::string_view prefix, absl::string_view id) {
  return absl::StartsWith(id, prefix) ? std::string(id) : absl::StrCat(prefix, id);
}

absl::StatusOr<std::string> Child(absl::string_view what, absl::string_view name, absl::string_view kind) {
  if (absl::StartsWith(name, "collections/")) return std::string(name);
  const std::vector<std::string> parts = absl::StrSplit(name, '/');
  if (parts.size() != 2 || parts[0].empty() || parts[1].empty()) {
    return BadInput(
        what, absl::StrCat("'", name, "' must be COLLECTION/", what, " or collections/COLLECTION/", kind, "/", what));
  }
  return absl::StrCat("collections/", parts[0], "/", kind, "/", parts[1]);
}

}  // namespace

std::string DatasetName(absl::string_view dataset) { return Prefixed("datasets/", dataset); }
std::string CollectionName(absl::string_view collection) { return Prefixed("collections/", collection); }
std::string JobName(absl::string_view job) { return Prefixed("jobs/", job); }
std::string SnapshotName(absl::string_view snapshot) { return Prefixed("snapshots/", snapshot); }
std::string ModelName(absl::string_view model) { return Prefixed("models/", model); }

std::string ModelOrRevisionName(absl::string_view model) {
  if (absl::StartsWith(model, "models/")) return std::string(model);
  const std::pair<std::string, std::string> parts = absl::StrSplit(model, absl::MaxSplits('/', 1));
  if (parts.second.empty()) return ModelName(model);
  return absl::StrCat("models/", parts.first, "/revisions/", parts.second);
}

absl::StatusOr<std::string> ReleaseName(absl::string_view release) { return Child("RELEASE", release, "releases"); }

absl::StatusOr<std::string> EvaluationSetName(absl::string_view evaluation_set) {
  return Child("EVALUATION", evaluation_set, "evaluationSets");
}

absl::string_view ShortId(absl::string_view name) {
  const size_t slash = name.rfind('/');
  return slash == name.npos ? name : name.substr(slash + 1);
}

std::string ShortName(absl::string_view name) {
  const std::vector<std::string> parts = absl::StrSplit(name, '/');
  if (parts.size() == 2) return parts[1];
  if (parts.size() == 4) return absl::StrCat(parts[1], "/", parts[3]);
  return std::string(name);
}

}  // namespace tandem
