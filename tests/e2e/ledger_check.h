#pragma once
// A ledger held against a running server.

#include <cstdint>
#include <string>
#include <vector>

#include "client/client.h"
#include "tests/e2e/answer_oracle.h"
#include "tests/e2e/ledger.h"

namespace tandem::test {

struct LedgerCheckOptions {
  // Only what was acknowledged at or before this must hold; what came later may or may not.
  int64_t position = kNeverAcknowledged - 1;
  // A kill keeps every event of a job that somebody saw. A power cut may take the newest steps, which are shown before
  // they are on the disk: then only what came before an event that is (any but a step or message) is held to.
  bool power_cut = false;
  // Of a power cut: positions of the syncs of event logs, ascending. An event may be seen between its write and its
  // sync, so it is on the disk only after the first sync that follows its being seen.
  std::vector<int64_t> event_syncs = {};
};

// What was acknowledged and does not hold on the server, one line each; empty when all of it holds. Only reads.
std::vector<std::string> CheckLedger(const Client& client, const Ledger& ledger,
                                     const LedgerCheckOptions& options = {});

// The same for the commit log of a server that is not running (ReadCommitLog): every acknowledged upsert has its
// commit, and no write is there more often than it was called for.
std::vector<std::string> CheckCommitLog(const std::vector<LoggedVersion>& log, const Ledger& ledger);

}  // namespace tandem::test
