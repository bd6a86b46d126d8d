#pragma once
// The rows of meta.db and documents.db as plain values: what storage gives and takes, and the vocabulary that jobs,
// release, search and rpc share. Every record belongs to a tenant (the namespace of an API key; "default" without
// keys), which is part of every key and never part of a name. Ids are the last segment of a resource name.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "server/base/bootstrap.h"
#include "server/base/calibration.h"
#include "server/base/embedding_contract.h"
#include "server/base/query_changes.h"
#include "server/base/retrieval_metrics.h"
#include "server/base/training_comparison.h"
#include "server/base/validation_metrics.h"

namespace tandem {

// Where a message stands in an import stream, and what it holds. The same place may come again with the same content
// only. An empty stream id has no memory.
struct StreamMessage {
  std::string stream_id = "";
  int64_t sequence = 0;          // From 1.
  std::string fingerprint = "";  // Equal exactly when the content is.
};

// A list call's window: rows strictly after `after` (empty: from the start) in the order that the call states.
struct Page {
  int size = 50;
  std::string after;
};

struct DatasetRecord {
  std::string tenant, id, display_name;
  absl::Time create_time;
  int64_t commit = 0;
  int64_t example_count = 0;
};

// One training example; the kinds of proto Example, with the values of ExampleForm (server/base/loss_options.h). They
// reach disk: do not change.
enum class ExampleKind { kPair = 1, kScoredPair = 2, kLabelledPair = 3, kLabelledText = 4, kText = 5 };

struct Example {
  ExampleKind kind = ExampleKind::kPair;
  std::string anchor;                  // The first text, of any kind.
  std::vector<std::string> positives;  // kPair: 1..64. kScoredPair and kLabelledPair: the second text.
  std::vector<std::string> negatives;  // kPair only.
  float score = 0;                     // kScoredPair.
  bool similar = false;                // kLabelledPair.
  std::string label;                   // kLabelledText.
};

// Bytes of the texts of an example.
inline constexpr int64_t kMostExampleBytes = 3 << 20;

struct StoredExample {
  int64_t commit = 0;
  Example example;
};

struct ModelRecord {
  std::string tenant, id;
  absl::Time create_time;
  std::string newest_revision;  // Revision id; empty while there is none.
  int revision_count = 0;
};

// A dataset as far as it was trained on.
struct DatasetCommit {
  std::string dataset;  // Id.
  int64_t commit = 0;

  bool operator==(const DatasetCommit&) const = default;
};

// The files lie in <data>/models/<tenant>/<model>/<id>/.
struct ModelRevisionRecord {
  std::string tenant, model, id;
  absl::Time create_time;
  std::string architecture;
  int64_t parameters = 0;
  EmbeddingContract contract;
  std::string parent;   // "models/m/revisions/r" or empty.
  std::string dataset;  // Dataset id or empty; of the first objective.
  int64_t dataset_commit = 0;
  std::vector<DatasetCommit> sources;  // Of all objectives, where there were several.
  std::string job;                     // Job id or empty.
  std::string options_json;
  std::optional<ValidationResult> validation;
  std::optional<TrainingComparison> comparison;  // Of a training with validation; without texts.
  std::string sha256;
};

// Values reach disk: do not change. Legal transitions: kQueued -> kRunning -> {kSucceeded, kFailed, kCancelled};
// kQueued -> kCancelled; kRunning -> kQueued (to be resumed).
enum class JobState { kQueued = 1, kRunning = 2, kSucceeded = 3, kFailed = 4, kCancelled = 5 };
enum class JobKind {
  kTrain = 1,
  kMineNegatives = 2,
  kAnalyzeDataset = 3,
  kCompareReleases = 4,
  kCreateSnapshot = 5,
  kRestoreSnapshot = 6
};

// Events, checkpoints and the trainer's options lie in <data>/jobs/<tenant>/<id>/.
struct JobRecord {
  std::string tenant, id;
  JobKind kind = JobKind::kTrain;
  JobState state = JobState::kQueued;
  absl::Time create_time;
  std::optional<absl::Time> start_time, end_time;
  int attempt = 0;
  bool cancel_requested = false;
  std::string options_json;           // What the job was asked to do: jobs/job_plan.h, or the plan of its body.
  std::string dataset;                // Dataset id; of the first objective. Empty: the job reads none.
  std::vector<std::string> datasets;  // Ids of all that it reads: of the objectives, then of the validation.
  std::string base_revision;          // "models/m/revisions/r"; empty: none.
  std::string collection;             // Collection id or empty: that it works on, which stays as long as the job runs.
  std::string target_model;           // Model id or empty.
  std::string target_dataset;         // Dataset id or empty: what the job appends to. It need not be there.
  std::string result_revision;        // "models/m/revisions/r" when a training is kSucceeded.
  // Of kSucceeded jobs that are no trainings, and of those that have begun to append to target_dataset, which can then
  // not be cancelled any more. Changed by AppendJobExamples and FinishJob only.
  std::string result_json;
  int error_code = 0;  // absl::StatusCode of a kFailed job.
  std::string error_message;
};

struct GatePolicy {
  std::string evaluation_set;  // Its id in the collection; empty: none.
  double margin = 0.01;
  double min_index_recall = 0.9;
  double min_ndcg = 0;
};

// Values reach disk: do not change.
enum class FieldType { kKeyword = 1, kInteger = 2, kFloat = 3, kBool = 4, kDatetime = 5 };

// A field of the payload that filters may name; what its values may be: proto/tandem/v1/filter.proto.
struct FilterableField {
  std::string name;  // Keys of the payload joined by ".".
  FieldType type = FieldType::kKeyword;

