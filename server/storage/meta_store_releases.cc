// Releases, the steps that they may take, and the swap of the live one.

#include "server/storage/meta_store_rep.h"
#include "server/storage/release_state.h"

namespace tandem {

namespace {

constexpr char kSelectRelease[] =
    "SELECT id, state, create_us, model, revision, index_kind, hnsw_m, hnsw_ef_construction, hnsw_ef_search, contract,"
    "  evaluation, promote_us, demote_us, error_code, error_message, gate, ivf_lists, ivf_nprobe, pq_subquantizers,"
    "  code_storage, rerank_factor FROM releases ";

absl::StatusOr<ReleaseRecord> ReadRelease(Query& row, std::string_view tenant, std::string_view collection) {
  ReleaseRecord release;
  release.tenant = tenant;
  release.collection = collection;
  release.id = row.Text();
  release.state = static_cast<ReleaseState>(row.Int());
  release.create_time = row.Time();
  release.model = row.Text();
  release.revision = row.Text();
  release.index.kind = static_cast<IndexKind>(row.Int());
  release.index.hnsw_m = static_cast<int>(row.Int());
  release.index.hnsw_ef_construction = static_cast<int>(row.Int());
  release.index.hnsw_ef_search = static_cast<int>(row.Int());
  ASSIGN_OR_RETURN(release.contract,
                   release.external() ? UnpackVectorContract(row.Blob()) : UnpackContract(row.Blob()));
  ASSIGN_OR_RETURN(release.evaluation, UnpackEvaluation(row.Blob()));
  release.promote_time = row.OptionalTime();
  release.demote_time = row.OptionalTime();
  release.error_code = static_cast<int>(row.Int());
  release.error_message = row.Text();
  ASSIGN_OR_RETURN(release.gate, UnpackGate(row.Blob()));
  release.index.ivf_lists = static_cast<int>(row.Int());
  release.index.ivf_nprobe = static_cast<int>(row.Int());
  release.index.pq_subquantizers = static_cast<int>(row.Int());
  release.index.code_storage = static_cast<CodeStorage>(row.Int());
  release.index.rerank_factor = static_cast<int>(row.Int());
  return release;
}

// What UpdateRelease may do. To LIVE and from LIVE only PromoteRelease leads: the collection's pointers move with it.
bool MayBecome(ReleaseState from, ReleaseState to) {
  if (from == to) return true;
  switch (from) {
    case ReleaseState::kBuilding:
      return to == ReleaseState::kReady || to == ReleaseState::kFailed;
    case ReleaseState::kPrevious:
      return to == ReleaseState::kRetired;
    case ReleaseState::kReady:
    case ReleaseState::kLive:
    case ReleaseState::kRetired:
    case ReleaseState::kFailed:
      return false;
  }
  return false;
}

bool MayBePromoted(ReleaseState state) {
  switch (state) {
    case ReleaseState::kReady:
    case ReleaseState::kPrevious:
    case ReleaseState::kRetired:
      return true;
    case ReleaseState::kBuilding:
    case ReleaseState::kLive:
    case ReleaseState::kFailed:
      return false;
  }
  return false;
}

absl::Status IllegalStep(std::string_view collection, std::string_view id, ReleaseState from, ReleaseState to) {
  return absl::FailedPreconditionError(
      Concat(ReleaseName(collection, id), ": is ", NameOf(from), ", cannot become ", NameOf(to)));
}

void WriteRelease(Database& db, int64_t collection_key, const ReleaseRecord& release) {
  Query(db,
        "UPDATE releases SET state = ?, create_us = ?, model = ?, revision = ?, index_kind = ?, hnsw_m = ?,"
        " hnsw_ef_construction = ?, hnsw_ef_search = ?, contract = ?, evaluation = ?, promote_us = ?, demote_us = ?,"
        " error_code = ?, error_message = ?, gate = ?, ivf_lists = ?, ivf_nprobe = ?, pq_subquantizers = ?,"
        " code_storage = ?, rerank_factor = ? WHERE collection = ? AND id = ?",
        release.state, release.create_time, release.model, release.revision, release.index.kind, release.index.hnsw_m,
        release.index.hnsw_ef_construction, release.index.hnsw_ef_search, PackContract(release.contract),
        PackEvaluation(release.evaluation), release.promote_time, release.demote_time, release.error_code,
        release.error_message, PackGate(release.gate), release.index.ivf_lists, release.index.ivf_nprobe,
        release.index.pq_subquantizers, release.index.code_storage, release.index.rerank_factor, collection_key,
        release.id)
      .Run();
}

void SetPointers(Database& db, int64_t key, std::string_view live, std::string_view previous) {
  Query(db, "UPDATE collections SET live_release = ?, previous_release = ? WHERE key = ?", live, previous, key).Run();
}

// The live release steps down and the previous one, unless it is the one that is promoted, retires.
void StepDown(Database& db, int64_t key, const CollectionRecord& row, std::string_view promoted, absl::Time now) {
  if (row.previous_release != promoted) {
    Query(db, "UPDATE releases SET state = ? WHERE collection = ? AND id = ? AND state = ?", ReleaseState::kRetired,
          key, row.previous_release, ReleaseState::kPrevious)
        .Run();
  }
  Query(db, "UPDATE releases SET state = ?, demote_us = ? WHERE collection = ? AND id = ? AND state = ?",
        ReleaseState::kPrevious, now, key, row.live_release, ReleaseState::kLive)
      .Run();
}

}  // namespace

absl::StatusOr<ReleaseRecord> FindRelease(Database& db, int64_t collection_key, std::string_view tenant,
                                          std::string_view collection, std::string_view id) {
  Query row(db, Concat(kSelectRelease, "WHERE collection = ? AND id = ?"), collection_key, id);
  if (!row.Next()) return NotFound(ReleaseName(collection, id));
  return ReadRelease(row, tenant, collection);
}

absl::Status InsertRelease(Database& db, int64_t collection_key, const ReleaseRecord& release) {
  if (FindRelease(db, collection_key, release.tenant, release.collection, release.id).ok()) {
    return AlreadyExists(ReleaseName(release.collection, release.id));
  }
  Query(db,
        "INSERT INTO releases (collection, id, state, create_us, model, revision, index_kind, hnsw_m,"
        " hnsw_ef_construction, hnsw_ef_search, contract, evaluation, error_code, error_message)"
        " VALUES (?, ?, 1, 0, '', '', 1, 0, 0, 0, '', '', 0, '')",
        collection_key, release.id)
      .Run();
  WriteRelease(db, collection_key, release);
  return absl::OkStatus();
}

absl::Status MetaStore::CreateRelease(const ReleaseRecord& release, const Request* request) {
  return rep_->db->Write([&](Database& db) -> absl::Status {
    RETURN_IF_ERROR(ReserveAnswer(db, request));
    ASSIGN_OR_RETURN(const int64_t key, CollectionKey(db, release.tenant, release.collection));
    RETURN_IF_ERROR(InsertRelease(db, key, release));
    if (!release.external()) {
      RETURN_IF_ERROR(RequireRevision(db, release.tenant, RevisionName(release.model, release.revision)));
    }
    if (release.state == ReleaseState::kBuilding) return absl::OkStatus();
    return IllegalStep(release.collection, release.id, ReleaseState::kBuilding, release.state);
  });
}

absl::StatusOr<ReleaseRecord> MetaStore::GetRelease(std::string_view tenant, std::string_view collection,
                                                    std::string_view id) {
  return rep_->db->Read([&](Database& db) -> absl::StatusOr<ReleaseRecord> {
    ASSIGN_OR_RETURN(const int64_t key, CollectionKey(db, tenant, collection));
    return FindRelease(db, key, tenant, collection, id);
  });
}

absl::StatusOr<std::vector<ReleaseRecord>> MetaStore::ListReleases(std::string_view tenant, std::string_view collection,
                                                                   const Page& page) {
  return rep_->db->Read([&](Database& db) -> absl::StatusOr<std::vector<ReleaseRecord>> {
    ASSIGN_OR_RETURN(const int64_t key, CollectionKey(db, tenant, collection));
    ASSIGN_OR_RETURN(const int64_t before,
                     KeyBefore(db, page, "SELECT key FROM releases WHERE collection = ? AND id = ?", key));
    std::vector<ReleaseRecord> releases;
    Query row(db, Concat(kSelectRelease, "WHERE collection = ? AND key < ? ORDER BY key DESC LIMIT ?"), key, before,
              page.size);
    while (row.Next()) {
      ASSIGN_OR_RETURN(releases.emplace_back(), ReadRelease(row, tenant, collection));
    }
    return releases;
  });
}

absl::Status MetaStore::UpdateRelease(const ReleaseRecord& release) {
  return rep_->db->Write([&](Database& db) -> absl::Status {
    ASSIGN_OR_RETURN(const int64_t key, CollectionKey(db, release.tenant, release.collection));
    ASSIGN_OR_RETURN(const ReleaseRecord old, FindRelease(db, key, release.tenant, release.collection, release.id));
    if (!MayBecome(old.state, release.state)) {
      return IllegalStep(release.collection, release.id, old.state, release.state);
    }
    WriteRelease(db, key, release);
    if (old.state == ReleaseState::kPrevious && release.state == ReleaseState::kRetired) {
      Query(db, "UPDATE collections SET previous_release = '' WHERE key = ? AND previous_release = ?", key, release.id)
          .Run();
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<CollectionRecord> MetaStore::PromoteRelease(std::string_view tenant, std::string_view collection,
                                                           std::string_view release, std::optional<int64_t> etag,
                                                           const std::optional<GateReport>& gate,
                                                           const Request* request) {
  return rep_->db->Write([&](Database& db) -> absl::StatusOr<CollectionRecord> {
    RETURN_IF_ERROR(ReserveAnswer(db, request));
    ASSIGN_OR_RETURN(const int64_t key, CollectionKey(db, tenant, collection));
    ASSIGN_OR_RETURN(const CollectionRecord row, ReadCollection(db, tenant, collection));
    RETURN_IF_ERROR(RequireEtag(row, etag));
    ASSIGN_OR_RETURN(ReleaseRecord promoted, FindRelease(db, key, tenant, collection, release));
    if (!MayBePromoted(promoted.state)) return IllegalStep(collection, release, promoted.state, ReleaseState::kLive);
    const absl::Time now = absl::Now();
    StepDown(db, key, row, release, now);
    promoted.state = ReleaseState::kLive;
    promoted.promote_time = now;
    promoted.demote_time = std::nullopt;
    if (gate) promoted.gate = gate;
    WriteRelease(db, key, promoted);
    SetPointers(db, key, release, row.live_release);
    Query(db, "UPDATE collections SET etag = etag + 1 WHERE key = ?", key).Run();
    return ReadCollection(db, tenant, collection);
  });
}

absl::Status MetaStore::DeleteRelease(std::string_view tenant, std::string_view collection, std::string_view id) {
  return rep_->db->Write([&](Database& db) -> absl::Status {
    ASSIGN_OR_RETURN(const int64_t key, CollectionKey(db, tenant, collection));
    ASSIGN_OR_RETURN(const ReleaseRecord release, FindRelease(db, key, tenant, collection, id));
    if (release.state == ReleaseState::kLive || release.state == ReleaseState::kBuilding) {
      return absl::FailedPreconditionError(
          Concat(ReleaseName(collection, id), ": is ", NameOf(release.state), " and cannot be deleted"));
    }
    Query(db, "DELETE FROM releases WHERE collection = ? AND id = ?", key, id).Run();
    Query(db, "UPDATE collections SET previous_release = '' WHERE key = ? AND previous_release = ?", key, id).Run();
    return absl::OkStatus();
  });
}

}  // namespace tandem
