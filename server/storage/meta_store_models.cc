// Models and their revisions.

#include "server/storage/meta_store_rep.h"

namespace tandem {

namespace {

constexpr char kSelectModel[] =
    "SELECT tenant, id, create_us,"
    "  coalesce((SELECT r.id FROM revisions r WHERE r.tenant = m.tenant AND r.model = m.id ORDER BY r.key DESC LIMIT "
    "1), ''),"
    "  (SELECT count(*) FROM revisions r WHERE r.tenant = m.tenant AND r.model = m.id) "
    "FROM models m ";

ModelRecord ReadModel(Query& row) {
  ModelRecord model;
  model.tenant = row.Text();
  model.id = row.Text();
  model.create_time = row.Time();
  model.newest_revision = row.Text();
  model.revision_count = static_cast<int>(row.Int());
  return model;
}

constexpr char kSelectRevision[] =
    "SELECT tenant, model, id, create_us, architecture, parameters, contract, parent, dataset, dataset_commit, job, "
    "options, validation, sha256, sources, comparison FROM revisions ";

absl::StatusOr<ModelRevisionRecord> ReadRevision(Query& row) {
  ModelRevisionRecord revision;
  revision.tenant = row.Text();
  revision.model = row.Text();
  revision.id = row.Text();
  revision.create_time = row.Time();
  revision.architecture = row.Text();
  revision.parameters = row.Int();
  ASSIGN_OR_RETURN(revision.contract, UnpackContract(row.Blob()));
  revision.parent = row.Text();
  revision.dataset = row.Text();
  revision.dataset_commit = row.Int();
  revision.job = row.Text();
  revision.options_json = row.Text();
  ASSIGN_OR_RETURN(revision.validation, UnpackValidation(row.Blob()));
  revision.sha256 = row.Text();
  ASSIGN_OR_RETURN(revision.sources, UnpackSources(row.Blob()));
  ASSIGN_OR_RETURN(revision.comparison, UnpackComparison(row.Blob()));
  return revision;
}

absl::StatusOr<std::vector<ModelRevisionRecord>> ReadRevisions(Query& row) {
  std::vector<ModelRevisionRecord> revisions;
  while (row.Next()) {
    ASSIGN_OR_RETURN(revisions.emplace_back(), ReadRevision(row));
  }
  return revisions;
}

// FAILED_PRECONDITION that names a release or job which uses the revision.
absl::Status RequireUnused(Database& db, std::string_view tenant, std::string_view model, std::string_view revision) {
  const std::string name = RevisionName(model, revision);
  Query release(db,
                "SELECT c.id, r.id FROM releases r JOIN collections c ON c.key = r.collection "
                "WHERE r.model = ? AND r.revision = ? AND r.state <> ? AND c.tenant = ? LIMIT 1",
                model, revision, ReleaseState::kFailed, tenant);
  if (release.Next()) {
    const std::string collection = release.Text();
    return absl::FailedPreconditionError(Concat(name, ": ", ReleaseName(collection, release.Text()), " uses it"));
  }
  Query job(db, "SELECT id FROM jobs WHERE state IN (1, 2) AND tenant = ? AND base_revision = ? LIMIT 1", tenant, name);
  if (job.Next()) {
    return absl::FailedPreconditionError(Concat(name, ": ", JobName(job.Text()), ", which is not finished, trains it"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> RevisionIds(Database& db, std::string_view tenant, std::string_view model) {
  {
    Query row(db, "SELECT 1 FROM models WHERE tenant = ? AND id = ?", tenant, model);
    if (!row.Next()) return NotFound(ModelName(model));
  }
  std::vector<std::string> ids;
  Query row(db, "SELECT id FROM revisions WHERE tenant = ? AND model = ? ORDER BY key", tenant, model);
  while (row.Next()) ids.push_back(row.Text());
  return ids;
}

}  // namespace

absl::Status RequireRevision(Database& db, std::string_view tenant, std::string_view name) {
  // Ids have no "/", so only the name of the revision itself matches.
  Query row(db, "SELECT 1 FROM revisions WHERE tenant = ? AND 'models/' || model || '/revisions/' || id = ?", tenant,
            name);
  if (row.Next()) return absl::OkStatus();
  return NotFound(name);
}

absl::Status InsertRevision(Database& db, const ModelRevisionRecord& revision) {
  {
    Query row(db, "SELECT 1 FROM revisions WHERE tenant = ? AND model = ? AND id = ?", revision.tenant, revision.model,
              revision.id);
    if (row.Next()) return AlreadyExists(RevisionName(revision.model, revision.id));
  }
  Query(db, "INSERT INTO models VALUES (?, ?, ?) ON CONFLICT DO NOTHING", revision.tenant, revision.model,
        revision.create_time)
      .Run();
  Query(db,
        "INSERT INTO revisions (tenant, model, id, create_us, architecture, parameters, contract, parent, dataset,"
        " dataset_commit, job, options, validation, sha256, sources, comparison)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        revision.tenant, revision.model, revision.id, revision.create_time, revision.architecture, revision.parameters,
        PackContract(revision.contract), revision.parent, revision.dataset, revision.dataset_commit, revision.job,
        revision.options_json, PackValidation(revision.validation), revision.sha256, PackSources(revision.sources),
        PackComparison(revision.comparison))
      .Run();
  return absl::OkStatus();
}

absl::StatusOr<ModelRecord> MetaStore::GetModel(std::string_view tenant, std::string_view id) {
  return rep_->db->Read([&](Database& db) -> absl::StatusOr<ModelRecord> {
    Query row(db, Concat(kSelectModel, "WHERE tenant = ? AND id = ?"), tenant, id);
    if (!row.Next()) return NotFound(ModelName(id));
    return ReadModel(row);
  });
}

absl::StatusOr<std::vector<ModelRecord>> MetaStore::ListModels(std::string_view tenant, const Page& page) {
  return rep_->db->Read([&](Database& db) -> absl::StatusOr<std::vector<ModelRecord>> {
    std::vector<ModelRecord> models;
    Query row(db, Concat(kSelectModel, "WHERE tenant = ? AND id > ? ORDER BY id LIMIT ?"), tenant, page.after,
              page.size);
    while (row.Next()) models.push_back(ReadModel(row));
    return models;
  });
}

absl::Status MetaStore::AddModelRevision(const ModelRevisionRecord& revision) {
  return rep_->db->Write([&](Database& db) { return InsertRevision(db, revision); });
}

absl::StatusOr<ModelRevisionRecord> FindRevision(Database& db, std::string_view tenant, std::string_view model,
                                                 std::string_view id) {
  Query row(db, Concat(kSelectRevision, "WHERE tenant = ? AND model = ? AND id = ?"), tenant, model, id);
  if (!row.Next()) return NotFound(RevisionName(model, id));
  return ReadRevision(row);
}

absl::StatusOr<ModelRevisionRecord> MetaStore::GetModelRevision(std::string_view tenant, std::string_view model,
                                                                std::string_view revision) {
  return rep_->db->Read([&](Database& db) { return FindRevision(db, tenant, model, revision); });
}

absl::StatusOr<std::vector<ModelRevisionRecord>> MetaStore::ListModelRevisions(std::string_view tenant,
                                                                               std::string_view model,
                                                                               const Page& page) {
  return rep_->db->Read([&](Database& db) -> absl::StatusOr<std::vector<ModelRevisionRecord>> {
    {
      Query row(db, "SELECT 1 FROM models WHERE tenant = ? AND id = ?", tenant, model);
      if (!row.Next()) return NotFound(ModelName(model));
    }
    ASSIGN_OR_RETURN(
        const int64_t before,
        KeyBefore(db, page, "SELECT key FROM revisions WHERE tenant = ? AND model = ? AND id = ?", tenant, model));
    Query row(db, Concat(kSelectRevision, "WHERE tenant = ? AND model = ? AND key < ? ORDER BY key DESC LIMIT ?"),
              tenant, model, before, page.size);
    return ReadRevisions(row);
  });
}

absl::StatusOr<std::vector<std::string>> MetaStore::DeleteModel(std::string_view tenant, std::string_view model) {
  return rep_->db->Write([&](Database& db) -> absl::StatusOr<std::vector<std::string>> {
    ASSIGN_OR_RETURN(std::vector<std::string> ids, RevisionIds(db, tenant, model));
    for (const std::string& id : ids) RETURN_IF_ERROR(RequireUnused(db, tenant, model, id));
    Query job(db, "SELECT id FROM jobs WHERE state IN (1, 2) AND tenant = ? AND target_model = ? LIMIT 1", tenant,
              model);
    if (job.Next()) {
      return absl::FailedPreconditionError(
          Concat(ModelName(model), ": ", JobName(job.Text()), ", which is not finished, adds a revision to it"));
    }
    Query(db, "DELETE FROM models WHERE tenant = ? AND id = ?", tenant, model).Run();
    return ids;
  });
}

absl::Status MetaStore::DeleteModelRevision(std::string_view tenant, std::string_view model,
                                            std::string_view revision) {
  return rep_->db->Write([&](Database& db) -> absl::Status {
    RETURN_IF_ERROR(RequireRevision(db, tenant, RevisionName(model, revision)));
    RETURN_IF_ERROR(RequireUnused(db, tenant, model, revision));
    Query(db, "DELETE FROM revisions WHERE tenant = ? AND model = ? AND id = ?", tenant, model, revision).Run();
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<ModelRevisionRecord>> MetaStore::AllModelRevisions() {
  return rep_->db->Read([&](Database& db) -> absl::StatusOr<std::vector<ModelRevisionRecord>> {
    Query row(db, Concat(kSelectRevision, "ORDER BY key"));
    return ReadRevisions(row);
  });
}

}  // namespace tandem
