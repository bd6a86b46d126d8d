// A hundred times, at random moments of a client's life, tandemd is killed, its trainer sometimes with it or instead of
// it. After each restart everything that was acknowledged is there; at the end the answers that searchers got in
// between are exact, and every training went as an undisturbed one. TANDEM_KILL_TEST_SEED chooses other moments.

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <map>
#include <random>
#include <string>
#include <system_error>
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
#include "tests/e2e/search_load.h"
#include "tests/e2e/tandemd_process.h"

namespace tandem::test {
namespace {

using testing::IsEmpty;

constexpr int kKills = 100;
constexpr int kTrainerKillsOfAJob = 2;  // The server gives a job up at the third death of its trainer.
constexpr absl::Duration kPatience = absl::Seconds(120);    // A trainer gets what other processes leave over.
constexpr absl::Duration kLongestPhase = absl::Seconds(3);  // Moments are chosen within it.

using Place = std::pair<int, Phase>;  // Which life, and where in it.

// How often tandemd dies in one phase of one life, so that the deaths spread over all phases and lives go on.
int MostKills(Phase phase) {
  switch (phase) {
    case Phase::kModels:
    case Phase::kPromote:
    case Phase::kDelete:
      return 2;
    case Phase::kUpload:
    case Phase::kBuild:
    case Phase::kUpserts:
      return 3;
    case Phase::kRollback:
    case Phase::kTrain:
      return 4;
  }
  return 0;
}

uint64_t Seed() {
  const char* seed = getenv("TANDEM_KILL_TEST_SEED");
  return seed == nullptr ? 20'261'124 : std::strtoull(seed, nullptr, 10);
}

std::string Lines(const std::vector<std::string>& lines) { return absl::StrJoin(lines, "\n"); }

// A client that lives one life after another, on a thread of its own. When the server is gone it stops until it is let
// go on.
class LivingClient {
 public:
  LivingClient(LifeCycleOptions options, Ledger* ledger) : options_(std::move(options)), ledger_(ledger) {
    thread_ = std::thread([this] { Run(); });
  }
  ~LivingClient() {
    {
      absl::MutexLock lock(&mutex_);
      last_ = true;
      going_ = true;
    }
    thread_.join();
  }

  void GoOn(const std::string& address) {
    absl::MutexLock lock(&mutex_);
    address_ = address;
    going_ = true;
  }

  // Waits until it has stopped, because the server is gone or for a failure.
  bool WaitStopped() {
    absl::MutexLock lock(&mutex_);
    const auto stopped = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return !going_ || ended_; };
    return mutex_.AwaitWithTimeout(absl::Condition(&stopped), kPatience);
  }

  // Lets it finish the life that it lives now, on a server that is not killed any more.
  absl::Status Finish() {
    absl::MutexLock lock(&mutex_);
    last_ = true;
    const auto ended = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return ended_; };
    if (!mutex_.AwaitWithTimeout(absl::Condition(&ended), kPatience)) {
      return absl::DeadlineExceededError(absl::StrCat("phase ", PhaseName(place_.second), " does not end"));
    }
    return status_;
  }

  absl::Status status() {
    absl::MutexLock lock(&mutex_);
    return status_;
  }
  Place place() {
    absl::MutexLock lock(&mutex_);
    return place_;
  }
  // Waits until it is elsewhere; false when it is there for longer than `limit`, or has ended.
  bool WaitToLeave(const Place& place, absl::Duration limit) {
    absl::MutexLock lock(&mutex_);
    const auto elsewhere = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return place_ != place || ended_; };
    return mutex_.AwaitWithTimeout(absl::Condition(&elsewhere), limit) && !ended_;
  }

 private:
  // False at the end.
  bool WaitToGo(std::string* address) {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&going_));
    *address = address_;
    return !address_.empty();
  }

  void Run() {
    for (int cycle = 0;; ++cycle) {
      LifeCycle life(options_, ledger_, cycle);
      for (const Phase phase : kPhases) {
        {
          absl::MutexLock lock(&mutex_);
          place_ = {cycle, phase};
        }
        if (!Complete(&life, phase)) return;
      }
      absl::MutexLock lock(&mutex_);
      if (!last_) continue;
      ended_ = true;
      return;
    }
  }

  bool Complete(LifeCycle* life, Phase phase) {
    for (std::string address; WaitToGo(&address);) {
      const absl::Status status = life->Run(address, phase);
      if (status.ok()) return true;
      absl::MutexLock lock(&mutex_);
      going_ = false;
      if (absl::IsUnavailable(status) && !last_) continue;
      status_ = absl::Status(
          status.code(), absl::StrCat("phase ", PhaseName(phase), " of life ", place_.first, ": ", status.message()));
      break;
    }
    absl::MutexLock lock(&mutex_);
    ended_ = true;
    return false;
  }

  const LifeCycleOptions options_;
  Ledger* const ledger_;
  absl::Mutex mutex_;
  std::string address_ ABSL_GUARDED_BY(mutex_);
  bool going_ ABSL_GUARDED_BY(mutex_) = false;
  bool last_ ABSL_GUARDED_BY(mutex_) = false;   // The life that it lives is its last one.
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;  // The thread is through.
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  Place place_ ABSL_GUARDED_BY(mutex_) = {0, Phase::kModels};
  std::thread thread_;
};

