// Every step that changes the disk has a name. A life is recorded once; then tandemd, or its trainer, is stopped at
// each name in turn, where it occurs first and where chance has it later, and at each name that occurs only when a
// server starts after such a death. Each time nothing that was acknowledged is lost, the life goes on to the end of its
// phase, training gives the same losses and weights, and answers are exact.

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <iomanip>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "tests/e2e/ledger_check.h"
#include "tests/e2e/life_cycle.h"
#include "tests/e2e/recorded_life.h"
#include "tests/e2e/tandemd_process.h"
#include "tests/support/disk_steps/step_log.h"
#include "tests/support/disk_steps/step_name.h"

namespace tandem::test {
namespace {

namespace fs = std::filesystem;
using testing::IsEmpty;

constexpr int kWorkers = 2;
// First occurrences are all run, later ones until so much time has passed; KILL_POINTS_SECONDS is another time.
absl::Duration TimeForCases() {
  const char* seconds = getenv("KILL_POINTS_SECONDS");
  return absl::Seconds(seconds == nullptr ? 200 : std::strtoll(seconds, nullptr, 10));
}

struct Stop {
  std::string name;
  int64_t occurrence = 1;
};
std::string Describe(const Stop& stop) { return absl::StrCat("\"", stop.name, "\" #", stop.occurrence); }

// A phase that is broken off, and the restarts after it, each by its stop.
struct KillCase {
  Phase phase = Phase::kModels;
  std::vector<Stop> stops;
};
std::string Describe(const KillCase& kill) {
  std::vector<std::string> stops;
  for (const Stop& stop : kill.stops) stops.push_back(Describe(stop));
  return absl::StrCat(std::string(PhaseName(kill.phase)), " at ", absl::StrJoin(stops, ", then "));
}

using Counts = std::map<std::string, int64_t>;

struct CaseResult {
  bool reached = false;       // Every stop.
  bool trainer_died = false;  // At one of them, while tandemd lived on.
  bool resumed = false;       // The training, from a checkpoint.
  std::vector<std::string> findings;
  Counts restart;  // Names that the last restart and what followed came by.
};

// A life of its own, in a directory of its own, that is broken off again and again from the beginning of one of its
// phases. For one thread.
class BrokenLife {
 public:
  explicit BrokenLife(const fs::path& imports) : imports_(imports) {}

  // Lives undisturbed. False, with findings, when that fails.
  std::vector<std::string> Record();
  const std::map<Phase, Counts>& counts() const { return counts_; }

  CaseResult Run(const KillCase& kill);

 private:
  LifeCycleOptions Options() {
    return {.import_directory = imports_,
            .train_steps = 30,
            .checkpoint_steps = 10,
            .rollback_window = absl::Milliseconds(300),
            .on_answer = [this](const SearchAnswer& answer) { answers_.push_back(answer); }};
  }
  fs::path Snapshot(Phase phase) const { return folder_.path() / absl::StrCat("before-", PhaseName(phase)); }
  // A log of its own for each start: an old trainer may still write into the one before. And a port of its own: while
  // a server is down, another program may get its port.
  std::unique_ptr<StepLog> NewLog();
  absl::Status StartServer(const StepLog& log);
  // Starts, runs the phase, stops by SIGTERM: the steps of a phase are those of all this.
  void RunBroken(const Stop& stop, Phase phase, LifeCycle* life, CaseResult* result);
  void Finish(Phase phase, LifeCycle* life, CaseResult* result);
  void CheckAll(const Ledger& ledger, const char* when, CaseResult* result);