  bool operator==(const FilterableField&) const = default;
};

// The vectors that clients make and bring with their documents.
struct ExternalVectors {
  int dimensions = 0;
  MetricKind metric = MetricKind::kCosine;
};

// documents.db and the releases' files lie in <data>/collections/<tenant>/<id>/.
struct CollectionRecord {
  std::string tenant, id, display_name;
  absl::Time create_time;
  GatePolicy gate;
  absl::Duration rollback_window = absl::Hours(24);
  int64_t etag = 1;                            // Grows by one with each update and promotion.
  std::string live_release, previous_release;  // Release ids or empty.
  // For ever.
  std::vector<FilterableField> fields;
  bool keyword_index = true;
  std::optional<ExternalVectors> external;  // Set: no model embeds its documents. Never changes.
};

struct Judgement {
  std::string document;
  int grade = 1;
};
struct EvaluationQuery {
  std::string text;
  std::vector<Judgement> judgements;
};
struct EvaluationSetRecord {
  std::string tenant, collection, id;
  absl::Time create_time;
  int query_count = 0;
};

// Values reach disk: do not change. Legal transitions: kBuilding -> {kReady, kFailed}; kReady -> kLive;
// kLive -> kPrevious; kPrevious -> {kLive, kRetired}; kRetired -> kLive.
enum class ReleaseState { kBuilding = 1, kReady = 2, kLive = 3, kPrevious = 4, kRetired = 5, kFailed = 6 };

// Values reach disk: do not change. kBySize only until the release is created.
enum class IndexKind { kBySize = 0, kFlat = 1, kHnsw = 2, kIvfFlat = 3, kIvfPq = 4, kScalarQuantized = 5, kBinary = 6 };
enum class CodeStorage { kFloat16 = 2, kInt8 = 3 };  // Numbers of the API's VectorStorage; reach disk: do not change.

// As VectorIndexOptions (index/vector_index.h) has them: 0 where it is left to the index.
struct IndexSpec {
  IndexKind kind = IndexKind::kFlat;
  int hnsw_m = 16;
  int hnsw_ef_construction = 100;
  int hnsw_ef_search = 64;
  int ivf_lists = 0;
  int ivf_nprobe = 0;
  int pq_subquantizers = 0;
  CodeStorage code_storage = CodeStorage::kInt8;
  int rerank_factor = 0;
};

struct Evaluation {
  std::string evaluation_set;  // Id.
  int64_t commit = 0;
  RetrievalMetrics metrics;
  double index_recall_at_10 = 0;
  std::optional<Calibration> calibration;  // Of the scores of its hits.
};

// What the gate said of a release that was to go live: release/gate.h.
struct GateReport {
  bool passed = false, overridden = false;
  std::string reason;  // Why it did not pass.
  std::optional<Evaluation> candidate, live;
  PairedDifference ndcg;                       // Zero when there was nothing to compare with.
  QueryChanges changes;                        // nDCG@10 of queries, live before, candidate after.
  std::string override_reason, overridden_by;  // Of an override: the caller's words, and who it was.
  absl::Time time;
};

struct ReleaseRecord {
  std::string tenant, collection, id;
  ReleaseState state = ReleaseState::kBuilding;
  absl::Time create_time;
  std::string model, revision;  // Ids; both empty in an EXTERNAL collection.
  IndexSpec index;
  EmbeddingContract contract;  // Of the revision, frozen here; of clients' vectors: dimensions and metric only.
  std::optional<Evaluation> evaluation;
  std::optional<absl::Time> promote_time;
  std::optional<absl::Time> demote_time;  // When it became kPrevious.
  std::optional<GateReport> gate;         // Of the newest promotion that asked it, refused or not.
  int error_code = 0;
  std::string error_message;

  bool external() const { return model.empty(); }
};

// A document version. `commit` is its place in the collection's commit log and, being unique, also its label in
// every index.
struct DocumentVersion {
  int64_t commit = 0;
  std::string id;
  bool deleted = false;
  std::string text;
  std::string payload_json;   // "{}" when there is none.
  int64_t previous = 0;       // Commit of the version of the same id that this one replaced; 0 when there was none.
  int64_t superseded_by = 0;  // Commit of the version that replaced this one; 0 while it is current.
  bool same_text = false;     // It has the text of `previous`, which was no deletion.
};

struct DocumentInput {
  std::string id, text, payload_json;
  std::vector<float> vector = {};  // In an EXTERNAL collection, and there always.
};

// What a document's payload becomes. Keys of the first level.
enum class PayloadChange { kReplace, kMerge };  // kMerge: a null removes its key.

struct PayloadUpdate {
  std::string id, payload_json;
};

}  // namespace tandem
