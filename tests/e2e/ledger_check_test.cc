// A life without an accident holds everything that was acknowledged; a ledger that says more than the server has is
// found out.

#include "tests/e2e/ledger_check.h"

#include <functional>
#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_join.h"
#include "tests/e2e/life_cycle.h"
#include "tests/e2e/tandemd_process.h"

namespace tandem::test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class LedgerCheckTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    imports_ = new TemporaryDirectory();
    WriteLifeCycleModels(imports_->path());
    server_ = new TandemdProcess(LifeCycleFlags(imports_->path()));
    ledger_ = new Ledger();
    LifeCycle life({.import_directory = imports_->path(), .rollback_window = absl::Milliseconds(200)}, ledger_);
    for (const Phase phase : kPhases) {
      const absl::Status status = life.Run(server_->address(), phase);
      ASSERT_TRUE(status.ok()) << PhaseName(phase) << ": " << status;
    }
  }
  static void TearDownTestSuite() {
    delete ledger_;
    delete server_;
    delete imports_;
  }

  // What the check finds when the ledger holds what `claim` adds.
  static std::string Found(const std::function<void(Ledger*)>& claim, const LedgerCheckOptions& options = {}) {
    Ledger ledger(*ledger_);
    claim(&ledger);
    return absl::StrJoin(CheckLedger(ConnectWithoutPatience(server_->address()), ledger, options), "\n");
  }

  static TemporaryDirectory* imports_;
  static TandemdProcess* server_;
  static Ledger* ledger_;
};

TemporaryDirectory* LedgerCheckTest::imports_ = nullptr;
TandemdProcess* LedgerCheckTest::server_ = nullptr;
Ledger* LedgerCheckTest::ledger_ = nullptr;

TEST_F(LedgerCheckTest, AWholeLifeHolds) {
  EXPECT_EQ(Found([](Ledger*) {}), "");
}

TEST_F(LedgerCheckTest, PhasesThatAreDoneCanBeCalledAgain) {
  LifeCycle again({.import_directory = imports_->path()}, ledger_);
  for (const Phase phase : {Phase::kModels, Phase::kTrain, Phase::kBuild, Phase::kPromote, Phase::kRollback}) {
    const absl::Status status = again.Run(server_->address(), phase);
    EXPECT_TRUE(status.ok()) << PhaseName(phase) << ": " << status;
  }
  EXPECT_EQ(Found([](Ledger*) {}), "");
}

TEST_F(LedgerCheckTest, WhatIsMissingIsFound) {
  EXPECT_THAT(Found([](Ledger* ledger) { ledger->Acknowledge("datasets/ghost"); }),
              HasSubstr("datasets/ghost is gone"));
  EXPECT_THAT(Found([](Ledger* ledger) { ledger->Acknowledge("models/m/revisions/a", /*there=*/false); }),
              HasSubstr("was deleted and is there"));
  EXPECT_THAT(Found([](Ledger* ledger) { ledger->AcknowledgeRevision("models/m/revisions/a", "other"); }),
              HasSubstr("has weights"));
}

TEST_F(LedgerCheckTest, ALostDocumentIsFound) {
  const auto write = [](Ledger* ledger) {
    ledger->AttemptWrites({{"d1", "w1 w2"}});
    ledger->AcknowledgeWrites({{"d1", "w1 w2"}}, ledger->head_commit() + 1);
  };
  EXPECT_THAT(Found(write), HasSubstr("document d1"));
  EXPECT_THAT(Found(write), HasSubstr("the newest commit is"));
  EXPECT_EQ(Found([](Ledger* ledger) { ledger->AttemptWrites({{"d1", "w1 w2"}}); }), "") << "only an attempt";
}

TEST_F(LedgerCheckTest, AcknowledgementsAfterThePositionNeedNotHold) {
  const auto late = [](Ledger* ledger) {
    ledger->set_position([] { return 8; });
    ledger->Acknowledge("datasets/ghost");
    ledger->AttemptPromotion("ghost");
    ledger->AcknowledgePromotion("ghost");
  };
  EXPECT_EQ(Found(late, {.position = 7}), "");
  EXPECT_THAT(Found(late, {.position = 8}), HasSubstr("datasets/ghost"));
  EXPECT_THAT(Found(late, {.position = 8}), HasSubstr("ghost was acknowledged"));
}

TEST_F(LedgerCheckTest, ACommitLogWithoutAnAcknowledgedWriteOrWithOneTwiceIsFound) {
  Ledger ledger;
  ledger.AttemptWrites({{"a", "w1"}, {"b", "w2"}});
  ledger.AcknowledgeWrites({{"a", "w1"}, {"b", "w2"}}, 2);
  EXPECT_THAT(CheckCommitLog({{1, "a", "w1"}, {2, "b", "w2"}}, ledger), IsEmpty());
  EXPECT_THAT(absl::StrJoin(CheckCommitLog({{1, "a", "w1"}}, ledger), "\n"), HasSubstr("commit 2"));
  EXPECT_THAT(absl::StrJoin(CheckCommitLog({{1, "a", "w1"}, {2, "b", "w2"}, {3, "b", "w2"}}, ledger), "\n"),
              HasSubstr("stored 2 times"));
}

}  // namespace
}  // namespace tandem::test
