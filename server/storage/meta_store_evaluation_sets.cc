// Evaluation sets of collections.

#include "server/storage/meta_store_rep.h"

namespace tandem {

namespace {

constexpr char kSelectSet[] = "SELECT id, create_us, query_count FROM evaluation_sets ";

EvaluationSetRecord ReadSet(Query& row, std::string_view tenant, std::string_view collection) {
  EvaluationSetRecord set;
  set.tenant = tenant;
  set.collection = collection;
  set.id = row.Text();
  set.create_time = row.Time();
  set.query_count = static_cast<int>(row.Int());
  return set;
}

void InsertQueries(Database& db, int64_t set_key, const std::vector<EvaluationQuery>& queries) {
  for (size_t i = 0; i < queries.size(); ++i) {
    const std::string judgements = PackJudgements(queries[i].judgements);
    Query(db, "INSERT INTO evaluation_queries VALUES (?, ?, ?, ?)", set_key, static_cast<int64_t>(i), queries[i].text,
          AsBlob(judgements))
        .Run();
  }
}

}  // namespace

absl::Status RequireEvaluationSet(Database& db, int64_t collection_key, std::string_view collection,
                                  std::string_view id) {
  Query row(db, "SELECT 1 FROM evaluation_sets WHERE collection = ? AND id = ?", collection_key, id);
  return row.Next() ? absl::OkStatus() : NotFound(EvaluationSetName(collection, id));
}

absl::Status InsertEvaluationSet(Database& db, int64_t collection_key, const EvaluationSetRecord& set,
                                 const std::vector<EvaluationQuery>& queries) {
  if (RequireEvaluationSet(db, collection_key, set.collection, set.id).ok()) {
    return AlreadyExists(EvaluationSetName(set.collection, set.id));
  }
  Query(db, "INSERT INTO evaluation_sets (collection, id, create_us, query_count) VALUES (?, ?, ?, ?)", collection_key,
        set.id, set.create_time, static_cast<int64_t>(queries.size()))
      .Run();
  InsertQueries(db, db.LastRowId(), queries);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<EvaluationQuery>> ReadQueries(Database& db, int64_t collection_key, std::string_view id) {
  std::vector<EvaluationQuery> queries;
  Query row(db,
            "SELECT q.text, q.judgements FROM evaluation_sets s JOIN evaluation_queries q ON q.evaluation_set = s.key "
            "WHERE s.collection = ? AND s.id = ? ORDER BY q.position",
            collection_key, id);
  while (row.Next()) {
    EvaluationQuery& query = queries.emplace_back();
    query.text = row.Text();
    ASSIGN_OR_RETURN(query.judgements, UnpackJudgements(row.Blob()));
  }
  return queries;
}

absl::Status MetaStore::CreateEvaluationSet(const EvaluationSetRecord& set, const std::vector<EvaluationQuery>& queries,
                                            const Request* request) {
  return rep_->db->Write([&](Database& db) -> absl::Status {
    RETURN_IF_ERROR(ReserveAnswer(db, request));
    ASSIGN_OR_RETURN(const int64_t key, CollectionKey(db, set.tenant, set.collection));
    return InsertEvaluationSet(db, key, set, queries);
  });
}

absl::StatusOr<EvaluationSetRecord> MetaStore::GetEvaluationSet(std::string_view tenant, std::string_view collection,
                                                                std::string_view id) {
  return rep_->db->Read([&](Database& db) -> absl::StatusOr<EvaluationSetRecord> {
    ASSIGN_OR_RETURN(const int64_t key, CollectionKey(db, tenant, collection));
    Query row(db, Concat(kSelectSet, "WHERE collection = ? AND id = ?"), key, id);
    if (!row.Next()) return NotFound(EvaluationSetName(collection, id));
    return ReadSet(row, tenant, collection);
  });
}

absl::StatusOr<std::vector<EvaluationQuery>> MetaStore::ReadEvaluationQueries(std::string_view tenant,
                                                                              std::string_view collection,
                                                                              std::string_view id) {
  return rep_->db->Read([&](Database& db) -> absl::StatusOr<std::vector<EvaluationQuery>> {
    ASSIGN_OR_RETURN(const int64_t key, CollectionKey(db, tenant, collection));
    RETURN_IF_ERROR(RequireEvaluationSet(db, key, collection, id));
    return ReadQueries(db, key, id);
  });
}

absl::StatusOr<std::vector<EvaluationSetRecord>> MetaStore::ListEvaluationSets(std::string_view tenant,
                                                                               std::string_view collection,
                                                                               const Page& page) {
  return rep_->db->Read([&](Database& db) -> absl::StatusOr<std::vector<EvaluationSetRecord>> {
    ASSIGN_OR_RETURN(const int64_t key, CollectionKey(db, tenant, collection));
    std::vector<EvaluationSetRecord> sets;
    Query row(db, Concat(kSelectSet, "WHERE collection = ? AND id > ? ORDER BY id LIMIT ?"), key, page.after,
              page.size);
    while (row.Next()) sets.push_back(ReadSet(row, tenant, collection));
    return sets;
  });
}

absl::Status MetaStore::DeleteEvaluationSet(std::string_view tenant, std::string_view collection, std::string_view id) {
  return rep_->db->Write([&](Database& db) -> absl::Status {
    ASSIGN_OR_RETURN(const int64_t key, CollectionKey(db, tenant, collection));
    RETURN_IF_ERROR(RequireEvaluationSet(db, key, collection, id));
    ASSIGN_OR_RETURN(const CollectionRecord owner, ReadCollection(db, tenant, collection));
    if (owner.gate.evaluation_set == id) {
      return absl::FailedPreconditionError(
          Concat(EvaluationSetName(collection, id), ": is what the collection's gate judges by"));
    }
    Query(db, "DELETE FROM evaluation_sets WHERE collection = ? AND id = ?", key, id).Run();
    return absl::OkStatus();
  });
}

}  // namespace tandem