class RandomKillTest : public testing::Test {
 protected:
  RandomKillTest() { WriteLifeCycleModels(imports_.path()); }

  LifeCycleOptions Options() const {
    return {.import_directory = imports_.path(),
            .write_calls = 100,
            .train_steps = 500,
            .checkpoint_steps = 25,
            .rollback_window = absl::Milliseconds(500)};
  }

  std::vector<std::string> Flags() const {
    std::vector<std::string> flags = LifeCycleFlags(imports_.path());
    flags.push_back("--seal-fresh=16");
    return flags;
  }

  // One life on a server that nobody kills; how long each phase took.
  std::map<Phase, absl::Duration> LiveUndisturbed(Ledger* ledger) {
    const TandemdProcess server(Flags());
    LifeCycle life(Options(), ledger);
    std::map<Phase, absl::Duration> durations;
    for (const Phase phase : kPhases) {
      const absl::Time start = absl::Now();
      const absl::Status status = life.Run(server.address(), phase);
      EXPECT_TRUE(status.ok()) << PhaseName(phase) << ": " << status;
      durations[phase] = absl::Now() - start;
      std::cout << "undisturbed " << PhaseName(phase) << ": " << durations[phase] << "\n";
    }
    EXPECT_THAT(CheckLedger(ConnectWithoutPatience(server.address()), *ledger), IsEmpty());
    return durations;
  }

  const TemporaryDirectory imports_;
};

// The moments of death: after the client has gone on, a random part of what its phase takes undisturbed.
class Killer {
 public:
  Killer(TandemdProcess* server, LivingClient* client, std::map<Phase, absl::Duration> durations)
      : server_(server), client_(client), durations_(std::move(durations)), random_(Seed()) {}

  void Kill() {
    WaitForTheMoment();
    const auto die = static_cast<uint32_t>(random_() % 10);
    if (die == 0) KillTrainerAlone();
    ++kills_[client_->place()];
    const pid_t trainer = server_->TrainerPid();
    server_->Kill();
    // Before it can write the checkpoint that its server's death asks for.
    if (die >= 5 && trainer > 0 && kill(trainer, SIGKILL) == 0) ++both_;
    CountHalfWritten();
  }

  // Now and then one that only starts is killed, too, in the middle of setting right what the last death left.
  void KillWhileStarting() {
    if (random_() % 4 != 0) return;
    const absl::Duration life = absl::Milliseconds(static_cast<int64_t>(50 + random_() % 500));
    const absl::Status started = server_->Start(life);
    if (started.ok()) {
      server_->Kill();
    } else {
      EXPECT_TRUE(absl::IsDeadlineExceeded(started)) << started;
      ++while_starting_;
    }
  }

  void Report() const {
    for (const Phase phase : kPhases) std::cout << "killed in " << PhaseName(phase) << ": " << kills(phase) << "\n";
    std::cout << "killed while starting: " << while_starting_ << "\n";
    std::cout << "trainer killed alone: " << trainer_alone_ << ", with tandemd: " << both_ << "\n";
    for (const auto& [folder, count] : half_written_) {
      std::cout << "half-written directories found in " << folder << ": " << count << "\n";
    }
  }

  int kills(Phase phase) const {
    int kills = 0;
    for (const auto& [place, count] : kills_) kills += place.second == phase ? count : 0;
    return kills;
  }

 private:
  void WaitForTheMoment() {
    while (true) {
      const Place place = client_->place();
      // Rather early than late: of a phase that was broken off less is left, and short ones are soon over.
      double part = std::uniform_real_distribution<double>(0, 1)(random_);
      if (place.second != Phase::kTrain) part *= part;
      const absl::Duration delay = part * std::min(durations_.at(place.second), kLongestPhase);
      const bool enough = kills_[place] >= MostKills(place.second);
      if (!client_->WaitToLeave(place, enough ? kPatience : delay)) return;
    }
  }

  // The server retries it, a while after.
  void KillTrainerAlone() {
    const pid_t trainer = server_->TrainerPid();
    int& deaths = trainer_kills_[client_->place().first];
    if (trainer == 0 || deaths == kTrainerKillsOfAJob || kill(trainer, SIGKILL) != 0) return;
    ++deaths;
    ++trainer_alone_;
    absl::SleepFor(absl::Milliseconds(static_cast<int64_t>(random_() % 500)));
  }

  // Directories that were being written, of imports, results, or indexes that were being sealed.
  void CountHalfWritten() {
    const std::filesystem::path& data = server_->data_directory();
    std::error_code error;  // A trainer that is still there may remove what is looked at: then that is not counted.
    for (std::filesystem::recursive_directory_iterator entry(data, error), end; !error && entry != end;
         entry.increment(error)) {
      if (!entry->path().filename().string().starts_with(".staging-")) continue;
      ++half_written_[entry->path().lexically_relative(data).begin()->string()];
    }
  }

