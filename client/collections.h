#pragma once
// Collections, their documents and evaluation sets. Names may be short ("docs", "docs/heldout") or full
// ("collections/docs", "collections/docs/evaluationSets/heldout"). Thread-safe.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/connection.h"
#include "client/progress.h"
#include "tandem/v1/collection.grpc.pb.h"

namespace tandem {

class Collections {
 public:
  explicit Collections(std::shared_ptr<const Connection> connection);

  absl::StatusOr<v1::Collection> Create(v1::CreateCollectionRequest request) const;
  absl::StatusOr<v1::Collection> Get(absl::string_view collection) const;
  absl::StatusOr<std::vector<v1::Collection>> List() const;
  // `request.update_mask` says what changes; ABORTED when `request.etag` is given and stale.
  absl::StatusOr<v1::Collection> Update(v1::UpdateCollectionRequest request) const;
  absl::Status Delete(absl::string_view collection) const;

  // Up to 10,000 documents in one transaction: all or nothing. For more, Import. Returns the commit of the last one.
  // The same `request_id` and documents again store nothing twice; one is made when it is empty.
  absl::StatusOr<int64_t> Upsert(absl::string_view collection, std::vector<v1::Document> documents,
                                 std::string request_id = "") const;
  absl::StatusOr<UploadProgress> Import(absl::string_view collection, const ItemSource<v1::Document>& documents,
                                        const UploadOptions& options = {}, const UploadCallbacks& callbacks = {}) const;
  absl::StatusOr<v1::Document> GetDocument(absl::string_view collection, absl::string_view id) const;
  // The first `limit` documents by id, 0 for all, that `filter` holds for; an empty filter holds for each.
  absl::StatusOr<std::vector<v1::Document>> ListDocuments(absl::string_view collection, size_t limit,
                                                          const v1::Filter& filter = {}) const;
  absl::StatusOr<v1::CountDocumentsResponse> CountDocuments(absl::string_view collection,
                                                            const v1::Filter& filter = {}) const;
  // Any number of ids; the answer counts those that were there.
  absl::StatusOr<v1::DeleteDocumentsResponse> DeleteDocuments(absl::string_view collection,
                                                              const std::vector<std::string>& ids) const;
  // All that `filter`, which must have a condition, holds for: one transaction.
  absl::StatusOr<v1::DeleteDocumentsResponse> DeleteMatching(absl::string_view collection,
                                                             const v1::Filter& filter) const;

  // Up to 10,000 payloads in one transaction; the answer names ids that are no documents. The same request_id and
  // updates again change nothing; one is made when it is empty.
  absl::StatusOr<v1::UpdatePayloadsResponse> UpdatePayloads(v1::UpdatePayloadsRequest request) const;

  absl::StatusOr<v1::EvaluationSet> CreateEvaluationSet(v1::CreateEvaluationSetRequest request) const;
  absl::StatusOr<v1::EvaluationSet> GetEvaluationSet(absl::string_view evaluation_set) const;
  absl::StatusOr<std::vector<v1::EvaluationSet>> ListEvaluationSets(absl::string_view collection) const;
  absl::Status DeleteEvaluationSet(absl::string_view evaluation_set) const;

 private:
  std::shared_ptr<const Connection> connection_;
  std::shared_ptr<v1::CollectionService::Stub> stub_;
};

}  // namespace tandem
