#pragma once
// Records to messages and back. Requests that come here were validated; messages are filled in place and start out
// empty.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/base/job_directory.h"
#include "server/base/negative_mining.h"
#include "server/base/training_comparison.h"
#include "server/base/validation_metrics.h"
#include "server/jobs/training_jobs.h"
#include "server/release/collections.h"
#include "server/search/searcher.h"
#include "server/snapshot/snapshot_manifest.h"
#include "server/storage/feedback_records.h"
#include "server/storage/filter.h"
#include "server/storage/records.h"

namespace google::protobuf {
class Duration;
class Timestamp;
}  // namespace google::protobuf

namespace tandem::v1 {
class Collection;
class Dataset;
class DatasetAnalysis;
class Document;
class EmbeddingContract;
class Evaluation;
class EvaluationQuery;
class EvaluationSet;
class Example;
class FeedbackPolicy;
class Filter;
class FilterableField;
class ExternalVectors;
class GatePolicy;
class GateReport;
class QueryChange;
class IndexSpec;
class ItemError;
class Job;
class JobEvent;
class Loss;
class MiningResult;
class Model;
class ModelRevision;
class NegativeMining;
class Release;
class ReleaseComparison;
class RetrievalMetrics;
class SearchRequest;
class SearchResponse;
class Snapshot;
class SnapshotResult;
class TrainRequest;
class TrainingComparison;
class TrainingEstimate;
class UpdatePayloadsRequest_Update;
class ValidationMetrics;
}  // namespace tandem::v1

namespace tandem {

// convert.cc: what several services share.
void ToProto(absl::Time time, google::protobuf::Timestamp* out);
void ToProto(absl::Duration duration, google::protobuf::Duration* out);
absl::Duration FromProto(const google::protobuf::Duration& duration);
void ToProto(const RetrievalMetrics& metrics, v1::RetrievalMetrics* out);
void ToProto(const ValidationResult& result, v1::ValidationMetrics* out);
void ToProto(const QueryChange& change, v1::QueryChange* out);
void ToProto(const TrainingComparison& comparison, v1::TrainingComparison* out);
void ToProto(const EmbeddingContract& contract, v1::EmbeddingContract* out);
// Refused elements of a stream message, as they are stored for a repeated message, and back.
nlohmann::json ItemErrorJson(int index, const absl::Status& status);
void FromItemErrorJson(const nlohmann::json& json, v1::ItemError* out);

// convert_training.cc
void ToProto(const DatasetRecord& record, v1::Dataset* out);
void ToProto(const Example& example, v1::Example* out);
Example FromProto(const v1::Example& example);
void ToProto(const JobRecord& record, const JobProgress& progress, v1::Job* out);
void ToProto(const TrainingEstimate& estimate, v1::TrainingEstimate* out);
// An event of server/base/job_directory.h; `last_sequence` is what a heartbeat repeats.
void ToProto(const nlohmann::json& event, int64_t last_sequence, v1::JobEvent* out);

// convert_analysis.cc
// JobRecord.result_json of an analysis. INVALID_ARGUMENT for one that is damaged.
absl::Status ToAnalysis(const std::string& result_json, v1::DatasetAnalysis* out);

// convert_comparison.cc
// The result_json of a comparison. INVALID_ARGUMENT for one that is damaged.
absl::Status ToComparison(const JobRecord& record, v1::ReleaseComparison* out);

// convert_feedback.cc
void ToProto(const FeedbackPolicy& policy, v1::FeedbackPolicy* out);
absl::StatusOr<FeedbackPolicy> FromProto(const v1::FeedbackPolicy& from);  // Without tenant and collection.

// convert_snapshot.cc
void ToProto(const SnapshotManifest& manifest, v1::Snapshot* out);
// The result_json of a snapshot's job. INVALID_ARGUMENT for one that is damaged.
absl::Status ToSnapshot(const JobRecord& record, v1::SnapshotResult* out);

// convert_mining.cc
NegativeMiningOptions FromProto(const v1::NegativeMining& from);
// The result_json of a mining job. INVALID_ARGUMENT for one that is damaged.
absl::Status ToMining(const JobRecord& record, v1::MiningResult* out);

// convert_loss.cc
LossOptions FromProto(const v1::Loss& from);
TrainerOptions ToTrainerOptions(const v1::TrainRequest& request);

// convert_release.cc
void ToProto(const ModelRecord& record, v1::Model* out);
void ToProto(const ModelRevisionRecord& record, v1::ModelRevision* out);
IndexSpec FromProto(const v1::IndexSpec& spec);
void ToProto(const ReleaseRecord& record, const BuildProgress& progress, v1::Release* out);
void ToProto(std::string_view collection, const GateReport& report, v1::GateReport* out);

// convert_collection.cc
void ToProto(const CollectionRecord& record, int64_t commit, int64_t document_count, v1::Collection* out);
GatePolicy FromProto(const v1::GatePolicy& gate);
ExternalVectors FromProto(const v1::ExternalVectors& external);
void ToProto(const DocumentVersion& version, v1::Document* out);
// InvalidField when the payload is too large, and for a text or a vector that does not suit a collection whose clients
// bring `external` vectors, or one (null) whose texts are embedded.
absl::StatusOr<DocumentInput> FromProto(const v1::Document& document, const std::optional<ExternalVectors>& external);
absl::StatusOr<PayloadUpdate> FromProto(const v1::UpdatePayloadsRequest_Update& update);
void ToProto(const EvaluationSetRecord& record, v1::EvaluationSet* out);
EvaluationQuery FromProto(const v1::EvaluationQuery& query);

// convert_filter.cc
FilterableField FromProto(const v1::FilterableField& field);
void ToProto(const FilterableField& field, v1::FilterableField* out);
Filter FromProto(const v1::Filter& filter);

// convert_search.cc
absl::StatusOr<SearchQuery> FromProto(const v1::SearchRequest& request);
// `request` says which parts of the documents hits carry.
void ToProto(std::string_view collection, const SearchAnswers& answers, const SearchAnswer& answer,
             const v1::SearchRequest& request, v1::SearchResponse* out);

}  // namespace tandem
