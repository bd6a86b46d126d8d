#pragma once
// Training data. Names may be short ("pairs") or full ("datasets/pairs"). Thread-safe.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/connection.h"
#include "client/progress.h"
#include "tandem/v1/dataset.grpc.pb.h"

namespace tandem {

class Datasets {
 public:
  explicit Datasets(std::shared_ptr<const Connection> connection);

  absl::StatusOr<v1::Dataset> Create(v1::CreateDatasetRequest request) const;
  absl::StatusOr<v1::Dataset> Get(absl::string_view dataset) const;
  absl::StatusOr<std::vector<v1::Dataset>> List() const;
  absl::Status Delete(absl::string_view dataset) const;

  // Adds all of `examples`, over as many streams as it takes; see progress.h.
  absl::StatusOr<UploadProgress> Append(absl::string_view dataset, const ItemSource<v1::Example>& examples,
                                        const UploadOptions& options = {}, const UploadCallbacks& callbacks = {}) const;

  // The first `limit` stored examples, 0 for all.
  absl::StatusOr<std::vector<v1::ListExamplesResponse::Item>> Examples(absl::string_view dataset, size_t limit) const;
  // Gives `visit` the stored examples one by one, a page in memory at a time, until it returns false.
  absl::Status VisitExamples(absl::string_view dataset,
                             const std::function<bool(const v1::ListExamplesResponse::Item&)>& visit) const;

  // Starts a job that looks for what is wrong with a dataset; names in the request may be short. Watch it to its end:
  // its result is in Job.analysis.
  absl::StatusOr<v1::Job> Analyze(v1::AnalyzeDatasetRequest request) const;

 private:
  std::shared_ptr<const Connection> connection_;
  std::shared_ptr<v1::DatasetService::Stub> stub_;
};

}  // namespace tandem
