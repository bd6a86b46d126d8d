// A life is recorded, with everything that it writes; then its disk is replayed and loses power: after every sync with
// all that was not synced dropped, and in between with names kept, or with what chance has it. tandemd starts on each
// of these disks, has all that was acknowledged by then, and what is live answers exactly.

#include <algorithm>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "tests/e2e/ledger_check.h"
#include "tests/e2e/life_cycle.h"
#include "tests/e2e/recorded_life.h"
#include "tests/e2e/tandemd_process.h"
#include "tests/support/disk_steps/disk_model.h"
#include "tests/support/disk_steps/step_log.h"
#include "tests/support/disk_steps/step_name.h"

namespace tandem::test {
namespace {

namespace fs = std::filesystem;
using testing::IsEmpty;
using testing::Not;

constexpr int kWorkers = 2;
constexpr size_t kMostKept = 3;  // Of the states with names kept after steps of one name; of more every n-th is taken.
constexpr size_t kRandomCuts = 100;
constexpr size_t kFinishedTrainings = 10;  // Besides those after random cuts.
constexpr absl::Duration kTimeToTrain = absl::Minutes(5);

std::string_view NameOf(PowerCut cut) {
  switch (cut) {
    case PowerCut::kNothingLost:
      return "nothing lost";
    case PowerCut::kDropUnsynced:
      return "unsynced dropped";
    case PowerCut::kKeepEntries:
      return "names kept";
    case PowerCut::kRandom:
      return "random";
  }
  return "";
}

// Power fails when `steps` were taken.
struct Cut {
  int64_t steps = 0;
  PowerCut kind = PowerCut::kDropUnsynced;
  uint64_t seed = 0;
  std::string last_step;  // Its name.
  bool finish_training = false;
};
std::string Describe(const Cut& cut) {
  return absl::StrCat("power fails after step ", cut.steps, ", ", cut.last_step, ", ", std::string(NameOf(cut.kind)),
                      cut.kind == PowerCut::kRandom ? absl::StrCat(" ", cut.seed) : "");
}

// Files that are not written with calls: SQLite's shared memory, and the standard error of a trainer. Nothing rests on
// them.
bool HasOtherContent(const fs::path& path) {
  const std::string name = path.filename();
  return name == "trainer.log" || absl::EndsWith(name, ".db-shm");
}

std::map<std::string, std::string> FilesBelow(const fs::path& directory) {
  std::map<std::string, std::string> files;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(directory)) {
    std::string& content = files[entry.path().lexically_relative(directory)];
    if (entry.is_directory()) content = "/";
    if (!entry.is_regular_file() || HasOtherContent(entry.path())) continue;
    std::ifstream file(entry.path(), std::ios::binary);
    content.assign(std::istreambuf_iterator<char>(file), {});
  }
  return files;
}

class PowerCutTest : public testing::Test {
 protected:
  PowerCutTest() { WriteLifeCycleModels(imports_.path()); }

  // A life in which tandemd dies once while it builds and its trainer once while it trains, so that what they do to
  // recover is recorded too.
  void Record();
  absl::Status RunRecorded(Phase phase, LifeCycle* life, TandemdProcess* server);
  void CheckThatNothingWasMissed();
  std::vector<Cut> ChooseCuts();
  void Add(std::map<std::string, std::vector<Cut>> cuts, size_t most_of_a_name, std::vector<Cut>* chosen);

  std::vector<std::string> CheckWithout(const std::string& sync, Phase end);

  // For several threads at once, each with its number.
  void Work(int number, const std::vector<Cut>& cuts);
  std::vector<std::string> CheckCut(const Cut& cut, const fs::path& directory, std::vector<SearchAnswer>* answers);
  std::string FinishTraining(const Client& client);
  void WriteDisk(const DiskModel& disk, const Cut& cut, const fs::path& directory);

  // Of the recorded life, 0, and of each worker.
  fs::path DataOf(int number) const { return fs::canonical(folder_.path()) / absl::StrCat("data", number); }
  LifeCycleOptions Options() {
    return {.import_directory = imports_.path(),
            .train_steps = 60,
            .checkpoint_steps = 10,
            .rollback_window = absl::Milliseconds(300)};
  }

  const TemporaryDirectory imports_, folder_;
  Ledger ledger_;
  std::unique_ptr<StepLog> log_;
  uint64_t root_inode_ = 0;  // Of the recorded directory.
  std::vector<Step> steps_;
  std::vector<int64_t> event_syncs_;  // Positions.
  std::map<Phase, int64_t> ends_;     // Of phases, in steps.

