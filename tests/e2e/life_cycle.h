#pragma once
// The whole life of a model and a collection as a client drives it, in phases that can be called again after a crash:
// a phase looks at what is there, repeats what was not acknowledged under the same request id, and goes on. Everything
// that the server acknowledges goes into a Ledger. Texts are words of the tiny model (tests/support/tiny_model.h), so
// that embedding and training take milliseconds.
//
//   const TemporaryDirectory imports;
//   WriteLifeCycleModels(imports.path());
//   TandemdProcess server(TandemdOptions{.flags = LifeCycleFlags(imports.path())});
//   Ledger ledger;
//   LifeCycle life({.import_directory = imports.path()}, &ledger);
//   for (Phase phase : kPhases) ASSERT_TRUE(life.Run(server.address(), phase).ok());
//   EXPECT_THAT(CheckLedger(ConnectWithoutPatience(server.address()), ledger), IsEmpty());
//
// The state of a LifeCycle is its ledger and nothing else: one made anew on a copy of a ledger and a copy of the data
// directory goes on from there. Not thread-safe.

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/client.h"
#include "tests/e2e/answer_oracle.h"
#include "tests/e2e/ledger.h"

namespace tandem::test {

inline constexpr char kCollectionId[] = "docs";

enum class Phase {
  kModels,    // Imports models/m revisions a and b: one from the server's directory, one as files in the stream.
  kUpload,    // Dataset, examples, collection, documents (upserted and imported), evaluation set.
  kTrain,     // A job from revision a, watched to its end; gives a third revision.
  kBuild,     // Releases r1 (a, FLAT), r2 (the trained revision, HNSW) and r3 (b, FLAT); r1 goes live.
  kPromote,   // r2 goes live; a few writes.
  kUpserts,   // Upserts and deletes, enough for indexes to be sealed.
  kRollback,  // To r1 and back, with writes between; r1 retires, misses writes, and is promoted after catching up.
  kDelete,    // Deletes r2, r3, the job, the dataset and some documents.
};
inline constexpr std::array kPhases = {Phase::kModels,  Phase::kUpload,  Phase::kTrain,    Phase::kBuild,
                                       Phase::kPromote, Phase::kUpserts, Phase::kRollback, Phase::kDelete};
std::string PhaseName(Phase phase);

struct LifeCycleOptions {
  std::filesystem::path import_directory;  // What WriteLifeCycleModels made.
  int examples = 240;
  int documents = 120;   // Before kUpserts.
  int write_calls = 30;  // Of kUpserts, with 1 to 16 documents each.
  int train_steps = 60;
  int checkpoint_steps = 5;
  absl::Duration rollback_window = absl::Milliseconds(1500);
  uint64_t seed = 1;  // Of texts.
  // The answers of the searches that phases do. May be empty.
  std::function<void(const SearchAnswer&)> on_answer;
};

// Directories "a" and "b" in `directory`, which tandemd must have as its --model-import-dir.
void WriteLifeCycleModels(const std::filesystem::path& directory);

// Flags of tandemd for a life cycle: import directory, one thread each, sealing every 64 vectors.
std::vector<std::string> LifeCycleFlags(const std::filesystem::path& import_directory);

// A client without patience: an unreachable server is an error at once. Make a new one after a restart; an old one may
// still wait before it tries the address again.
Client ConnectWithoutPatience(const std::string& address);

// documents.db of the collection below a data directory.
std::filesystem::path DocumentsDatabase(const std::filesystem::path& data_directory);

// Vectors by the Embed call of a running server.
AnswerOracle::Embed EmbedBy(const std::string& address);

SearchAnswer AnswerOf(const v1::SearchRequest& request, const v1::SearchResponse& response);

// A text of a few words, the same for the same numbers.
std::string TextOf(uint64_t seed, uint64_t number);

class LifeCycle {
 public:
  // `ledger` is not owned. A `cycle` above 0 has a dataset, a job and releases of its own ("r1-2" in cycle 2) and goes
  // on with the collection and the imported revisions.
  LifeCycle(LifeCycleOptions options, Ledger* ledger, int cycle = 0);

  // OK when the phase is complete; the error of the call that failed otherwise (UNAVAILABLE when the server is gone).
  // Nothing is repeated in here: the server is expected to die. Any other error is a finding.
  absl::Status Run(const std::string& address, Phase phase);

  // Of the Train call; the job's key in the ledger.
  std::string TrainRequestId() const { return Id("train"); }

 private:
  // "r1", or "r1-2" in cycle 2.
  std::string Id(std::string_view base) const;
  std::string ReleaseName(std::string_view base) const;

  absl::Status Models(const Client& client);
  absl::Status Upload(const Client& client);
  absl::Status AppendExamples(const Client& client);
  absl::Status CreateCollection(const Client& client);
  absl::Status WriteFirstDocuments(const Client& client);
  absl::Status CreateEvaluationSet(const Client& client);
  absl::Status Train(const Client& client);
  absl::Status Build(const Client& client);
  absl::Status Promote(const Client& client);
  absl::Status Upserts(const Client& client);
  absl::Status Rollback(const Client& client);
  absl::Status Delete(const Client& client);

  // Each of these does nothing when the ledger says that it was acknowledged.
  absl::Status CreateRelease(const Client& client, std::string_view base, const std::string& revision, bool hnsw);
  absl::Status PromoteOnce(const Client& client, std::string_view base, const std::string& mark);
  // Upserts, or now and then deletions, `calls` of them.
  absl::Status WriteDocuments(const Client& client, const std::string& mark, int calls);
  absl::Status WriteOnce(const Client& client, const std::string& mark);
  absl::Status WaitRetired(const Client& client, std::string_view base, const std::string& mark);
  absl::Status DeleteOnce(const std::string& name, const std::function<absl::Status()>& call);
  // Searches with the newest acknowledged commit as min_commit; the live release must answer.
  absl::Status SearchHead(const Client& client);

  const LifeCycleOptions options_;
  Ledger* const ledger_;
  const int cycle_;
};

}  // namespace tandem::test
