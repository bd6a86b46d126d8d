// Collections; their documents are in a DocumentStore each.

#include "server/storage/meta_store_rep.h"

namespace tandem {

namespace {

constexpr char kSelectCollection[] =
    "SELECT tenant, id, display_name, create_us, gate_set, gate_margin, gate_min_recall, gate_min_ndcg,"
    "  rollback_window_us, etag, live_release, previous_release, fields, keyword_index, external_dimensions,"
    "  external_metric FROM collections ";

absl::StatusOr<CollectionRecord> ReadCollectionRow(Query& row) {
  CollectionRecord collection;
  collection.tenant = row.Text();
  collection.id = row.Text();
  collection.display_name = row.Text();
  collection.create_time = row.Time();
  collection.gate.evaluation_set = row.Text();
  collection.gate.margin = row.Real();
  collection.gate.min_index_recall = row.Real();
  collection.gate.min_ndcg = row.Real();
  collection.rollback_window = absl::Microseconds(row.Int());
  collection.etag = row.Int();
  collection.live_release = row.Text();
  collection.previous_release = row.Text();
  ASSIGN_OR_RETURN(collection.fields, UnpackFields(row.Text()));
  collection.keyword_index = row.Bool();
  const int dimensions = static_cast<int>(row.Int());
  const auto metric = static_cast<MetricKind>(row.Int());
  if (dimensions > 0) collection.external = ExternalVectors{dimensions, metric};
  return collection;
}

}  // namespace

absl::StatusOr<int64_t> CollectionKey(Database& db, std::string_view tenant, std::string_view id) {
  Query row(db, "SELECT key FROM collections WHERE tenant = ? AND id = ?", tenant, id);
  if (!row.Next()) return NotFound(CollectionName(id));
  return row.Int();
}

absl::StatusOr<CollectionRecord> ReadCollection(Database& db, std::string_view tenant, std::string_view id) {
  Query row(db, Concat(kSelectCollection, "WHERE tenant = ? AND id = ?"), tenant, id);
  if (!row.Next()) return NotFound(CollectionName(id));
  return ReadCollectionRow(row);
}

absl::Status RequireEtag(const CollectionRecord& row, std::optional<int64_t> etag) {
  if (!etag || *etag == row.etag) return absl::OkStatus();
  return absl::AbortedError(Concat(CollectionName(row.id), ": etag ", *etag, " is stale, it is ", row.etag));
}

absl::Status InsertCollection(Database& db, const CollectionRecord& collection) {
  if (CollectionKey(db, collection.tenant, collection.id).ok()) return AlreadyExists(CollectionName(collection.id));
  Query(db,
        "INSERT INTO collections (tenant, id, display_name, create_us, gate_set, gate_margin, gate_min_recall,"
        " gate_min_ndcg, rollback_window_us, etag, live_release, previous_release, fields, keyword_index,"
        " external_dimensions, external_metric) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        collection.tenant, collection.id, collection.display_name, collection.create_time,
        collection.gate.evaluation_set, collection.gate.margin, collection.gate.min_index_recall,
        collection.gate.min_ndcg, int64_t{absl::ToInt64Microseconds(collection.rollback_window)}, collection.etag,
        collection.live_release, collection.previous_release, PackFields(collection.fields), collection.keyword_index,
        collection.external ? collection.external->dimensions : 0,
        collection.external ? static_cast<int>(collection.external->metric) : 0)
      .Run();
  return absl::OkStatus();
}

absl::Status MetaStore::CreateCollection(const CollectionRecord& collection, const Request* request) {
  return rep_->db->Write([&](Database& db) -> absl::Status {
    RETURN_IF_ERROR(ReserveAnswer(db, request));
    RETURN_IF_ERROR(InsertCollection(db, collection));
    if (collection.gate.evaluation_set.empty()) return absl::OkStatus();
    return NotFound(EvaluationSetName(collection.id, collection.gate.evaluation_set));
  });
}

absl::StatusOr<CollectionRecord> MetaStore::GetCollection(std::string_view tenant, std::string_view id) {
  return rep_->db->Read([&](Database& db) { return ReadCollection(db, tenant, id); });
}

absl::StatusOr<std::vector<CollectionRecord>> MetaStore::ListCollections(std::string_view tenant, const Page& page) {
  return rep_->db->Read([&](Database& db) -> absl::StatusOr<std::vector<CollectionRecord>> {
    std::vector<CollectionRecord> collections;
    Query row(db, Concat(kSelectCollection, "WHERE tenant = ? AND id > ? ORDER BY id LIMIT ?"), tenant, page.after,
              page.size);
    while (row.Next()) {
      ASSIGN_OR_RETURN(collections.emplace_back(), ReadCollectionRow(row));
    }
    return collections;
  });
}

absl::StatusOr<std::vector<CollectionRecord>> MetaStore::AllCollections() {
  return rep_->db->Read([&](Database& db) -> absl::StatusOr<std::vector<CollectionRecord>> {
    std::vector<CollectionRecord> collections;
    Query row(db, Concat(kSelectCollection, "ORDER BY key"));
    while (row.Next()) {
      ASSIGN_OR_RETURN(collections.emplace_back(), ReadCollectionRow(row));
    }
    return collections;
  });
}

absl::StatusOr<CollectionRecord> MetaStore::UpdateCollection(const CollectionRecord& collection,
                                                             std::optional<int64_t> etag) {
  return rep_->db->Write([&](Database& db) -> absl::StatusOr<CollectionRecord> {
    ASSIGN_OR_RETURN(const int64_t key, CollectionKey(db, collection.tenant, collection.id));
    ASSIGN_OR_RETURN(CollectionRecord row, ReadCollection(db, collection.tenant, collection.id));
    RETURN_IF_ERROR(RequireEtag(row, etag));
    if (!collection.gate.evaluation_set.empty()) {
      RETURN_IF_ERROR(RequireEvaluationSet(db, key, collection.id, collection.gate.evaluation_set));
    }
    Query(db,
          "UPDATE collections SET display_name = ?, gate_set = ?, gate_margin = ?, gate_min_recall = ?,"
          " gate_min_ndcg = ?, rollback_window_us = ?, etag = etag + 1 WHERE key = ?",
          collection.display_name, collection.gate.evaluation_set, collection.gate.margin,
          collection.gate.min_index_recall, collection.gate.min_ndcg,
          int64_t{absl::ToInt64Microseconds(collection.rollback_window)}, key)
        .Run();
    return ReadCollection(db, collection.tenant, collection.id);
  });
}

absl::Status MetaStore::DeleteCollection(std::string_view tenant, std::string_view id) {
  return rep_->db->Write([&](Database& db) -> absl::Status {
    ASSIGN_OR_RETURN(const int64_t key, CollectionKey(db, tenant, id));
    Query job(db, "SELECT id FROM jobs WHERE state IN (1, 2) AND tenant = ? AND collection = ? LIMIT 1", tenant, id);
    if (job.Next()) {
      return absl::FailedPreconditionError(
          Concat(CollectionName(id), ": ", JobName(job.Text()), ", which is not finished, uses it"));
    }
    Query(db, "DELETE FROM collections WHERE key = ?", key).Run();
    return absl::OkStatus();
  });
}

}  // namespace tandem
