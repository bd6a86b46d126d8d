#pragma once
// meta.db: everything but documents. SQLite in WAL mode with synchronous=FULL; a method that returns OK after a change
// has committed it. All methods are thread-safe (one connection behind one mutex: each statement takes well under a
// millisecond, and none calls out). No SQLite type or exception crosses this wall.
//
// Errors: NOT_FOUND and ALREADY_EXISTS name the resource ("datasets/faq"); FAILED_PRECONDITION for a state that forbids
// the call; ABORTED for a stale etag; INTERNAL or DATA_LOSS with SQLite's text when the file cannot be used.

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/storage/feedback_records.h"
#include "server/storage/records.h"

namespace tandem {

// What AppendExamples stored for one request message.
struct AppendResult {
  int64_t commit = 0;
  int accepted = 0;
  std::string errors_json;  // As the caller gave it; comes back unchanged for a repeated message.
  bool repeated = false;
};

// A collection with all that it needs of meta.db to answer somewhere else: what a snapshot holds.
struct CollectionCopy {
  struct Set {
    EvaluationSetRecord record;
    std::vector<EvaluationQuery> queries;
  };
  CollectionRecord collection;  // Without previous release.
  std::vector<Set> evaluation_sets;
  std::optional<ReleaseRecord> release;         // The live one, and
  std::optional<ModelRevisionRecord> revision;  // what it embeds with.
};

class MetaStore {
 public:
  // Creates the file and its tables when they are not there. FAILED_PRECONDITION for a newer format version.
  static absl::StatusOr<std::unique_ptr<MetaStore>> Open(const std::filesystem::path& path);
  ~MetaStore();

  // Idempotency. A caller looks its request up before it acts and stores the answer in the same transaction as the
  // change: pass `Request` to the mutating call. `fingerprint` is a hash of the request's content: the same id with
  // another fingerprint is INVALID_ARGUMENT on "request_id". Rows older than a day are dropped.
  struct Request {
    std::string_view tenant, method, request_id;
    std::string fingerprint;
    std::string answer;  // Resource name that the change made.
  };
  absl::StatusOr<std::optional<std::string>> FindAnswer(const Request& request);

  // Datasets. Lists are by id.
  absl::StatusOr<DatasetRecord> CreateDataset(std::string_view tenant, std::string_view id,
                                              std::string_view display_name, const Request* request);
  absl::StatusOr<DatasetRecord> GetDataset(std::string_view tenant, std::string_view id);
  absl::StatusOr<std::vector<DatasetRecord>> ListDatasets(std::string_view tenant, const Page& page);
  // Refused while a job that is not finished reads it or appends to it.
  absl::Status DeleteDataset(std::string_view tenant, std::string_view id);

  // One transaction. With a stream id (request_id of the stream), a sequence that was stored before returns its stored
  // result with `repeated`, and is INVALID_ARGUMENT on "request_id" when its fingerprint was another; a sequence that
  // leaves a gap is INVALID_ARGUMENT on "sequence".
  absl::StatusOr<AppendResult> AppendExamples(std::string_view tenant, std::string_view dataset,
                                              const StreamMessage& message, const std::vector<Example>& examples,
                                              std::string_view errors_json);
  // Commits in (after, up_to], in order: at most `limit`, and up to the first that takes their texts over `max_bytes`.
  absl::StatusOr<std::vector<StoredExample>> ReadExamples(std::string_view tenant, std::string_view dataset,
                                                          int64_t after, int64_t up_to, int limit, int64_t max_bytes);

  // Models. A model is made by its first revision.
  absl::StatusOr<ModelRecord> GetModel(std::string_view tenant, std::string_view id);
  absl::StatusOr<std::vector<ModelRecord>> ListModels(std::string_view tenant, const Page& page);
  absl::Status AddModelRevision(const ModelRevisionRecord& revision);
  absl::StatusOr<ModelRevisionRecord> GetModelRevision(std::string_view tenant, std::string_view model,
                                                       std::string_view revision);
  // Newest first; `page.after` is the last revision id seen.
  absl::StatusOr<std::vector<ModelRevisionRecord>> ListModelRevisions(std::string_view tenant, std::string_view model,
                                                                      const Page& page);
  // Refused while a release that is not kFailed, or a job that is not finished, uses a revision; the message names it.
  // Return the ids of the revisions removed.
  absl::StatusOr<std::vector<std::string>> DeleteModel(std::string_view tenant, std::string_view model);
  absl::Status DeleteModelRevision(std::string_view tenant, std::string_view model, std::string_view revision);
  absl::StatusOr<std::vector<ModelRevisionRecord>> AllModelRevisions();

  // Jobs. Lists are newest first; `page.after` is the last job id seen.
  // NOT_FOUND when a dataset, its base revision or its collection is not there (any more).
  absl::Status CreateJob(const JobRecord& job, const Request* request);
  absl::StatusOr<JobRecord> GetJob(std::string_view tenant, std::string_view id);
  absl::StatusOr<std::vector<JobRecord>> ListJobs(std::string_view tenant, const Page& page);
  absl::StatusOr<std::vector<JobRecord>> AllJobs(JobState state);  // Oldest first, of every tenant.
  // The row but for its result; keyed by tenant and id. FAILED_PRECONDITION names both states when JobState does not
  // allow the step.
  absl::Status UpdateJob(const JobRecord& job);
  // One transaction: the revision becomes visible and the job kSucceeded together.
  absl::Status FinishTraining(const JobRecord& job, const ModelRevisionRecord& revision);
  // One transaction: appends to the job's target_dataset, which it makes when it is not there, and stores what `result`
  // says for the last commit as the job's result. So a job that is begun again sees what it has appended. CANCELLED
  // when the job is to be cancelled and has no result yet; FAILED_PRECONDITION unless it is RUNNING. Returns the last
  // commit.
  absl::StatusOr<int64_t> AppendJobExamples(const JobRecord& job, const std::vector<Example>& examples,
                                            const std::function<std::string(int64_t last_commit)>& result);
  // One transaction: UpdateJob with the result.
  absl::Status FinishJob(const JobRecord& job, std::string_view result_json);
  absl::Status DeleteJob(std::string_view tenant, std::string_view id);  // Refused unless finished.

