#include "server/rpc/names.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "server/base/ids.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/rpc/limits.h"

namespace tandem {
namespace {

std::vector<std::string_view> SplitAtSlashes(std::string_view name) {
  std::vector<std::string_view> parts;
  for (size_t slash; (slash = name.find('/')) != name.npos; name.remove_prefix(slash + 1)) {
    parts.push_back(name.substr(0, slash));
  }
  parts.push_back(name);
  return parts;
}

// The ids in a name of the form kind/{id}[/kind/{id}].
absl::StatusOr<std::vector<std::string>> ParseName(std::string_view path, std::string_view name, std::string_view form,
                                                   std::initializer_list<std::string_view> kinds) {
  const std::vector<std::string_view> parts = SplitAtSlashes(name);
  const auto refusal = [&] { return InvalidField(path, Concat(Quote(name), ": must be \"", form, "\"")); };
  if (parts.size() != 2 * kinds.size()) return refusal();
  std::vector<std::string> ids;
  size_t at = 0;
  for (const std::string_view kind : kinds) {
    if (parts[at] != kind || !ValidId(parts[at + 1])) return refusal();
    ids.emplace_back(parts[at + 1]);
    at += 2;
  }
  return ids;
}

absl::StatusOr<std::string> ParseSimple(std::string_view path, std::string_view name, std::string_view form,
                                        std::string_view kind) {
  ASSIGN_OR_RETURN(std::vector<std::string> ids, ParseName(path, name, form, {kind}));
  return std::move(ids[0]);
}

}  // namespace

std::string Quote(std::string_view value) {
  constexpr size_t kShown = 80;
  if (value.size() <= kShown) return Concat("\"", absl::Utf8SafeCEscape(AbslView(value)), "\"");
  return Concat("\"", absl::CEscape(AbslView(value.substr(0, kShown))), "...\" (", value.size(), " bytes)");
}

absl::Status CheckId(std::string_view path, std::string_view id, bool optional) {
  if (ValidId(id) || (optional && id.empty())) return absl::OkStatus();
  return InvalidField(path, Concat(Quote(id), ": must match [a-z0-9][a-z0-9._-]{0,62}"));
}

absl::StatusOr<std::string> ParseDataset(std::string_view path, std::string_view name) {
  return ParseSimple(path, name, "datasets/{dataset}", "datasets");
}
absl::StatusOr<std::string> ParseModel(std::string_view path, std::string_view name) {
  return ParseSimple(path, name, "models/{model}", "models");
}
absl::StatusOr<std::string> ParseJob(std::string_view path, std::string_view name) {
  return ParseSimple(path, name, "jobs/{job}", "jobs");
}
absl::StatusOr<std::string> ParseCollection(std::string_view path, std::string_view name) {
  return ParseSimple(path, name, "collections/{collection}", "collections");
}
absl::StatusOr<std::string> ParseSnapshot(std::string_view path, std::string_view name) {
  return ParseSimple(path, name, "snapshots/{snapshot}", "snapshots");
}
absl::StatusOr<std::string> ParseApiKey(std::string_view path, std::string_view name) {
  return ParseSimple(path, name, "apiKeys/{api_key}", "apiKeys");
}

absl::StatusOr<RevisionName> ParseRevision(std::string_view path, std::string_view name) {
  ASSIGN_OR_RETURN(std::vector<std::string> ids,
                   ParseName(path, name, "models/{model}/revisions/{revision}", {"models", "revisions"}));
  return RevisionName{std::move(ids[0]), std::move(ids[1])};
}

absl::StatusOr<RevisionName> ParseModelOrRevision(std::string_view path, std::string_view name) {
  constexpr std::string_view kForm = "models/{model}\" or \"models/{model}/revisions/{revision}";
  if (std::count(name.begin(), name.end(), '/') == 1) {
    ASSIGN_OR_RETURN(std::string model, ParseSimple(path, name, kForm, "models"));
    return RevisionName{std::move(model), ""};
  }
  ASSIGN_OR_RETURN(std::vector<std::string> ids, ParseName(path, name, kForm, {"models", "revisions"}));
  return RevisionName{std::move(ids[0]), std::move(ids[1])};
}

absl::StatusOr<ReleaseName> ParseRelease(std::string_view path, std::string_view name) {
  ASSIGN_OR_RETURN(std::vector<std::string> ids,
                   ParseName(path, name, "collections/{collection}/releases/{release}", {"collections", "releases"}));
  return ReleaseName{std::move(ids[0]), std::move(ids[1])};
}

absl::StatusOr<EvaluationSetName> ParseEvaluationSet(std::string_view path, std::string_view name) {
  ASSIGN_OR_RETURN(std::vector<std::string> ids,
                   ParseName(path, name, "collections/{collection}/evaluationSets/{evaluation_set}",
                             {"collections", "evaluationSets"}));
  return EvaluationSetName{std::move(ids[0]), std::move(ids[1])};
}

std::string DatasetName(std::string_view id) { return Concat("datasets/", id); }
std::string ModelName(std::string_view id) { return Concat("models/", id); }
std::string RevisionNameOf(std::string_view model, std::string_view revision) {
  return Concat("models/", model, "/revisions/", revision);
}
std::string JobName(std::string_view id) { return Concat("jobs/", id); }
std::string CollectionName(std::string_view id) { return Concat("collections/", id); }
std::string SnapshotName(std::string_view id) { return Concat("snapshots/", id); }
std::string ReleaseNameOf(std::string_view collection, std::string_view release) {
  return Concat("collections/", collection, "/releases/", release);
}
std::string EvaluationSetNameOf(std::string_view collection, std::string_view evaluation_set) {
  return Concat("collections/", collection, "/evaluationSets/", evaluation_set);
}

std::string PageToken(std::string_view list, std::string_view after) {
  return absl::WebSafeBase64Escape(Concat(list, "\n", after));
}

absl::StatusOr<Page> ParsePage(std::string_view list, int page_size, std::string_view page_token) {
  if (page_size < 0 || page_size > kMaxPageSize) {
    return InvalidField("page_size", Concat(page_size, ": must be in [0, ", kMaxPageSize, "]"));
  }
  Page page{.size = page_size == 0 ? kDefaultPageSize : page_size, .after = ""};
  if (page_token.empty()) return page;
  const std::string prefix = Concat(list, "\n");
  std::string plain;
  if (page_token.size() > kMaxPageTokenBytes || !absl::WebSafeBase64Unescape(AbslView(page_token), &plain) ||
      plain.compare(0, prefix.size(), prefix) != 0 || plain.size() == prefix.size()) {
    return InvalidField("page_token", Concat(Quote(page_token), ": is not a token of this list"));
  }
  page.after = plain.substr(prefix.size());
  return page;
}

}  // namespace tandem
