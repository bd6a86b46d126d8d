#pragma once
// What a client of tandem was told, or tried: facts that have to hold after every crash. An acknowledged fact carries
// the position at which its acknowledgement came (a count of what had reached the disk until then, given by the test),
// so that a state of the disk that is older than the end of a run can be held against what was acknowledged by then.
// CheckLedger (ledger_check.h) holds a ledger against a running server.
//
// One writer at a time for each document id; everything else may be recorded by any thread. Thread-safe; copyable, for
// tests that run one phase many times from a copy of the data directory. No gRPC here.

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

namespace tandem::test {

inline constexpr int64_t kNeverAcknowledged = std::numeric_limits<int64_t>::max();

// A thing with a name was made or deleted: it may be so once that was attempted, and must be once it was acknowledged.
struct Existence {
  bool there = true;      // Made; false: deleted.
  int64_t attempted = 0;  // Before this it cannot have happened.
  int64_t acknowledged = kNeverAcknowledged;
};

// One version of one document, in the order of its writer.
struct DocumentWrite {
  std::string text;    // Empty: a deletion.
  int64_t commit = 0;  // Once acknowledged. Of a deletion: no later write of the document has a smaller one.
  int64_t acknowledged = kNeverAcknowledged;
};

struct ExampleFact {
  std::string serialised;
  int64_t acknowledged = kNeverAcknowledged;
};

struct PromotionFact {
  std::string release;  // Id.
  int64_t acknowledged = kNeverAcknowledged;
};

// One event of a job, without what differs from run to run (times, speed).
struct JobEventFact {
  std::string kind;  // "state", "step", "validation", "checkpoint", "message".
  int64_t step = 0;
  double loss = 0;
  std::string text;  // Of a state or a message.
  int64_t acknowledged = kNeverAcknowledged;

  bool operator==(const JobEventFact& other) const {
    return kind == other.kind && step == other.step && loss == other.loss && text == other.text;
  }
};

struct JobFact {
  std::string name;  // "jobs/j".
  int64_t acknowledged = kNeverAcknowledged;
  std::map<int64_t, JobEventFact> events;  // By sequence.
  std::string revision;                    // Of the result, "models/m/revisions/r"; empty before.
  std::string sha256;                      // Of the result's weights.
  int64_t result_acknowledged = kNeverAcknowledged;
};

struct LedgerFacts {
  std::map<std::string, std::vector<Existence>> resources;   // By full name: revisions, datasets, jobs, releases, …
  std::map<std::string, std::string> revision_sha256;        // By full name of the revision.
  std::map<std::string, std::string> release_revision;       // By full name of the release.
  std::map<std::string, std::vector<ExampleFact>> examples;  // By full name of the dataset, in the order of commits.
  std::map<std::string, std::vector<DocumentWrite>> documents;  // By id.
  std::vector<std::pair<int64_t, int64_t>> commits;             // Acknowledged at, commit: each greater than before.
  std::vector<PromotionFact> promotions;                        // In the order of attempts.
  std::map<std::string, JobFact> jobs;                          // By the request id of Train.
  std::set<std::string> done;                                   // What need not be called again.
};

class Ledger {
 public:
  using Position = std::function<int64_t()>;
  explicit Ledger(Position position = nullptr);
  Ledger(const Ledger& other);
  Ledger& operator=(const Ledger& other);

  void set_position(Position position);

  // Something with a name is made or deleted: before the call, and after it was acknowledged.
  void Attempt(const std::string& name, bool there = true);
  void Acknowledge(const std::string& name, bool there = true);

  void AcknowledgeRevision(const std::string& name, const std::string& sha256);
  void AttemptRelease(const std::string& name, const std::string& revision);
  // Examples whose commits are `first_commit` and on; those that were acknowledged before are passed over.
  void AcknowledgeExamples(const std::string& dataset, int64_t first_commit,
                           const std::vector<std::string>& serialised);

  // Documents that one call writes, in order; an empty text deletes. The same call may be attempted again. `commit` is
  // the answer's.
  struct Write {
    std::string id, text;
  };
  void AttemptWrites(const std::vector<Write>& writes);
  void AcknowledgeWrites(const std::vector<Write>& writes, int64_t commit);

  void AttemptPromotion(const std::string& release);
  void AcknowledgePromotion(const std::string& release);

  void AcknowledgeJob(const std::string& request_id, const std::string& name);
  // INTERNAL when this sequence was seen before with other content.
  absl::Status SeeJobEvent(const std::string& request_id, int64_t sequence, JobEventFact event);
  void AcknowledgeJobResult(const std::string& request_id, const std::string& revision, const std::string& sha256);

  // Any mark of the test's own, for example that a call was acknowledged.
  void MarkDone(const std::string& mark);
  bool IsDone(const std::string& mark) const;

  int64_t head_commit() const;  // Greatest acknowledged.
  std::string live() const;     // Id of the release of the last acknowledged promotion; empty before the first.
  // Text of the newest write of each document that exists by then, by id.
  std::map<std::string, std::string> CurrentDocuments() const;
  LedgerFacts facts() const;
  JobFact job(const std::string& request_id) const;  // Empty when there is none.

  // The loss of each step of a job. A step that was done again after a crash must have had the same loss: otherwise
  // `conflict` says which had not.
  std::map<int64_t, double> Losses(const std::string& request_id, std::string* conflict) const;

 private:
  int64_t Now() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return position_ ? position_() : 0; }

  mutable absl::Mutex mutex_;
  Position position_ ABSL_GUARDED_BY(mutex_);
  LedgerFacts facts_ ABSL_GUARDED_BY(mutex_);
};

// Empty when job `request_id` went as the one of `undisturbed`: the same loss at every step, done again or not, the
// same weights. Else what differs.
std::string DifferenceInTraining(const Ledger& ledger, const Ledger& undisturbed, const std::string& request_id,
                                 const std::string& undisturbed_request_id);

}  // namespace tandem::test
