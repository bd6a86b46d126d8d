#pragma once
// What users say of hits, and what becomes of it: examples of a dataset, and, when enough have come, a round: a
// training of the live release's revision on that dataset, a release of what it gave, its promotion through the gate.
//
// A round is a small state machine in meta.db (FeedbackRound), one a collection, worked by one thread that looks every
// second. Each of its steps may be broken off and is then taken again by this server or the next: the training is
// submitted under a request id of the round's own, its release is called feedback-<job>. Nobody overrides the gate
// here: a round whose release is refused ends, and the release stays until the next round begins.
//
// Thread-safe.

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/jobs/training_jobs.h"
#include "server/release/collections.h"
#include "server/storage/meta_store.h"
#include "server/storage/search_log.h"

namespace tandem {

// How a round trains: FeedbackPolicy::training_json. The form reaches disk.
struct FeedbackTraining {
  TrainerOptions options;
  std::string target_model;        // Id; empty: that of the live release's revision.
  std::string validation_dataset;  // Id or empty.
};
std::string ToJson(const FeedbackTraining& training);
absl::StatusOr<FeedbackTraining> FeedbackTrainingFromJson(std::string_view text);  // INVALID_ARGUMENT names the key.

// The examples that a judgement makes, given the others of the same search: a relevant document is a positive with the
// hits that are not relevant as its negatives; one that is not relevant is a negative of the positives that are there
// already, and waits when there is none yet.
std::vector<Example> ExamplesOf(const std::string& query, const HitJudgement& judgement,
                                const std::vector<HitJudgement>& others);

class Feedback {
 public:
  // All outlive this.
  struct Rooms {
    MetaStore* meta;
    Collections* collections;
    TrainingJobs* jobs;
    SearchLog* log;
  };
  explicit Feedback(const Rooms& rooms, absl::Duration look_every = absl::Seconds(1));
  ~Feedback();  // Calls Shutdown.

  absl::Status Start();
  void Shutdown();

  // NOT_FOUND for a dataset that is not there; FAILED_PRECONDITION for rounds in a collection that embeds nothing.
  absl::Status SetPolicy(const FeedbackPolicy& policy);
  // Whether searches of the collection are to be logged.
  bool Logs(std::string_view tenant, std::string_view collection) const;
  void Record(LoggedSearch search);  // Of a collection that Logs names.
  // OK once it is on disk. NOT_FOUND when the log does not have the search, or the search did not have the document;
  // FAILED_PRECONDITION without a policy.
  absl::Status Judge(std::string_view tenant, std::string_view search_id, std::string_view document, bool relevant);
  // The collection is gone.
  void Forget(std::string_view tenant, std::string_view collection);

 private:
  struct Rep;
  const std::unique_ptr<Rep> rep_;
};

}  // namespace tandem