  TandemdProcess* const server_;
  LivingClient* const client_;
  const std::map<Phase, absl::Duration> durations_;
  std::mt19937_64 random_;
  std::map<Place, int> kills_;
  std::map<int, int> trainer_kills_;         // Alone, by life.
  std::map<std::string, int> half_written_;  // By folder of the data directory.
  int while_starting_ = 0, trainer_alone_ = 0, both_ = 0;
};

void CheckAnswers(TandemdProcess* server, const Ledger& ledger, std::vector<SearchAnswer> answers) {
  server->Kill();
  const absl::StatusOr<std::vector<LoggedVersion>> log = ReadCommitLog(DocumentsDatabase(server->data_directory()));
  ASSERT_TRUE(log.ok()) << log.status();
  EXPECT_THAT(CheckCommitLog(*log, ledger), IsEmpty());
  ASSERT_TRUE(server->Start().ok());
  AnswerOracle oracle(*log, ledger.facts().release_revision, EmbedBy(server->address()));
  const size_t count = answers.size();
  const absl::StatusOr<std::vector<std::string>> wrong = oracle.Check(std::move(answers));
  ASSERT_TRUE(wrong.ok()) << wrong.status();
  EXPECT_THAT(*wrong, IsEmpty()) << Lines(*wrong);
  std::cout << count << " answers checked, " << log->size() << " commits\n";
}

TEST_F(RandomKillTest, NothingAcknowledgedIsLostAndNoAnswerIsWrong) {
  Ledger undisturbed;
  const std::map<Phase, absl::Duration> durations = LiveUndisturbed(&undisturbed);
  ASSERT_FALSE(HasFailure());

  Ledger ledger;
  absl::Mutex mutex;
  std::vector<SearchAnswer> answers;
  LifeCycleOptions options = Options();
  options.on_answer = [&](const SearchAnswer& answer) {
    absl::MutexLock lock(&mutex);
    answers.push_back(answer);
  };
  TandemdProcess server(Flags());
  SearchLoad searchers(server.address(), {.clients = 2,
                                          .newest_commit = [&] { return ledger.head_commit(); },
                                          .pause = absl::Milliseconds(2),
                                          .server_dies = true});
  LivingClient client(options, &ledger);
  Killer killer(&server, &client, durations);
  absl::Duration starting;
  for (int i = 0; i < kKills; ++i) {
    client.GoOn(server.address());
    killer.Kill();
    ASSERT_TRUE(client.WaitStopped()) << "a call does not end although the server is dead";
    ASSERT_TRUE(client.status().ok()) << client.status() << "\n" << server.Log();
    killer.KillWhileStarting();
    const absl::Time start = absl::Now();
    const absl::Status started = server.Start();
    ASSERT_TRUE(started.ok()) << "after kill " << i << ": " << started;
    starting += absl::Now() - start;
    const std::vector<std::string> lost = CheckLedger(ConnectWithoutPatience(server.address()), ledger);
    ASSERT_THAT(lost, IsEmpty()) << "after kill " << i << " in " << PhaseName(client.place().second) << ":\n"
                                 << Lines(lost);
  }
  client.GoOn(server.address());
  const absl::Status finished = client.Finish();
  EXPECT_TRUE(finished.ok()) << finished << "\n" << server.Log();
  searchers.Stop();
  killer.Report();
  std::cout << "restarts: " << starting / kKills << " on average; searches answered: " << searchers.searches() << "\n";
  EXPECT_THAT(searchers.failures(), IsEmpty());
  const std::vector<std::string> lost = CheckLedger(ConnectWithoutPatience(server.address()), ledger);
  EXPECT_THAT(lost, IsEmpty()) << Lines(lost);
  for (const Phase phase : {Phase::kUpload, Phase::kTrain, Phase::kBuild, Phase::kUpserts, Phase::kRollback}) {
    EXPECT_GT(killer.kills(phase), 0) << PhaseName(phase);
  }
  EXPECT_GT(killer.kills(Phase::kPromote) + killer.kills(Phase::kDelete), 0);  // They are over in a moment.
  for (int cycle = 0; cycle <= client.place().first; ++cycle) {
    const std::string difference =
        DifferenceInTraining(ledger, undisturbed, LifeCycle(options, &ledger, cycle).TrainRequestId(),
                             LifeCycle(options, &undisturbed).TrainRequestId());
    EXPECT_EQ(difference, "") << "training of life " << cycle;
  }
  // The losses alone do not tell: a training that begins anew has them, too.
  int resumed = 0;
  for (const auto& [request_id, job] : ledger.facts().jobs) {
    for (const auto& [sequence, event] : job.events) {
      resumed += absl::StrContains(event.text, "going on from the checkpoint") ? 1 : 0;
    }
  }
  std::cout << "trainings that went on from a checkpoint: " << resumed << "\n";
  EXPECT_GT(resumed, 0);
  std::vector<SearchAnswer> searched = searchers.answers();
  answers.insert(answers.end(), searched.begin(), searched.end());
  CheckAnswers(&server, ledger, std::move(answers));
}

}  // namespace
}  // namespace tandem::test
