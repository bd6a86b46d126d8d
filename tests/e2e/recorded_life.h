#pragma once
// What the tests that break a recorded life off have in common: a data directory that is put back to an earlier state,
// questions to whatever is live there, and an oracle for the answers of many runs of the same life.

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/e2e/answer_oracle.h"
#include "tests/e2e/life_cycle.h"
#include "tests/e2e/tandemd_process.h"

namespace tandem::test {

// `to` becomes a copy of directory `from`, whatever it was.
void ReplaceDirectory(const std::filesystem::path& from, const std::filesystem::path& to);

// Ends every tandem-trainer that works below `data_directory`, one whose tandemd is dead too.
void KillTrainersBelow(const std::filesystem::path& data_directory);

// Training that was broken off goes on from its checkpoint: equal losses and weights do not tell, as a training that
// begins anew has them, too. How often the trainings of a data directory did so, by the event logs there.
int TimesResumed(const std::filesystem::path& data_directory);
// True when a server that starts there has to: there is a checkpoint without a result, and no trainer at work.
bool HasToResume(const std::filesystem::path& data_directory);

// Searches what is live, and adds the answers. An error when a live release does not answer, when another one answers,
// or when there is an answer although none is live.
absl::Status AskLive(const Client& client, std::vector<SearchAnswer>* answers);

// What is wrong with the revisions that were acknowledged at or before `position`: each must embed a text. One line
// each.
std::vector<std::string> CheckRevisions(const std::string& address, const Ledger& ledger, int64_t position);

// Checks answers of runs that all began as one undisturbed life did, with that life's vectors: `revision` is the one
// that it trained, and stands for what another run trained of the same (its weights are compared elsewhere). Every text
// is embedded once. Not thread-safe.
class LifeOracle {
 public:
  // Of a finished life, of whose `data_directory` it takes a copy.
  LifeOracle(const std::filesystem::path& data_directory, const std::vector<std::string>& flags,
             const std::string& trained_revision);

  // As AnswerOracle::Check, and CheckCommitLog of the log before it. `ledger` is that of the run.
  std::vector<std::string> Check(const std::vector<LoggedVersion>& log, const Ledger& ledger,
                                 std::vector<SearchAnswer> answers);

 private:
  absl::StatusOr<std::vector<std::vector<float>>> Embed(const std::string& revision,
                                                        const std::vector<std::string>& texts, AnswerOracle::Role role);

  const std::string trained_revision_;
  std::unique_ptr<TandemdProcess> server_;
  std::map<std::tuple<std::string, AnswerOracle::Role, std::string>, std::vector<float>> vectors_;
};

}  // namespace tandem::test