  const fs::path imports_;
  const TemporaryDirectory folder_;
  const fs::path data_ = folder_.path() / "data";
  std::unique_ptr<TandemdProcess> server_;
  int logs_ = 0;
  std::vector<SearchAnswer> answers_;  // Of the run under way.
  std::map<Phase, Ledger> before_;
  Ledger undisturbed_;
  std::map<Phase, Counts> counts_;
  std::unique_ptr<LifeOracle> oracle_;
};

Counts CountsOf(const StepLog& log) {
  Counts counts;
  for (const Step& step : log.Read()) ++counts[StepName(step)];
  return counts;
}

std::unique_ptr<StepLog> BrokenLife::NewLog() {
  fs::remove(folder_.path() / absl::StrCat("log-", logs_));
  return StepLog::Create(folder_.path() / absl::StrCat("log-", ++logs_), fs::canonical(data_),
                         {.keep_data = false, .capacity_bytes = size_t{64} << 20});
}

absl::Status BrokenLife::StartServer(const StepLog& log) {
  server_ = std::make_unique<TandemdProcess>(TandemdOptions{.flags = LifeCycleFlags(imports_),
                                                            .environment = log.Environment(DISK_STEPS_LIBRARY),
                                                            .data_directory = data_},
                                             TandemdProcess::NotStarted());
  return server_->Start();
}

std::vector<std::string> BrokenLife::Record() {
  LifeCycle life(Options(), &undisturbed_);
  fs::create_directory(data_);
  for (const Phase phase : kPhases) {
    ReplaceDirectory(data_, Snapshot(phase));
    before_[phase] = undisturbed_;
    const auto log = NewLog();
    absl::Status status = StartServer(*log);
    if (status.ok()) status = life.Run(server_->address(), phase);
    if (!status.ok()) return {absl::StrCat("undisturbed ", PhaseName(phase), ": ", status.ToString())};
    if (const int code = server_->Stop(); code != 0) return {absl::StrCat("tandemd ended with ", code)};
    if (!log->Finding().empty()) return {"the recorder: " + log->Finding()};
    counts_[phase] = CountsOf(*log);
  }
  oracle_ =
      std::make_unique<LifeOracle>(data_, LifeCycleFlags(imports_), undisturbed_.job(life.TrainRequestId()).revision);
  const auto log = ReadCommitLog(DocumentsDatabase(data_));
  if (!log.ok()) return {log.status().ToString()};
  return oracle_->Check(*log, undisturbed_, std::exchange(answers_, {}));
}

CaseResult BrokenLife::Run(const KillCase& kill) {
  KillTrainersBelow(data_);
  ReplaceDirectory(Snapshot(kill.phase), data_);
  const int resumed_before = TimesResumed(data_);
  answers_.clear();
  Ledger ledger = before_.at(kill.phase);
  LifeCycle life(Options(), &ledger);
  CaseResult result{.reached = true};
  for (const Stop& stop : kill.stops) RunBroken(stop, kill.phase, &life, &result);

  const bool has_to_resume = HasToResume(data_);
  const int resumed_earlier = TimesResumed(data_);
  const auto log = NewLog();
  const absl::Status started = StartServer(*log);
  if (!started.ok()) {
    result.findings.push_back(absl::StrCat("the restart: ", started.ToString()));
    return result;
  }
  CheckAll(ledger, "after the restart", &result);
  Finish(kill.phase, &life, &result);
  const int resumed = TimesResumed(data_);
  result.resumed = resumed > resumed_before;
  if (has_to_resume && resumed == resumed_earlier) {
    result.findings.push_back("training did not go on from its checkpoint");
  }
  CheckAll(ledger, "at the end of the phase", &result);
  server_->Kill();
  result.restart = CountsOf(*log);
  const auto commits = ReadCommitLog(DocumentsDatabase(data_));
  if (!commits.ok() && kill.phase > Phase::kUpload) result.findings.push_back(commits.status().ToString());
  if (commits.ok()) {
    for (std::string& finding : oracle_->Check(*commits, ledger, std::exchange(answers_, {}))) {
      result.findings.push_back(std::move(finding));
    }
  }
  return result;
}

void BrokenLife::RunBroken(const Stop& stop, Phase phase, LifeCycle* life, CaseResult* result) {
  const auto log = NewLog();
  log->StopBefore(stop.name, stop.occurrence);
  absl::Status status = StartServer(*log);
  const pid_t server = server_->pid();  // -1 when it never answered.
  const auto tandemd_died = [&] { return log->stopped_process() != 0 && log->stopped_process() == server; };
  if (status.ok()) status = life->Run(server_->address(), phase);
  if (server_->running() && !tandemd_died() && status.ok()) {
    kill(server, SIGTERM);
    const int code = server_->WaitForEnd();
    if (code != 0 && !tandemd_died()) result->findings.push_back(absl::StrCat("tandemd ended with ", code));
  } else if (server_->running()) {
    if (!tandemd_died()) {
      result->findings.push_back(absl::StrCat("at ", Describe(stop), ": ", status.ToString(), "\n", server_->Log()));
      server_->Kill();
    } else if (const int code = server_->WaitForEnd(); code != 128 + SIGKILL) {
      result->findings.push_back(absl::StrCat("tandemd should have died by SIGKILL, it ended with ", code));
    }
  } else if (log->stopped_process() == 0) {  // It never answered.
    result->findings.push_back(status.ToString());
  }
  if (log->stopped_process() == 0) result->reached = false;
  if (log->stopped_process() != 0 && server > 0 && !tandemd_died()) result->trainer_died = true;
}

void BrokenLife::Finish(Phase phase, LifeCycle* life, CaseResult* result) {
  const absl::Status status = life->Run(server_->address(), phase);
  if (!status.ok()) {
    result->findings.push_back(absl::StrCat("the phase does not end: ", status.ToString(), "\n", server_->Log()));
  }
}

void BrokenLife::CheckAll(const Ledger& ledger, const char* when, CaseResult* result) {
  const Client client = ConnectWithoutPatience(server_->address());
  for (const std::string& finding : CheckLedger(client, ledger)) {
    result->findings.push_back(absl::StrCat(when, ": ", finding));
  }
  for (const std::string& finding : CheckRevisions(server_->address(), ledger, kNeverAcknowledged - 1)) {
    result->findings.push_back(absl::StrCat(when, ": ", finding));
  }
  const absl::Status asked = AskLive(client, &answers_);
  if (!asked.ok()) result->findings.push_back(absl::StrCat(when, ": ", asked.ToString()));
  const std::string train = LifeCycle(Options(), &undisturbed_).TrainRequestId();
  if (ledger.job(train).revision.empty()) return;
  const std::string difference = DifferenceInTraining(ledger, undisturbed_, train, train);
  if (!difference.empty()) result->findings.push_back(absl::StrCat(when, ": ", difference));
}

// The cases to run, handed out to the lives; what came of them.
class Campaign {
 public:
  Campaign(std::map<Phase, Counts> counts, absl::Time end) : counts_(std::move(counts)), end_(end) { Plan(); }

