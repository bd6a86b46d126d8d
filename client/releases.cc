#include "client/releases.h"

#include <utility>

#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "client/download.h"
#include "client/names.h"
#include "client/pages.h"

namespace tandem {
namespace {

using Stub = v1::ReleaseService::Stub;

constexpr absl::Duration kStreamLife = absl::Minutes(2);  // See jobs.cc.

}  // namespace

Releases::Releases(std::shared_ptr<const Connection> connection)
    : connection_(std::move(connection)), stub_(v1::ReleaseService::NewStub(connection_->channel())) {}

absl::StatusOr<v1::Release> Releases::Create(v1::CreateReleaseRequest request) const {
  request.set_collection(CollectionName(request.collection()));
  if (!request.model_revision().empty()) request.set_model_revision(ModelOrRevisionName(request.model_revision()));
  return connection_->Call(*stub_, &Stub::CreateRelease, std::move(request));
}

absl::StatusOr<v1::Release> Releases::Get(absl::string_view release) const {
  absl::StatusOr<std::string> name = ReleaseName(release);
  if (!name.ok()) return name.status();
  v1::GetReleaseRequest request;
  request.set_name(*std::move(name));
  return connection_->Call(*stub_, &Stub::GetRelease, request);
}

absl::StatusOr<std::vector<v1::Release>> Releases::List(absl::string_view collection) const {
  v1::ListReleasesRequest request;
  request.set_collection(CollectionName(collection));
  return CollectPages<v1::Release>(
      request, 0,
      [this](const v1::ListReleasesRequest& page) { return connection_->Call(*stub_, &Stub::ListReleases, page); },
      [](v1::ListReleasesResponse* response) { return response->mutable_releases(); });
}

absl::StatusOr<v1::Release> Releases::Cancel(absl::string_view release) const {
  absl::StatusOr<std::string> name = ReleaseName(release);
  if (!name.ok()) return name.status();
  v1::CancelReleaseRequest request;
  request.set_name(*std::move(name));
  return connection_->CallOnce(*stub_, &Stub::CancelRelease, request);
}

absl::Status Releases::Delete(absl::string_view release) const {
  absl::StatusOr<std::string> name = ReleaseName(release);
  if (!name.ok()) return name.status();
  v1::DeleteReleaseRequest request;
  request.set_name(*std::move(name));
  return connection_->CallOnce(*stub_, &Stub::DeleteRelease, request).status();
}

absl::StatusOr<v1::Release> Releases::WatchStream(const std::string& name,
                                                  const std::function<void(const v1::Release&)>& on_change) const {
  v1::WatchReleaseRequest request;
  request.set_name(name);
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + kStreamLife));
  std::unique_ptr<grpc::ClientReader<v1::Release>> stream = stub_->WatchRelease(&context, request);
  v1::Release release;
  while (stream->Read(&release)) {
    if (on_change) on_change(release);
  }
  absl::Status status = FromGrpc(stream->Finish(), connection_->address());
  if (!status.ok()) return status;
  return release;
}

absl::StatusOr<v1::Release> Releases::Watch(absl::string_view release,
                                            const std::function<void(const v1::Release&)>& on_change,
                                            const OnResume& on_resume) const {
  absl::StatusOr<std::string> name = ReleaseName(release);
  if (!name.ok()) return name.status();
  Backoff backoff(connection_->options().retry, connection_->options().retry.stream_patience);
  const auto seen = [&](const v1::Release& change) {
    backoff.Reset();
    if (on_change) on_change(change);
  };
  while (true) {
    absl::StatusOr<v1::Release> last = WatchStream(*name, seen);
    if (last.ok()) {
      if (last->state() != v1::Release::BUILDING && last->state() != v1::Release::STATE_UNSPECIFIED) return last;
      last = absl::UnavailableError("the server ended the stream before the release was built");
    }
    if (absl::IsDeadlineExceeded(last.status())) continue;
    if (IsTransient(last.status()) && on_resume) on_resume(last.status());
    if (!backoff.WaitAfter(last.status())) return last.status();
  }
}

absl::StatusOr<v1::PromoteReleaseResponse> Releases::Promote(v1::PromoteReleaseRequest request,
                                                             absl::Duration deadline) const {
  absl::StatusOr<std::string> name = ReleaseName(request.name());
  if (!name.ok()) return name.status();
  request.set_name(*std::move(name));
  return connection_->Call(*stub_, &Stub::PromoteRelease, std::move(request), deadline);
}

absl::StatusOr<v1::Job> Releases::Compare(v1::CompareReleasesRequest request) const {
  absl::StatusOr<std::string> first = ReleaseName(request.first());
  if (!first.ok()) return first.status();
  absl::StatusOr<std::string> second = ReleaseName(request.second());
  if (!second.ok()) return second.status();
  request.set_first(*std::move(first));
  request.set_second(*std::move(second));
  if (!request.evaluation_set().empty()) {
    absl::StatusOr<std::string> set = EvaluationSetName(request.evaluation_set());
    if (!set.ok()) return set.status();
    request.set_evaluation_set(*std::move(set));
  }
  return connection_->Call(*stub_, &Stub::CompareReleases, std::move(request));
}

absl::Status Releases::ExportIndex(absl::string_view release, const std::string& directory,
                                   const OnTransfer& on_transfer) const {
  absl::StatusOr<std::string> name = ReleaseName(release);
  if (!name.ok()) return name.status();
  v1::ExportIndexRequest request;
  request.set_name(*std::move(name));
  return DownloadDirectory<v1::ExportIndexResponse>(
      *connection_, directory, on_transfer,
      [&](grpc::ClientContext* context) { return stub_->ExportIndex(context, request); },
      [](const v1::ExportIndexResponse& response) {
        return FilePart{.path = response.path(), .data = response.data(), .total_bytes = 0};
      });
}

}  // namespace tandem
