#pragma once
// Resource names: "datasets/faq", "models/m/revisions/r". Errors are InvalidField on the path that the caller gives.

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/storage/records.h"

namespace tandem {

struct RevisionName {
  std::string model, revision;  // `revision` is empty for "models/{model}", which means its newest.
};
struct ReleaseName {
  std::string collection, release;
};
struct EvaluationSetName {
  std::string collection, evaluation_set;
};

// What an error shows of a value that a client sent: at most its first 80 bytes, escaped.
std::string Quote(std::string_view value);

// [a-z0-9][a-z0-9._-]{0,62}; `optional`: or empty.
absl::Status CheckId(std::string_view path, std::string_view id, bool optional = false);

absl::StatusOr<std::string> ParseDataset(std::string_view path, std::string_view name);
absl::StatusOr<std::string> ParseModel(std::string_view path, std::string_view name);
absl::StatusOr<RevisionName> ParseRevision(std::string_view path, std::string_view name);
absl::StatusOr<RevisionName> ParseModelOrRevision(std::string_view path, std::string_view name);
absl::StatusOr<std::string> ParseJob(std::string_view path, std::string_view name);
absl::StatusOr<std::string> ParseCollection(std::string_view path, std::string_view name);
absl::StatusOr<ReleaseName> ParseRelease(std::string_view path, std::string_view name);
absl::StatusOr<EvaluationSetName> ParseEvaluationSet(std::string_view path, std::string_view name);
absl::StatusOr<std::string> ParseSnapshot(std::string_view path, std::string_view name);
absl::StatusOr<std::string> ParseApiKey(std::string_view path, std::string_view name);

std::string DatasetName(std::string_view id);
std::string ModelName(std::string_view id);
std::string RevisionNameOf(std::string_view model, std::string_view revision);
std::string JobName(std::string_view id);
std::string CollectionName(std::string_view id);
std::string SnapshotName(std::string_view id);
std::string ReleaseNameOf(std::string_view collection, std::string_view release);
std::string EvaluationSetNameOf(std::string_view collection, std::string_view evaluation_set);

// Page tokens are opaque to clients: the list they belong to ("datasets", "releases/faq") and the last key of the page
// before, in web-safe base64.
std::string PageToken(std::string_view list, std::string_view after);
// Size and start of a list call's page; InvalidField on "page_size" or "page_token".
absl::StatusOr<Page> ParsePage(std::string_view list, int page_size, std::string_view page_token);

}  // namespace tandem
