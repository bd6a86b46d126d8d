#pragma once
// From a model's name in a request to what it stands for.

#include <string_view>

#include "absl/status/statusor.h"
#include "server/base/status.h"
#include "server/rpc/names.h"
#include "server/storage/meta_store.h"

namespace tandem {

// The revision that `name` ("models/{model}" or "models/{model}/revisions/{revision}") stands for now; NOT_FOUND when
// there is none.
inline absl::StatusOr<RevisionName> ResolveRevision(MetaStore* meta, std::string_view tenant, std::string_view path,
                                                    std::string_view name) {
  ASSIGN_OR_RETURN(RevisionName parsed, ParseModelOrRevision(path, name));
  if (!parsed.revision.empty()) {
    RETURN_IF_ERROR(meta->GetModelRevision(tenant, parsed.model, parsed.revision).status());
    return parsed;
  }
  ASSIGN_OR_RETURN(const ModelRecord model, meta->GetModel(tenant, parsed.model));
  if (model.newest_revision.empty()) return absl::NotFoundError(std::string(name) + " has no revision");
  parsed.revision = model.newest_revision;
  return parsed;
}

}  // namespace tandem
