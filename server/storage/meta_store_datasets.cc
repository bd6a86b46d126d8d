// Datasets and their examples.

#include "server/storage/meta_store_rep.h"
#include "server/storage/stream_log.h"

namespace tandem {

namespace {

// How many examples of a deleted dataset one transaction frees, so that other calls get their turn.
constexpr int kDropPage = 2000;

constexpr char kSelectDataset[] = "SELECT tenant, id, display_name, create_us, head FROM datasets ";

DatasetRecord ReadDataset(Query& row) {
  DatasetRecord dataset;
  dataset.tenant = row.Text();
  dataset.id = row.Text();
  dataset.display_name = row.Text();
  dataset.create_time = row.Time();
  dataset.commit = row.Int();
  dataset.example_count = dataset.commit;
  return dataset;
}

absl::StatusOr<Example> ReadExample(Query& row) {
  Example example;
  example.kind = static_cast<ExampleKind>(row.Int());
  example.score = static_cast<float>(row.Real());
  example.similar = row.Bool();
  example.label = row.Text();
  example.anchor = row.Text();
  ASSIGN_OR_RETURN(example.positives, UnpackTexts(row.Blob()));
  ASSIGN_OR_RETURN(example.negatives, UnpackTexts(row.Blob()));
  return example;
}

int64_t TextBytes(const Example& example) {
  size_t bytes = example.anchor.size();
  for (const auto* texts : {&example.positives, &example.negatives}) {
    for (const std::string& text : *texts) bytes += text.size();
  }
  return static_cast<int64_t>(bytes);
}

void InsertDataset(Database& db, std::string_view tenant, std::string_view id, std::string_view display_name,
                   absl::Time create_time) {
  Query(db, "INSERT INTO datasets (tenant, id, display_name, create_us, head) VALUES (?, ?, ?, ?, 0)", tenant, id,
        display_name, create_time)
      .Run();
}

void InsertExample(Database& db, int64_t key, int64_t commit, const Example& example) {
  const std::string positives = PackTexts(example.positives), negatives = PackTexts(example.negatives);
  Query(db,
        "INSERT INTO examples (dataset, commit_id, kind, score, similar, label, anchor, positives, negatives) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        key, commit, example.kind, double{example.score}, example.similar, example.label, example.anchor,
        AsBlob(positives), AsBlob(negatives))
      .Run();
}

absl::StatusOr<std::optional<int64_t>> DeletedOwner(Database& db) {
  // Hops from dataset to dataset through the primary key, so it reads one row for each, not one for each example.
  Query row(db,
            "WITH RECURSIVE owner (key) AS (SELECT min(dataset) FROM examples UNION ALL"
            "  SELECT (SELECT min(dataset) FROM examples WHERE dataset > owner.key) FROM owner"
            "  WHERE owner.key IS NOT NULL) "
            "SELECT key FROM owner WHERE key IS NOT NULL AND key NOT IN (SELECT key FROM datasets) LIMIT 1");
  if (!row.Next()) return std::nullopt;
  return row.Int();
}

}  // namespace

absl::StatusOr<int64_t> DatasetKey(Database& db, std::string_view tenant, std::string_view id) {
  Query row(db, "SELECT key FROM datasets WHERE tenant = ? AND id = ?", tenant, id);
  if (!row.Next()) return NotFound(DatasetName(id));
  return row.Int();
}

absl::StatusOr<int64_t> EnsureDataset(Database& db, std::string_view tenant, std::string_view id) {
  const absl::StatusOr<int64_t> key = DatasetKey(db, tenant, id);
  if (!absl::IsNotFound(key.status())) return key;
  InsertDataset(db, tenant, id, /*display_name=*/"", absl::Now());
  return db.LastRowId();
}

int64_t InsertExamples(Database& db, int64_t dataset_key, const std::vector<Example>& examples) {
  int64_t head = 0;
  {
    Query row(db, "SELECT head FROM datasets WHERE key = ?", dataset_key);
    if (row.Next()) head = row.Int();
  }
  for (const Example& example : examples) InsertExample(db, dataset_key, ++head, example);
  Query(db, "UPDATE datasets SET head = ? WHERE key = ?", head, dataset_key).Run();
  return head;
}

absl::Status DropDeletedExamples(Database& database) {
  for (bool more = true; more;) {
    RETURN_IF_ERROR(database.Write([&](Database& db) -> absl::Status {
      ASSIGN_OR_RETURN(const std::optional<int64_t> key, DeletedOwner(db));
      more = key.has_value();
      if (!more) return absl::OkStatus();
      Query(db,
            "DELETE FROM examples WHERE dataset = ?1 AND commit_id < "
            "(SELECT min(commit_id) FROM examples WHERE dataset = ?1) + ?2",
            *key, kDropPage)
          .Run();
      return absl::OkStatus();
    }));
  }
  return absl::OkStatus();
}

absl::StatusOr<DatasetRecord> MetaStore::CreateDataset(std::string_view tenant, std::string_view id,
                                                       std::string_view display_name, const Request* request) {
  return rep_->db->Write([&](Database& db) -> absl::StatusOr<DatasetRecord> {
    RETURN_IF_ERROR(ReserveAnswer(db, request));
    if (DatasetKey(db, tenant, id).ok()) return AlreadyExists(DatasetName(id));
    DatasetRecord dataset;
    dataset.tenant = tenant;
    dataset.id = id;
    dataset.display_name = display_name;
    dataset.create_time = absl::FromUnixMicros(absl::ToUnixMicros(absl::Now()));
    InsertDataset(db, tenant, id, display_name, dataset.create_time);
    return dataset;
  });
}

absl::StatusOr<DatasetRecord> MetaStore::GetDataset(std::string_view tenant, std::string_view id) {
  return rep_->db->Read([&](Database& db) -> absl::StatusOr<DatasetRecord> {
    Query row(db, Concat(kSelectDataset, "WHERE tenant = ? AND id = ?"), tenant, id);
    if (!row.Next()) return NotFound(DatasetName(id));
    return ReadDataset(row);
  });
}

absl::StatusOr<std::vector<DatasetRecord>> MetaStore::ListDatasets(std::string_view tenant, const Page& page) {
  return rep_->db->Read([&](Database& db) -> absl::StatusOr<std::vector<DatasetRecord>> {
    std::vector<DatasetRecord> datasets;
    Query row(db, Concat(kSelectDataset, "WHERE tenant = ? AND id > ? ORDER BY id LIMIT ?"), tenant, page.after,
              page.size);
    while (row.Next()) datasets.push_back(ReadDataset(row));
    return datasets;
  });
}

absl::Status MetaStore::DeleteDataset(std::string_view tenant, std::string_view id) {
  RETURN_IF_ERROR(rep_->db->Write([&](Database& db) -> absl::Status {
    ASSIGN_OR_RETURN(const int64_t key, DatasetKey(db, tenant, id));
    Query job(db,
              "SELECT id FROM jobs WHERE state IN (1, 2) AND tenant = ?1 AND"
              " (dataset = ?2 OR target_dataset = ?2 OR ?2 IN (SELECT value FROM json_each(datasets))) LIMIT 1",
              tenant, id);
    if (job.Next()) {
      return absl::FailedPreconditionError(
          Concat(DatasetName(id), ": ", JobName(job.Text()), ", which is not finished, uses it"));
    }
    DropStreams(db, key);
    Query(db, "DELETE FROM datasets WHERE key = ?", key).Run();
    return absl::OkStatus();
  }));
  // The dataset is gone; what is left to free after a crash is freed by Open.
  return DropDeletedExamples(*rep_->db);
}

absl::StatusOr<AppendResult> MetaStore::AppendExamples(std::string_view tenant, std::string_view dataset,
                                                       const StreamMessage& message,
                                                       const std::vector<Example>& examples,
                                                       std::string_view errors_json) {
  return rep_->db->Write([&](Database& db) -> absl::StatusOr<AppendResult> {
    ASSIGN_OR_RETURN(const int64_t key, DatasetKey(db, tenant, dataset));
    ASSIGN_OR_RETURN(std::optional<StreamResult> stored, FindStreamResult(db, key, message));
    if (stored) return AppendResult{stored->commit, stored->accepted, std::move(stored->errors_json), true};
    const int64_t head = InsertExamples(db, key, examples);
    StreamResult result{head, static_cast<int>(examples.size()), std::string(errors_json)};
    StoreStreamResult(db, key, message, result);
    return AppendResult{result.commit, result.accepted, std::move(result.errors_json), false};
  });
}

absl::StatusOr<std::vector<StoredExample>> MetaStore::ReadExamples(std::string_view tenant, std::string_view dataset,
                                                                   int64_t after, int64_t up_to, int limit,
                                                                   int64_t max_bytes) {
  return rep_->db->Read([&](Database& db) -> absl::StatusOr<std::vector<StoredExample>> {
    ASSIGN_OR_RETURN(const int64_t key, DatasetKey(db, tenant, dataset));
    std::vector<StoredExample> examples;
    Query row(db,
              "SELECT commit_id, kind, score, similar, label, anchor, positives, negatives FROM examples "
              "WHERE dataset = ? AND commit_id > ? AND commit_id <= ? ORDER BY commit_id LIMIT ?",
              key, after, up_to, limit);
    for (int64_t bytes = 0; bytes <= max_bytes && row.Next(); bytes += TextBytes(examples.back().example)) {
      StoredExample& stored = examples.emplace_back();
      stored.commit = row.Int();
      ASSIGN_OR_RETURN(stored.example, ReadExample(row));
    }
    return examples;
  });
}

}  // namespace tandem
