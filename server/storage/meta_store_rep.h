#pragma once
// What the meta_store_*.cc files share: the connection, names of resources in messages, and the pieces that more than
// one of them reads or writes inside a transaction.

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/storage/database.h"
#include "server/storage/meta_store.h"
#include "server/storage/row_codec.h"

namespace tandem {

struct MetaStore::Rep {
  explicit Rep(std::unique_ptr<Database> database) : db(std::move(database)) {}
  const std::unique_ptr<Database> db;
};

inline std::string DatasetName(std::string_view id) { return Concat("datasets/", id); }
inline std::string ModelName(std::string_view id) { return Concat("models/", id); }
inline std::string RevisionName(std::string_view model, std::string_view id) {
  return Concat("models/", model, "/revisions/", id);
}
inline std::string JobName(std::string_view id) { return Concat("jobs/", id); }
inline std::string CollectionName(std::string_view id) { return Concat("collections/", id); }
inline std::string EvaluationSetName(std::string_view collection, std::string_view id) {
  return Concat("collections/", collection, "/evaluationSets/", id);
}
inline std::string ReleaseName(std::string_view collection, std::string_view id) {
  return Concat("collections/", collection, "/releases/", id);
}

inline absl::Status NotFound(std::string_view name) { return absl::NotFoundError(Concat(name, ": not found")); }
inline absl::Status AlreadyExists(std::string_view name) {
  return absl::AlreadyExistsError(Concat(name, ": exists already"));
}

// Inside a Write, before the change: INVALID_ARGUMENT when the id was used for other content, ABORTED when the same
// call was answered since the caller looked. Null request: OK.
absl::Status ReserveAnswer(Database& db, const MetaStore::Request* request);

// Inside a Write: the key that the rows of a dataset or collection carry. NOT_FOUND.
absl::StatusOr<int64_t> DatasetKey(Database& db, std::string_view tenant, std::string_view id);
// The same, and makes it when it is not there.
absl::StatusOr<int64_t> EnsureDataset(Database& db, std::string_view tenant, std::string_view id);
// Appends; returns the last commit, which is the newest one when there are no examples.
int64_t InsertExamples(Database& db, int64_t dataset_key, const std::vector<Example>& examples);
absl::StatusOr<int64_t> CollectionKey(Database& db, std::string_view tenant, std::string_view id);
// NOT_FOUND when there is no such revision; `name` is "models/m/revisions/r".
absl::Status RequireRevision(Database& db, std::string_view tenant, std::string_view name);
absl::Status RequireEvaluationSet(Database& db, int64_t collection_key, std::string_view collection,
                                  std::string_view id);

absl::Status InsertRevision(Database& db, const ModelRevisionRecord& revision);
absl::StatusOr<ModelRevisionRecord> FindRevision(Database& db, std::string_view tenant, std::string_view model,
                                                 std::string_view id);
// The row alone, as it is: ALREADY_EXISTS when its id is taken, nothing else is checked.
absl::Status InsertCollection(Database& db, const CollectionRecord& collection);
absl::Status InsertEvaluationSet(Database& db, int64_t collection_key, const EvaluationSetRecord& set,
                                 const std::vector<EvaluationQuery>& queries);
absl::StatusOr<std::vector<EvaluationQuery>> ReadQueries(Database& db, int64_t collection_key, std::string_view id);
absl::Status InsertRelease(Database& db, int64_t collection_key, const ReleaseRecord& release);
absl::StatusOr<ReleaseRecord> FindRelease(Database& db, int64_t collection_key, std::string_view tenant,
                                          std::string_view collection, std::string_view id);
// Refuses an illegal step, then replaces the row.
absl::Status ReplaceJob(Database& db, const JobRecord& job);
absl::StatusOr<CollectionRecord> ReadCollection(Database& db, std::string_view tenant, std::string_view id);
// ABORTED when `etag` is set and not the row's.
absl::Status RequireEtag(const CollectionRecord& row, std::optional<int64_t> etag);
// Frees the rows of datasets that are deleted, a page of them at a time.
absl::Status DropDeletedExamples(Database& database);

// The key of the row that a newest-first page follows; INT64_MAX for the first page. `sql` selects the key of one row;
// its last parameter is the id.
template <typename... Values>
absl::StatusOr<int64_t> KeyBefore(Database& db, const Page& page, std::string_view sql, Values&&... values) {
  if (page.after.empty()) return std::numeric_limits<int64_t>::max();
  Query row(db, sql, std::forward<Values>(values)..., page.after);
  if (row.Next()) return row.Int();
  return InvalidField("page_token", Concat("\"", page.after, "\", where the last page ended, is gone"));
}

}  // namespace tandem