  // Collections. Lists are by id.
  absl::Status CreateCollection(const CollectionRecord& collection, const Request* request);
  absl::StatusOr<CollectionRecord> GetCollection(std::string_view tenant, std::string_view id);
  absl::StatusOr<std::vector<CollectionRecord>> ListCollections(std::string_view tenant, const Page& page);
  absl::StatusOr<std::vector<CollectionRecord>> AllCollections();
  // Replaces display_name, gate and rollback_window; returns the row with its new etag. ABORTED when `etag` is set and
  // not the row's.
  absl::StatusOr<CollectionRecord> UpdateCollection(const CollectionRecord& collection, std::optional<int64_t> etag);
  // With its evaluation sets and releases. Refused while a job that is not finished reads it.
  absl::Status DeleteCollection(std::string_view tenant, std::string_view id);

  // One transaction each. Insert makes the collection, its evaluation sets, its live release and, unless it is there
  // already, the model revision; ALREADY_EXISTS when the collection's id is taken, FAILED_PRECONDITION when the
  // revision's name belongs to other weights or another contract.
  absl::StatusOr<CollectionCopy> CopyCollection(std::string_view tenant, std::string_view id);
  absl::Status InsertCopy(const CollectionCopy& copy);

  // Feedback. A collection without a policy has an empty one. Set replaces dataset, retrain_after and training;
  // NOT_FOUND for a dataset that is not there.
  absl::Status SetFeedbackPolicy(const FeedbackPolicy& policy);
  absl::StatusOr<FeedbackPolicy> GetFeedbackPolicy(std::string_view tenant, std::string_view collection);
  absl::StatusOr<std::vector<FeedbackPolicy>> AllFeedbackPolicies();
  // Replaces `last`, and counts `taken_examples` as no longer new.
  absl::Status UpdateFeedbackRound(const FeedbackPolicy& policy, int64_t taken_examples);
  // One transaction: remembers the judgement and appends what `examples` makes of the others of the same search to the
  // policy's dataset. Returns how many examples that were; nothing happens when the same judgement is there already.
  // FAILED_PRECONDITION without a dataset.
  absl::StatusOr<int> AddJudgement(
      std::string_view tenant, std::string_view collection, std::string_view search_id, const HitJudgement& judgement,
      const std::function<std::vector<Example>(const std::vector<HitJudgement>& others)>& examples);

  // Evaluation sets. Lists are by id.
  absl::Status CreateEvaluationSet(const EvaluationSetRecord& set, const std::vector<EvaluationQuery>& queries,
                                   const Request* request);
  absl::StatusOr<EvaluationSetRecord> GetEvaluationSet(std::string_view tenant, std::string_view collection,
                                                       std::string_view id);
  absl::StatusOr<std::vector<EvaluationQuery>> ReadEvaluationQueries(std::string_view tenant,
                                                                     std::string_view collection, std::string_view id);
  absl::StatusOr<std::vector<EvaluationSetRecord>> ListEvaluationSets(std::string_view tenant,
                                                                      std::string_view collection, const Page& page);
  // Refused while the collection's gate names it.
  absl::Status DeleteEvaluationSet(std::string_view tenant, std::string_view collection, std::string_view id);

  // Releases. Lists are newest first; `page.after` is the last release id seen.
  // A release begins kBuilding. NOT_FOUND when its model revision is not there (any more).
  absl::Status CreateRelease(const ReleaseRecord& release, const Request* request);
  absl::StatusOr<ReleaseRecord> GetRelease(std::string_view tenant, std::string_view collection, std::string_view id);
  absl::StatusOr<std::vector<ReleaseRecord>> ListReleases(std::string_view tenant, std::string_view collection,
                                                          const Page& page);
  // Whole row. FAILED_PRECONDITION names both states when the step is not allowed; to and from kLive only
  // PromoteRelease leads. A previous release that becomes kRetired leaves the collection's previous_release.
  absl::Status UpdateRelease(const ReleaseRecord& release);
  // One transaction: `release` becomes kLive, the collection's live one kPrevious (and its previous one, if another,
  // kRetired), etag grows, `gate` (when it was asked) and request stored. ABORTED when `etag` is set and stale. Returns
  // the new collection row.
  absl::StatusOr<CollectionRecord> PromoteRelease(std::string_view tenant, std::string_view collection,
                                                  std::string_view release, std::optional<int64_t> etag,
                                                  const std::optional<GateReport>& gate, const Request* request);
  // Refused for kLive and kBuilding.
  absl::Status DeleteRelease(std::string_view tenant, std::string_view collection, std::string_view id);

 private:
  struct Rep;
  explicit MetaStore(std::unique_ptr<Rep> rep);
  std::unique_ptr<Rep> rep_;
};

}  // namespace tandem
