#pragma once
// Releases: a model revision and an index, as one. Names may be short ("docs/r1") or full
// ("collections/docs/releases/r1"). Thread-safe.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/connection.h"
#include "client/progress.h"
#include "tandem/v1/release.grpc.pb.h"

namespace tandem {

class Releases {
 public:
  explicit Releases(std::shared_ptr<const Connection> connection);

  // Starts to build; collection and model_revision may be short. Watch it become READY.
  absl::StatusOr<v1::Release> Create(v1::CreateReleaseRequest request) const;
  absl::StatusOr<v1::Release> Get(absl::string_view release) const;
  absl::StatusOr<std::vector<v1::Release>> List(absl::string_view collection) const;  // Newest first.
  absl::StatusOr<v1::Release> Cancel(absl::string_view release) const;
  absl::Status Delete(absl::string_view release) const;

  // Gives `on_change` the release now and whenever it changes, until it leaves BUILDING; returns it then, READY or
  // FAILED. Broken streams are resumed.
  absl::StatusOr<v1::Release> Watch(absl::string_view release, const std::function<void(const v1::Release&)>& on_change,
                                    const OnResume& on_resume = {}) const;

  // Makes a release live, waiting up to `deadline` for it to catch up. FAILED_PRECONDITION with the figures when the
  // gate refuses; `request.override_reason` promotes all the same.
  absl::StatusOr<v1::PromoteReleaseResponse> Promote(v1::PromoteReleaseRequest request,
                                                     absl::Duration deadline = absl::Minutes(10)) const;

  // Starts a job that compares two releases of a collection, query by query; names in the request may be short. Its
  // result is in Job.comparison.
  absl::StatusOr<v1::Job> Compare(v1::CompareReleasesRequest request) const;

  // Writes index.faiss and ids.txt into the new directory `directory`.
  absl::Status ExportIndex(absl::string_view release, const std::string& directory,
                           const OnTransfer& on_transfer = {}) const;

 private:
  absl::StatusOr<v1::Release> WatchStream(const std::string& name,
                                          const std::function<void(const v1::Release&)>& on_change) const;

  std::shared_ptr<const Connection> connection_;
  std::shared_ptr<v1::ReleaseService::Stub> stub_;
};

}  // namespace tandem
