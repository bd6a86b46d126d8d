#pragma once
// Models and their revisions. Names may be short ("mini", "mini/r1") or full ("models/mini/revisions/r1"). Thread-safe.

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/connection.h"
#include "client/progress.h"
#include "tandem/v1/model.grpc.pb.h"

namespace tandem {

class Models {
 public:
  explicit Models(std::shared_ptr<const Connection> connection);

  // Uploads a Hugging Face or sentence-transformers directory as a revision of `model_id`; the server makes
  // `revision_id` when it is empty. Hidden files and directories stay here. Sent again from the start when the stream
  // breaks.
  absl::StatusOr<v1::ModelRevision> Import(const std::string& directory, absl::string_view model_id,
                                           absl::string_view revision_id, const OnTransfer& on_transfer = {}) const;
  // The same for a directory that is on the server, below its --model-import-dir.
  absl::StatusOr<v1::ModelRevision> ImportFromServer(absl::string_view directory, absl::string_view model_id,
                                                     absl::string_view revision_id) const;
  // Writes a revision into the new directory `directory`, for SentenceTransformer(directory) to load.
  absl::Status Export(absl::string_view revision, const std::string& directory,
                      const OnTransfer& on_transfer = {}) const;

  absl::StatusOr<v1::Model> Get(absl::string_view model) const;
  absl::StatusOr<std::vector<v1::Model>> List() const;
  absl::Status Delete(absl::string_view model) const;  // With all its revisions.

  // A model's name stands for its newest revision.
  absl::StatusOr<v1::ModelRevision> GetRevision(absl::string_view revision) const;
  absl::StatusOr<std::vector<v1::ModelRevision>> ListRevisions(absl::string_view model) const;  // Newest first.
  absl::Status DeleteRevision(absl::string_view revision) const;

 private:
  std::shared_ptr<const Connection> connection_;
  std::shared_ptr<v1::ModelService::Stub> stub_;
};

}  // namespace tandem