  // Runs cases until none is left. For several threads at once.
  void Work(BrokenLife* life) {
    KillCase kill;
    while (Next(&kill)) {
      const absl::Time begin = absl::Now();
      CaseResult result = life->Run(kill);
      Settle(kill, std::move(result), absl::Now() - begin);
    }
  }
  void Report() const;
  void Expect() const;

 private:
  void Plan();
  bool Next(KillCase* kill);
  void Settle(const KillCase& kill, CaseResult result, absl::Duration took);

  const std::map<Phase, Counts> counts_;
  const absl::Time end_;
  absl::Mutex mutex_;
  std::vector<KillCase> first_, later_;      // Left, the next one last.
  std::set<std::string> restart_names_;      // Seen only in restarts.
  std::map<std::string, int> cases_, died_;  // By name of the last stop.
  std::vector<std::string> findings_;
  std::vector<std::string> not_reached_;
  int run_ = 0, trainer_deaths_ = 0, resumed_ = 0;
};

void Campaign::Plan() {
  std::mt19937 random(20261124);
  std::set<std::string> seen;
  std::map<std::string, std::vector<KillCase>> often;  // A case in each phase in which a name occurs often.
  for (const Phase phase : kPhases) {
    for (const auto& [name, count] : counts_.at(phase)) {
      if (seen.insert(name).second) first_.push_back({phase, {{name, 1}}});
      // The last third of a count may not be reached in another run.
      const int64_t most = count * 2 / 3;
      if (most < 2) continue;
      often[name].push_back({phase, {{name, 2 + static_cast<int64_t>(random()) % (most - 1)}}});
    }
  }
  for (auto& [name, cases] : often) {
    const bool is_commit = absl::StartsWith(name, "sync ") && absl::EndsWith(name, ".db-wal");
    if (is_commit) {
      later_.insert(later_.end(), cases.begin(), cases.end());
    } else {
      later_.push_back(cases[random() % cases.size()]);
    }
  }
  std::shuffle(later_.begin(), later_.end(), random);
  std::reverse(first_.begin(), first_.end());
}

bool Campaign::Next(KillCase* kill) {
  absl::MutexLock lock(&mutex_);
  std::vector<KillCase>& cases = first_.empty() ? later_ : first_;
  if (cases.empty() || (first_.empty() && absl::Now() > end_)) return false;
  *kill = std::move(cases.back());
  cases.pop_back();
  return true;
}

void Campaign::Settle(const KillCase& kill, CaseResult result, absl::Duration took) {
  absl::MutexLock lock(&mutex_);
  std::cout << absl::ToInt64Milliseconds(took) << " ms: " << Describe(kill) << std::endl;
  ++run_;
  trainer_deaths_ += result.trainer_died;
  resumed_ += result.resumed;
  ++cases_[kill.stops.back().name];
  died_[kill.stops.back().name] += result.reached;
  if (!result.reached) not_reached_.push_back(Describe(kill));
  for (const std::string& finding : result.findings) {
    findings_.push_back(absl::StrCat(Describe(kill), ": ", finding));
    std::cout << "FINDING " << findings_.back() << std::endl;
  }
  if (kill.stops.size() > 1 || !result.reached) return;
  for (const auto& [name, count] : result.restart) {
    const bool seen =
        std::ranges::any_of(counts_, [&name = name](const auto& phase) { return phase.second.contains(name); });
    if (seen || !restart_names_.insert(name).second) continue;
    first_.push_back({kill.phase, {kill.stops[0], {name, 1}}});
  }
}

void Campaign::Report() const {
  Counts total;
  for (const auto& [phase, counts] : counts_) {
    for (const auto& [name, count] : counts) total[name] += count;
  }
  for (const std::string& name : restart_names_) total[name] += 0;
  for (const auto& [name, count] : total) {
    std::cout << std::setw(6) << count << "  " << name << ": died " << (died_.contains(name) ? died_.at(name) : 0)
              << " of " << (cases_.contains(name) ? cases_.at(name) : 0) << "\n";
  }
  std::cout << total.size() << " names, " << restart_names_.size() << " of them only when starting again; " << run_
            << " cases run, in " << trainer_deaths_ << " the trainer died, in the others tandemd; " << later_.size()
            << " at later occurrences left out for time; in " << resumed_
            << " training went on from a checkpoint\n";
  for (const std::string& kill : not_reached_) std::cout << "not reached: " << kill << "\n";
}

void Campaign::Expect() const {
  EXPECT_THAT(findings_, IsEmpty()) << absl::StrJoin(findings_, "\n");
  EXPECT_GT(trainer_deaths_, 0);
  EXPECT_GT(resumed_, 0);
  for (const auto& [phase, counts] : counts_) {
    for (const auto& [name, count] : counts) {
      EXPECT_TRUE(died_.contains(name) && died_.at(name) > 0) << "nothing died at \"" << name << "\"";
    }
  }
}

TEST(KillPointsTest, ADeathAtAnyStepLosesNothingAndLeavesNothingHalfDone) {
  const absl::Time begin = absl::Now();
  const TemporaryDirectory imports;
  WriteLifeCycleModels(imports.path());
  std::vector<std::unique_ptr<BrokenLife>> lives;
  std::vector<std::vector<std::string>> findings(kWorkers);
  std::vector<std::thread> threads;
  for (int i = 0; i < kWorkers; ++i) lives.push_back(std::make_unique<BrokenLife>(imports.path()));
  for (int i = 0; i < kWorkers; ++i) threads.emplace_back([&, i] { findings[i] = lives[i]->Record(); });
  for (std::thread& thread : threads) thread.join();
  for (const std::vector<std::string>& found : findings) ASSERT_THAT(found, IsEmpty()) << absl::StrJoin(found, "\n");
  std::cout << "recorded in " << absl::Now() - begin << std::endl;

  Campaign campaign(lives[0]->counts(), begin + TimeForCases());
  threads.clear();
  for (int i = 0; i < kWorkers; ++i) threads.emplace_back([&, i] { campaign.Work(lives[i].get()); });
  for (std::thread& thread : threads) thread.join();
  campaign.Report();
  campaign.Expect();
  std::cout << "in all " << absl::Now() - begin << "\n";
}

}  // namespace
}  // namespace tandem::test
