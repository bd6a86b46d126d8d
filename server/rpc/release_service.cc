#include "server/rpc/release_service.h"

#include <fstream>
#include <optional>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "server/base/ids.h"
#include "server/base/strings.h"
#include "server/jobs/comparison_job.h"
#include "server/release/release_directory.h"
#include "server/rpc/convert.h"
#include "server/rpc/idempotency.h"
#include "server/rpc/limits.h"
#include "server/rpc/model_names.h"
#include "server/rpc/paging.h"
#include "server/rpc/submit_job.h"

namespace tandem {
namespace {

constexpr absl::Duration kWatchHeartbeat = absl::Seconds(5);

template <class Request>
std::optional<int64_t> Etag(const Request& request) {
  int64_t etag = 0;
  return absl::SimpleAtoi(request.etag(), &etag) ? std::optional<int64_t>(etag) : std::nullopt;
}

}  // namespace

ReleaseService::ReleaseService(const Rooms& rooms) : RpcService("ReleaseService", rooms.pool), rooms_(rooms) {
  Unary("CreateRelease", &ReleaseService::CreateRelease);
  Unary("GetRelease", &ReleaseService::GetRelease);
  Unary("ListReleases", &ReleaseService::ListReleases);
  Unary("CancelRelease", &ReleaseService::CancelRelease);
  Unary("DeleteRelease", &ReleaseService::DeleteRelease);
  ServerStream("WatchRelease", &ReleaseService::WatchRelease);
  Unary("PromoteRelease", &ReleaseService::PromoteRelease, Pace::kSlow);
  Unary("CompareReleases", &ReleaseService::CompareReleases);
  ServerStream("ExportIndex", &ReleaseService::ExportIndex);
}

// A retired release has no follower and so no progress.
void ReleaseService::Fill(const ReleaseRecord& record, v1::Release* out) {
  const auto progress = rooms_.collections->Progress(record.tenant, record.collection, record.id);
  ToProto(record, progress.ok() ? *progress : BuildProgress{}, out);
}

absl::StatusOr<ReleaseRecord> ReleaseService::Find(const Call& call, const std::string& name) {
  ASSIGN_OR_RETURN(const ReleaseName parsed, ParseRelease("name", name));
  return rooms_.meta->GetRelease(call.tenant, parsed.collection, parsed.release);
}

absl::Status ReleaseService::CreateRelease(const Call& call, const v1::CreateReleaseRequest& request,
                                           v1::Release* response) {
  Idempotency idempotency(call, "CreateRelease", request);
  ASSIGN_OR_RETURN(const auto answer, idempotency.Find(rooms_.meta));
  ReleaseRecord record{.tenant = call.tenant, .create_time = absl::Now(), .index = FromProto(request.index())};
  if (answer) {
    ASSIGN_OR_RETURN(record, Find(call, *answer));
  } else {
    ASSIGN_OR_RETURN(record.collection, ParseCollection("collection", request.collection()));
    RETURN_IF_ERROR(rooms_.meta->GetCollection(call.tenant, record.collection).status());
    RevisionName name;  // Stays empty in an EXTERNAL collection.
    if (!request.model_revision().empty()) {
      ASSIGN_OR_RETURN(name, ResolveRevision(rooms_.meta, call.tenant, "model_revision", request.model_revision()));
    }
    record.id = request.release_id().empty() ? NewId() : request.release_id();
    record.model = std::move(name.model);
    record.revision = std::move(name.revision);
    auto made =
        rooms_.collections->CreateRelease(record, idempotency.Answer(ReleaseNameOf(record.collection, record.id)));
    if (!made.ok()) {
      ASSIGN_OR_RETURN(const std::string first, idempotency.FindAfter(made.status(), rooms_.meta));
      made = Find(call, first);
    }
    ASSIGN_OR_RETURN(record, std::move(made));
  }
  Fill(record, response);
  return absl::OkStatus();
}

absl::Status ReleaseService::GetRelease(const Call& call, const v1::GetReleaseRequest& request, v1::Release* response) {
  ASSIGN_OR_RETURN(const ReleaseRecord record, Find(call, request.name()));
  Fill(record, response);
  return absl::OkStatus();
}

absl::Status ReleaseService::ListReleases(const Call& call, const v1::ListReleasesRequest& request,
                                          v1::ListReleasesResponse* response) {
  ASSIGN_OR_RETURN(const std::string collection, ParseCollection("collection", request.collection()));
  const std::string list = Concat(request.collection(), "/releases");
  ASSIGN_OR_RETURN(Page page, ParsePage(list, request.page_size(), request.page_token()));
  const int size = page.size++;
  RETURN_IF_ERROR(rooms_.meta->GetCollection(call.tenant, collection).status());
  ASSIGN_OR_RETURN(const auto records, rooms_.meta->ListReleases(call.tenant, collection, page));
  response->set_next_page_token(FillPage(
      list, size, records, response->mutable_releases(),
      [&](const ReleaseRecord& record, v1::Release* out) { Fill(record, out); },
      [](const ReleaseRecord& record) { return record.id; }));
  return absl::OkStatus();
}

absl::Status ReleaseService::CancelRelease(const Call& call, const v1::CancelReleaseRequest& request,
                                           v1::Release* response) {
  ASSIGN_OR_RETURN(const ReleaseName name, ParseRelease("name", request.name()));
  ASSIGN_OR_RETURN(const ReleaseRecord record,
                   rooms_.collections->CancelRelease(call.tenant, name.collection, name.release));
  Fill(record, response);
  return absl::OkStatus();
}

absl::Status ReleaseService::DeleteRelease(const Call& call, const v1::DeleteReleaseRequest& request,
                                           google::protobuf::Empty*) {
  ASSIGN_OR_RETURN(const ReleaseName name, ParseRelease("name", request.name()));
  return rooms_.collections->DeleteRelease(call.tenant, name.collection, name.release);
}

absl::Status ReleaseService::WatchRelease(const Call& call, const v1::WatchReleaseRequest& request,
                                          MessageStream* stream) {
  ASSIGN_OR_RETURN(const ReleaseName name, ParseRelease("name", request.name()));
  for (int64_t version = 0; !call.gone();) {
    // The version is taken before the record is read, so that no change falls between the two.
    ASSIGN_OR_RETURN(version, rooms_.collections->WaitForChange(call.tenant, name.collection, version,
                                                                version == 0 ? absl::ZeroDuration() : kWatchHeartbeat));
    ASSIGN_OR_RETURN(const BuildProgress progress,
                     rooms_.collections->Progress(call.tenant, name.collection, name.release));
    ASSIGN_OR_RETURN(const ReleaseRecord record, Find(call, request.name()));
    v1::Release message;
    ToProto(record, progress, &message);
    if (!stream->Write(message) || !progress.under_way) return absl::OkStatus();
  }
  return absl::UnavailableError("the server is shutting down: watch again");
}

absl::Status ReleaseService::PromoteRelease(const Call& call, const v1::PromoteReleaseRequest& request,
                                            v1::PromoteReleaseResponse* response) {
  ASSIGN_OR_RETURN(const ReleaseName name, ParseRelease("name", request.name()));
  Idempotency idempotency(call, "PromoteRelease", request);
  ASSIGN_OR_RETURN(const auto answer, idempotency.Find(rooms_.meta));
  if (answer) return FillRepeated(call, *answer, response);
  const auto result = rooms_.collections->Promote(call.tenant, name.collection, name.release, Etag(request),
                                                  {.reason = request.override_reason(), .by = call.caller},
                                                  {call.deadline, call.gone}, idempotency.Answer(request.name()));
  if (!result.ok()) {
    ASSIGN_OR_RETURN(const std::string first, idempotency.FindAfter(result.status(), rooms_.meta));
    return FillRepeated(call, first, response);
  }
  Fill(result->release, response->mutable_release());
  if (result->previous) Fill(*result->previous, response->mutable_previous());
  if (result->gate) ToProto(name.collection, *result->gate, response->mutable_gate());
  return absl::OkStatus();
}

// The answer to a repeated promotion: the releases as they are now. What the gate said then may not be what it said
// last.
absl::Status ReleaseService::FillRepeated(const Call& call, const std::string& name,
                                          v1::PromoteReleaseResponse* response) {
  ASSIGN_OR_RETURN(const ReleaseRecord release, Find(call, name));
  Fill(release, response->mutable_release());
  ASSIGN_OR_RETURN(const CollectionRecord collection, rooms_.meta->GetCollection(call.tenant, release.collection));
  if (!collection.previous_release.empty()) {
    ASSIGN_OR_RETURN(const ReleaseRecord previous,
                     rooms_.meta->GetRelease(call.tenant, release.collection, collection.previous_release));
    Fill(previous, response->mutable_previous());
  }
  return absl::OkStatus();
}

absl::Status ReleaseService::CompareReleases(const Call& call, const v1::CompareReleasesRequest& request,
                                             v1::Job* response) {
  const auto submit = [&](const MetaStore::Request* answer) -> absl::StatusOr<JobRecord> {
    ASSIGN_OR_RETURN(const ReleaseName first, ParseRelease("first", request.first()));
    ASSIGN_OR_RETURN(const ReleaseName second, ParseRelease("second", request.second()));
    ComparisonRequest wanted{.tenant = call.tenant,
                             .collection = first.collection,
                             .first = first.release,
                             .second = second.release,
                             .queries = {request.queries().begin(), request.queries().end()}};
    if (request.has_top_k()) wanted.top_k = request.top_k();
    if (!request.evaluation_set().empty()) {
      ASSIGN_OR_RETURN(const EvaluationSetName set, ParseEvaluationSet("evaluation_set", request.evaluation_set()));
      wanted.evaluation_set = set.evaluation_set;
    }
    ASSIGN_OR_RETURN(const ComparisonPlan plan, PlanComparison(wanted, rooms_.meta, rooms_.collections));
    return rooms_.jobs->Submit(plan.job, answer, plan.input);
  };
  return SubmitJob(call, "CompareReleases", request, rooms_.meta, submit, response);
}

absl::Status ReleaseService::ExportIndex(const Call& call, const v1::ExportIndexRequest& request,
                                         MessageStream* stream) {
  ASSIGN_OR_RETURN(const ReleaseRecord record, Find(call, request.name()));
  const ReleaseDirectory directory(CollectionDirectory(rooms_.data_directory, call.tenant, record.collection),
                                   record.id);
  ASSIGN_OR_RETURN(const auto documents, rooms_.collections->Documents(call.tenant, record.collection));
  const DocumentStore::Pin pin = documents->PinVersions();  // Of those that the labels name.
  ASSIGN_OR_RETURN(const std::vector<int64_t> commits, directory.SealedCommits());
  if (commits.empty()) {
    return absl::FailedPreconditionError(
        Concat(request.name(), " has no sealed index yet: export it once it is READY"));
  }
  // Both are opened before the first byte is sent: a newer seal may remove the directory, not open files.
  std::ifstream index(directory.SealedPath(commits[0]) / "index.faiss", std::ios::binary);
  std::ifstream labels(directory.SealedPath(commits[0]) / "labels.i64", std::ios::binary);
  if (!index || !labels) {
    return absl::AbortedError(Concat(request.name(), ": its index was replaced just now: export it again"));
  }
  RETURN_IF_ERROR(SendIndex(index, stream));
  return SendIds(labels, *documents, stream);
}

absl::Status ReleaseService::SendIndex(std::ifstream& file, MessageStream* stream) {
  v1::ExportIndexResponse message;
  message.set_path("index.faiss");
  std::string buffer(kMaxChunkBytes, '\0');
  while (file.read(buffer.data(), kMaxChunkBytes), file.gcount() > 0) {
    message.set_data(buffer.data(), static_cast<size_t>(file.gcount()));
    if (!stream->Write(message)) return absl::CancelledError("the client has gone");
  }
  return file.bad() ? absl::DataLossError("index.faiss cannot be read") : absl::OkStatus();
}

// One id a line, in the order of the index's rows.
absl::Status ReleaseService::SendIds(std::ifstream& labels, DocumentStore& documents, MessageStream* stream) {
  constexpr size_t kBatch = 2048;  // Ids have at most 256 bytes, so a batch is below kMaxChunkBytes.
  v1::ExportIndexResponse message;
  message.set_path("ids.txt");
  std::vector<int64_t> batch(kBatch);
  while (labels.read(reinterpret_cast<char*>(batch.data()), kBatch * sizeof(int64_t)), labels.gcount() > 0) {
    const std::span<const int64_t> commits(batch.data(), static_cast<size_t>(labels.gcount()) / sizeof(int64_t));
    ASSIGN_OR_RETURN(const auto versions, documents.ReadVersions(commits, /*with_text=*/false));
    message.clear_data();
    for (const DocumentVersion& version : versions) message.mutable_data()->append(version.id + "\n");
    if (!stream->Write(message)) return absl::CancelledError("the client has gone");
  }
  return labels.bad() ? absl::DataLossError("labels.i64 cannot be read") : absl::OkStatus();
}

}  // namespace tandem