  absl::Mutex mutex_;
  std::vector<std::string> findings_;
  std::vector<SearchAnswer> answers_;
  std::map<std::string, int> checked_;  // By kind of cut.
  int finished_trainings_ = 0, resumed_trainings_ = 0;
};

void PowerCutTest::Record() {
  fs::create_directory(DataOf(0));
  struct stat stat;
  ASSERT_EQ(::stat(DataOf(0).c_str(), &stat), 0);
  root_inode_ = stat.st_ino;
  log_ = StepLog::Create(folder_.path() / "log", DataOf(0), {});
  ledger_.set_position([this] { return log_->steps(); });
  TandemdProcess server({.flags = LifeCycleFlags(imports_.path()),
                         .environment = log_->Environment(DISK_STEPS_LIBRARY),
                         .data_directory = DataOf(0)});
  LifeCycle life(Options(), &ledger_);
  for (const Phase phase : kPhases) {
    if (phase == Phase::kTrain) log_->StopBefore("rename jobs/checkpoint", 2);
    if (phase == Phase::kBuild) log_->StopBefore("rename collections/releases/sealed", 2);
    const absl::Status status = RunRecorded(phase, &life, &server);
    ASSERT_TRUE(status.ok()) << PhaseName(phase) << ": " << status << "\n" << server.Log();
    if (phase == Phase::kTrain || phase == Phase::kUpserts) {
      ASSERT_EQ(server.Stop(), 0);
      ASSERT_TRUE(server.Start().ok());
    }
    ends_[phase] = log_->steps();
  }
  ASSERT_EQ(server.Stop(), 0);
  ASSERT_EQ(log_->Finding(), "");
  steps_ = log_->Read();
  for (int64_t i = 0; i < std::ssize(steps_); ++i) {
    if (StepName(steps_[i]) == "sync jobs/events") event_syncs_.push_back(i + 1);
  }
}

absl::Status PowerCutTest::RunRecorded(Phase phase, LifeCycle* life, TandemdProcess* server) {
  const absl::Status status = life->Run(server->address(), phase);
  if (!absl::IsUnavailable(status) || log_->stopped_process() != server->pid()) return status;
  server->WaitForEnd();
  const absl::Status started = server->Start();
  return started.ok() ? life->Run(server->address(), phase) : started;
}

void PowerCutTest::CheckThatNothingWasMissed() {
  const TemporaryDirectory replayed;
  DiskModel disk = DiskModel::Empty(root_inode_);
  for (const Step& step : steps_) disk.Apply(step);
  disk.WriteTo(replayed.path(), PowerCut::kNothingLost);
  const auto expected = FilesBelow(DataOf(0)), got = FilesBelow(replayed.path());
  for (const auto& [path, content] : expected) {
    EXPECT_TRUE(got.contains(path)) << path << " was not recorded";
    EXPECT_TRUE(!got.contains(path) || got.at(path) == content) << path << " was written without being recorded";
  }
  for (const auto& [path, content] : got) EXPECT_TRUE(expected.contains(path)) << path << " went without being seen";
}

// States that differ from the one before. After each sync those that it makes durable; names that are kept where a
// rename, a removal or a new name is on no disk yet.
std::vector<Cut> PowerCutTest::ChooseCuts() {
  DiskModel disk = DiskModel::Empty(root_inode_);
  std::map<std::string, std::vector<Cut>> synced, kept;
  uint64_t last_synced = 0, last_kept = 0;
  for (int64_t i = 0; i < std::ssize(steps_); ++i) {
    const Step& step = steps_[i];
    disk.Apply(step);
    if (step.kind == StepKind::kWrite || step.kind == StepKind::kTruncate) continue;
    const std::string name = StepName(step);
    const uint64_t now_synced = disk.Fingerprint(PowerCut::kDropUnsynced);
    const uint64_t now_kept = disk.Fingerprint(PowerCut::kKeepEntries);
    if (std::exchange(last_synced, now_synced) != now_synced) {
      synced[name].push_back({.steps = i + 1, .kind = PowerCut::kDropUnsynced, .last_step = name});
    }
    if (std::exchange(last_kept, now_kept) != now_kept && now_kept != now_synced) {
      kept[name].push_back({.steps = i + 1, .kind = PowerCut::kKeepEntries, .last_step = name});
    }
  }
  std::vector<Cut> chosen;
  Add(std::move(synced), steps_.size(), &chosen);  // All of them.
  Add(std::move(kept), kMostKept, &chosen);
  std::mt19937_64 random(20261124);
  for (size_t i = 0; i < kRandomCuts; ++i) {
    const int64_t steps = 1 + static_cast<int64_t>(random() % steps_.size());
    chosen.push_back({steps, PowerCut::kRandom, random() % 1000, StepName(steps_[steps - 1])});
  }
  std::ranges::sort(chosen, {}, &Cut::steps);
  std::vector<Cut*> training;
  for (Cut& cut : chosen) {
    if (cut.steps <= ends_[Phase::kUpload] || cut.steps > ends_[Phase::kTrain]) continue;
    cut.finish_training = cut.kind == PowerCut::kRandom;
    training.push_back(&cut);
  }
  for (size_t i = 0; i < kFinishedTrainings && !training.empty(); ++i) {
    training[i * training.size() / kFinishedTrainings]->finish_training = true;
  }
  return chosen;
}

void PowerCutTest::Add(std::map<std::string, std::vector<Cut>> cuts, size_t most_of_a_name, std::vector<Cut>* chosen) {
  size_t all = 0, before = chosen->size();
  for (const auto& [name, same] : cuts) {
    all += same.size();
    const size_t taken = std::min(same.size(), most_of_a_name);
    for (size_t i = 0; i < taken; ++i) chosen->push_back(same[i * same.size() / taken]);
  }
  std::cout << all << " states, " << NameOf(chosen->back().kind) << ", after steps of " << cuts.size() << " names; "
            << chosen->size() - before << " chosen" << std::endl;
}

void PowerCutTest::WriteDisk(const DiskModel& disk, const Cut& cut, const fs::path& directory) {
  fs::remove_all(directory);
  fs::create_directory(directory);
  disk.WriteTo(directory, cut.kind, cut.seed);
}

// Empty when the job, if there is one, ends with the losses and the weights of the recorded life.
std::string PowerCutTest::FinishTraining(const Client& client) {
  const JobFact recorded = ledger_.job("train");
  absl::StatusOr<v1::Job> job = client.jobs.Get(recorded.name);
  if (absl::IsNotFound(job.status())) return "";
  for (const absl::Time limit = absl::Now() + kTimeToTrain; job.ok() && !IsFinished(job->state());
       job = client.jobs.Get(recorded.name)) {
    if (absl::Now() > limit) return absl::StrCat("training has not ended after ", absl::FormatDuration(kTimeToTrain));
    absl::SleepFor(absl::Milliseconds(20));
  }
  if (!job.ok()) return job.status().ToString();
  if (job->state() != v1::Job::SUCCEEDED) return absl::StrCat("training ended: ", job->error().message());
  const absl::StatusOr<v1::ModelRevision> revision = client.models.GetRevision(job->model_revision());
  if (!revision.ok()) return revision.status().ToString();
  if (revision->sha256() != recorded.sha256) return "training made other weights";
  std::string conflict;
  const std::map<int64_t, double> losses = ledger_.Losses("train", &conflict);
  const absl::Status watched =
      client.jobs
          .Watch(recorded.name, 0,
                 [&](const v1::JobEvent& event) {
                   if (!event.has_step()) return;
                   const auto [step, loss] = std::pair(event.step().step(), event.step().loss());
                   if (losses.at(step) != loss) {
                     conflict = absl::StrCat("step ", step, " has loss ", loss, ", had ", losses.at(step));
                   }
                 })
          .status();
  if (!watched.ok()) return watched.ToString();
  absl::MutexLock lock(&mutex_);
  ++finished_trainings_;
  return conflict;
}

std::vector<std::string> PowerCutTest::CheckCut(const Cut& cut, const fs::path& directory,
                                                std::vector<SearchAnswer>* answers) {
  // With a port of its own each time: while a server is down, another program may get its port.
  TandemdProcess server({.flags = LifeCycleFlags(imports_.path()), .data_directory = directory},
                        TandemdProcess::NotStarted());
  const bool has_to_resume = HasToResume(directory);
  const int resumed_before = TimesResumed(directory);
  const absl::Status started = server.Start();
  if (!started.ok()) return {started.ToString()};
  const Client client = ConnectWithoutPatience(server.address());
  std::vector<std::string> findings =
      CheckLedger(client, ledger_, {.position = cut.steps, .power_cut = true, .event_syncs = event_syncs_});
  for (std::string& finding : CheckRevisions(server.address(), ledger_, cut.steps)) {
    findings.push_back(std::move(finding));
  }
  const absl::Status asked = AskLive(client, answers);
  if (!asked.ok()) findings.push_back(asked.ToString());
  if (cut.finish_training) {
    std::string finding = FinishTraining(client);
    const bool resumed = TimesResumed(directory) > resumed_before;
    if (finding.empty() && has_to_resume && !resumed) finding = "training did not go on from its checkpoint";
    if (!finding.empty()) findings.push_back(absl::StrCat(finding, "\n", server.Log()));
    absl::MutexLock lock(&mutex_);
    resumed_trainings_ += resumed;
  }
  server.Kill();
  return findings;
}

void PowerCutTest::Work(int number, const std::vector<Cut>& cuts) {
  DiskModel disk = DiskModel::Empty(root_inode_);
  int64_t applied = 0;
  for (size_t i = number - 1; i < cuts.size(); i += kWorkers) {
    const Cut& cut = cuts[i];
    while (applied < cut.steps) disk.Apply(steps_[applied++]);
    WriteDisk(disk, cut, DataOf(number));
    std::vector<SearchAnswer> answers;
    const std::vector<std::string> findings = CheckCut(cut, DataOf(number), &answers);
    KillTrainersBelow(DataOf(number));
    absl::MutexLock lock(&mutex_);
    ++checked_[std::string(NameOf(cut.kind))];
    answers_.insert(answers_.end(), answers.begin(), answers.end());
    for (const std::string& finding : findings) {
      findings_.push_back(absl::StrCat(Describe(cut), ": ", finding));
      std::cout << "FINDING " << findings_.back() << std::endl;
    }
  }
}

// The same disk with one kind of sync left out: what a server would leave that does not make it.
std::vector<std::string> PowerCutTest::CheckWithout(const std::string& sync, Phase end) {
  DiskModel disk = DiskModel::Empty(root_inode_);
  for (int64_t i = 0; i < ends_[end]; ++i) {
    if (StepName(steps_[i]) != sync) disk.Apply(steps_[i]);
  }
  const Cut cut = {.steps = ends_[end], .kind = PowerCut::kDropUnsynced};
  WriteDisk(disk, cut, DataOf(1));
  std::vector<SearchAnswer> answers;
  std::vector<std::string> findings = CheckCut(cut, DataOf(1), &answers);
  KillTrainersBelow(DataOf(1));
  return findings;
}

TEST_F(PowerCutTest, NothingAcknowledgedIsLostWhereverPowerFails) {
  const absl::Time begin = absl::Now();
  ASSERT_NO_FATAL_FAILURE(Record());
  ASSERT_NO_FATAL_FAILURE(CheckThatNothingWasMissed());
  std::cout << steps_.size() << " steps recorded and replayed in " << absl::Now() - begin << std::endl;
  // This test can fail.
  EXPECT_THAT(CheckWithout("sync collections/documents.db-wal", Phase::kUpload), Not(IsEmpty()));
  EXPECT_THAT(CheckWithout("sync models/model", Phase::kModels), Not(IsEmpty()));
  EXPECT_THAT(CheckWithout("sync jobs/events", Phase::kTrain), Not(IsEmpty()));

  const std::vector<Cut> cuts = ChooseCuts();
  std::vector<std::thread> threads;
  for (int number = 1; number <= kWorkers; ++number) threads.emplace_back([&, number] { Work(number, cuts); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& [kind, count] : checked_) std::cout << count << " disks checked: " << kind << "\n";
  EXPECT_THAT(findings_, IsEmpty()) << absl::StrJoin(findings_, "\n");

  const auto log = ReadCommitLog(DocumentsDatabase(DataOf(0)));
  ASSERT_TRUE(log.ok()) << log.status();
  LifeOracle oracle(DataOf(0), LifeCycleFlags(imports_.path()), ledger_.job("train").revision);
  std::cout << answers_.size() << " answers, " << finished_trainings_ << " trainings finished, " << resumed_trainings_
            << " of them from a checkpoint\n";
  EXPECT_GT(answers_.size(), cuts.size() / 2);
  EXPECT_GT(finished_trainings_, 0);
  EXPECT_GT(resumed_trainings_, 0);
  const std::vector<std::string> wrong = oracle.Check(*log, ledger_, answers_);
  EXPECT_THAT(wrong, IsEmpty()) << absl::StrJoin(wrong, "\n");
  std::cout << "in all " << absl::Now() - begin << "\n";
}

}  // namespace
}  // namespace tandem::test
