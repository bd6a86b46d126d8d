#pragma once
// One function a request message: OK, or InvalidField with the proto path of the first field at fault
// ("documents[3].id", "options.batch_size"). What needs no look at stored things is checked here, before any work; the
// limits are in limits.h.

#include "absl/status/status.h"

namespace tandem::v1 {
class CreateDatasetRequest;
class GetDatasetRequest;
class ListDatasetsRequest;
class DeleteDatasetRequest;
class AppendExamplesRequest;
class ListExamplesRequest;
class AnalyzeDatasetRequest;
class TrainRequest;
class MineNegativesRequest;
class GetJobRequest;
class ListJobsRequest;
class CancelJobRequest;
class DeleteJobRequest;
class WatchJobRequest;
class ImportModelRequest;
class ExportModelRequest;
class GetModelRequest;
class ListModelsRequest;
class DeleteModelRequest;
class GetModelRevisionRequest;
class ListModelRevisionsRequest;
class DeleteModelRevisionRequest;
class EmbedRequest;
class TokenizeRequest;
class CreateCollectionRequest;
class GetCollectionRequest;
class ListCollectionsRequest;
class UpdateCollectionRequest;
class DeleteCollectionRequest;
class UpsertDocumentsRequest;
class ImportDocumentsRequest;
class GetDocumentRequest;
class ListDocumentsRequest;
class CountDocumentsRequest;
class DeleteDocumentsRequest;
class UpdatePayloadsRequest;
class CreateEvaluationSetRequest;
class GetEvaluationSetRequest;
class ListEvaluationSetsRequest;
class DeleteEvaluationSetRequest;
class CreateReleaseRequest;
class GetReleaseRequest;
class ListReleasesRequest;
class CancelReleaseRequest;
class DeleteReleaseRequest;
class WatchReleaseRequest;
class PromoteReleaseRequest;
class CompareReleasesRequest;
class ExportIndexRequest;
class SearchRequest;
class BatchSearchRequest;
class SendFeedbackRequest;
class FeedbackPolicy;
class CreateSnapshotRequest;
class RestoreSnapshotRequest;
class ListSnapshotsRequest;
class DeleteSnapshotRequest;
class DownloadSnapshotRequest;
class GetServerInfoRequest;
class CreateApiKeyRequest;
class ListApiKeysRequest;
class DeleteApiKeyRequest;
class Document;
class Example;
}  // namespace tandem::v1

namespace tandem {

// dataset.proto
absl::Status Validate(const v1::CreateDatasetRequest& request);
absl::Status Validate(const v1::GetDatasetRequest& request);
absl::Status Validate(const v1::ListDatasetsRequest& request);
absl::Status Validate(const v1::DeleteDatasetRequest& request);
absl::Status Validate(const v1::AppendExamplesRequest& request, bool first);  // Of its stream.
absl::Status Validate(const v1::ListExamplesRequest& request);
absl::Status Validate(const v1::AnalyzeDatasetRequest& request);

// training.proto
absl::Status Validate(const v1::TrainRequest& request);
// A status of the rooms below, which say "loss.…" and "dataset" where there is one objective, for a request that lists
// its one objective.
absl::Status InObjective(const v1::TrainRequest& request, const absl::Status& status);
absl::Status Validate(const v1::MineNegativesRequest& request);

// job.proto
absl::Status Validate(const v1::GetJobRequest& request);
absl::Status Validate(const v1::ListJobsRequest& request);
absl::Status Validate(const v1::CancelJobRequest& request);
absl::Status Validate(const v1::DeleteJobRequest& request);
absl::Status Validate(const v1::WatchJobRequest& request);

// model.proto
absl::Status Validate(const v1::ImportModelRequest& request, bool first);  // Of its stream.
absl::Status Validate(const v1::ExportModelRequest& request);
absl::Status Validate(const v1::GetModelRequest& request);
absl::Status Validate(const v1::ListModelsRequest& request);
absl::Status Validate(const v1::DeleteModelRequest& request);
absl::Status Validate(const v1::GetModelRevisionRequest& request);
absl::Status Validate(const v1::ListModelRevisionsRequest& request);
absl::Status Validate(const v1::DeleteModelRevisionRequest& request);

// embedding.proto
absl::Status Validate(const v1::EmbedRequest& request);
absl::Status Validate(const v1::TokenizeRequest& request);

// collection.proto
absl::Status Validate(const v1::CreateCollectionRequest& request);
absl::Status Validate(const v1::GetCollectionRequest& request);
absl::Status Validate(const v1::ListCollectionsRequest& request);
absl::Status Validate(const v1::UpdateCollectionRequest& request);
absl::Status Validate(const v1::DeleteCollectionRequest& request);
absl::Status Validate(const v1::UpsertDocumentsRequest& request);
absl::Status Validate(const v1::ImportDocumentsRequest& request, bool first);  // Of its stream.
absl::Status Validate(const v1::GetDocumentRequest& request);
absl::Status Validate(const v1::ListDocumentsRequest& request);
absl::Status Validate(const v1::CountDocumentsRequest& request);
absl::Status Validate(const v1::DeleteDocumentsRequest& request);
absl::Status Validate(const v1::UpdatePayloadsRequest& request);
absl::Status Validate(const v1::CreateEvaluationSetRequest& request);
absl::Status Validate(const v1::GetEvaluationSetRequest& request);
absl::Status Validate(const v1::ListEvaluationSetsRequest& request);
absl::Status Validate(const v1::DeleteEvaluationSetRequest& request);

// What a gate's floor of nDCG@10 says in an EXTERNAL collection.
absl::Status NoNdcgOfExternal();

// release.proto
absl::Status Validate(const v1::CreateReleaseRequest& request);
absl::Status Validate(const v1::GetReleaseRequest& request);
absl::Status Validate(const v1::ListReleasesRequest& request);
absl::Status Validate(const v1::CancelReleaseRequest& request);
absl::Status Validate(const v1::DeleteReleaseRequest& request);
absl::Status Validate(const v1::WatchReleaseRequest& request);
absl::Status Validate(const v1::PromoteReleaseRequest& request);
absl::Status Validate(const v1::CompareReleasesRequest& request);
absl::Status Validate(const v1::ExportIndexRequest& request);

// search.proto
absl::Status Validate(const v1::SearchRequest& request);
absl::Status Validate(const v1::BatchSearchRequest& request);
absl::Status Validate(const v1::SendFeedbackRequest& request);

// snapshot.proto
absl::Status Validate(const v1::CreateSnapshotRequest& request);
absl::Status Validate(const v1::RestoreSnapshotRequest& request);
absl::Status Validate(const v1::ListSnapshotsRequest& request);
absl::Status Validate(const v1::DeleteSnapshotRequest& request);
absl::Status Validate(const v1::DownloadSnapshotRequest& request);

// admin.proto
absl::Status Validate(const v1::GetServerInfoRequest& request);
absl::Status Validate(const v1::CreateApiKeyRequest& request);
absl::Status Validate(const v1::ListApiKeysRequest& request);
absl::Status Validate(const v1::DeleteApiKeyRequest& request);

// Part of UpdateCollectionRequest; the paths begin inside it ("training.options.epochs").
absl::Status Validate(const v1::FeedbackPolicy& policy);

// Elements of streams, refused one by one; the paths begin inside the element ("pair.anchor").
absl::Status Validate(const v1::Document& document);
absl::Status Validate(const v1::Example& example);

}  // namespace tandem
