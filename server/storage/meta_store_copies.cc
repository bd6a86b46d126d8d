// Collections as they travel: all of their rows at once.

#include "server/storage/meta_store_rep.h"

namespace tandem {

namespace {

absl::Status ReadSets(Database& db, int64_t key, CollectionCopy* copy) {
  {
    Query row(db, "SELECT id, create_us, query_count FROM evaluation_sets WHERE collection = ? ORDER BY id", key);
    while (row.Next()) {
      EvaluationSetRecord& set = copy->evaluation_sets.emplace_back().record;
      set.tenant = copy->collection.tenant;
      set.collection = copy->collection.id;
      set.id = row.Text();
      set.create_time = row.Time();
      set.query_count = static_cast<int>(row.Int());
    }
  }
  for (CollectionCopy::Set& set : copy->evaluation_sets) {
    ASSIGN_OR_RETURN(set.queries, ReadQueries(db, key, set.record.id));
  }
  return absl::OkStatus();
}

// The one that is there must be the same in all that a release stands on.
absl::Status EnsureRevision(Database& db, const ModelRevisionRecord& revision) {
  const absl::StatusOr<ModelRevisionRecord> there = FindRevision(db, revision.tenant, revision.model, revision.id);
  if (absl::IsNotFound(there.status())) return InsertRevision(db, revision);
  RETURN_IF_ERROR(there.status());
  if (there->sha256 == revision.sha256 && there->contract == revision.contract) return absl::OkStatus();
  return absl::FailedPreconditionError(Concat(RevisionName(revision.model, revision.id),
                                              ": is there already with other weights (sha256 ", there->sha256, ", not ",
                                              revision.sha256, ") or another contract"));
}

}  // namespace

absl::StatusOr<CollectionCopy> MetaStore::CopyCollection(std::string_view tenant, std::string_view id) {
  return rep_->db->Read([&](Database& db) -> absl::StatusOr<CollectionCopy> {
    CollectionCopy copy;
    ASSIGN_OR_RETURN(const int64_t key, CollectionKey(db, tenant, id));
    ASSIGN_OR_RETURN(copy.collection, ReadCollection(db, tenant, id));
    copy.collection.previous_release.clear();
    RETURN_IF_ERROR(ReadSets(db, key, &copy));
    if (copy.collection.live_release.empty()) return copy;
    ASSIGN_OR_RETURN(copy.release, FindRelease(db, key, tenant, id, copy.collection.live_release));
    if (copy.release->model.empty()) return copy;  // The clients bring the vectors.
    ASSIGN_OR_RETURN(copy.revision, FindRevision(db, tenant, copy.release->model, copy.release->revision));
    return copy;
  });
}

absl::Status MetaStore::InsertCopy(const CollectionCopy& copy) {
  return rep_->db->Write([&](Database& db) -> absl::Status {
    RETURN_IF_ERROR(InsertCollection(db, copy.collection));
    ASSIGN_OR_RETURN(const int64_t key, CollectionKey(db, copy.collection.tenant, copy.collection.id));
    for (const CollectionCopy::Set& set : copy.evaluation_sets) {
      RETURN_IF_ERROR(InsertEvaluationSet(db, key, set.record, set.queries));
    }
    if (copy.revision) RETURN_IF_ERROR(EnsureRevision(db, *copy.revision));
    if (!copy.release) return absl::OkStatus();
    return InsertRelease(db, key, *copy.release);
  });
}

}  // namespace tandem
