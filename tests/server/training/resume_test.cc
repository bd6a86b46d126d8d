// Runs that are stopped or killed and go on from a checkpoint end with the very weights of those that were not.

#include <signal.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "server/base/files.h"
#include "server/base/random.h"
#include "server/training/job_examples.h"
#include "server/training/mined_negatives.h"
#include "server/training/trainer.h"
#include "tests/server/training/every_loss.h"
#include "tests/server/training/job.h"

namespace tandem {
namespace {

struct ResumeCase {
  NamedLoss loss;
  std::optional<BatchSampler> sampler;
  std::optional<int> micro_batch_size;
};

const char* NameOf(BatchSampler sampler) {
  switch (sampler) {
    case BatchSampler::kNoDuplicates:
      return "NoDuplicates";
    case BatchSampler::kPlain:
      return "Plain";
    case BatchSampler::kBalanced:
      return "Balanced";
  }
  __builtin_unreachable();
}

std::string NameOf(const ResumeCase& c) {
  return c.loss.name + NameOf(*c.sampler) + (c.micro_batch_size ? "InPieces" : "AtOnce");
}

std::ostream& operator<<(std::ostream& out, const ResumeCase& c) { return out << NameOf(c); }

TrainerOptions OptionsOf(const ResumeCase& c) {
  TrainerOptions options = QuickOptions();
  options.objectives = {{c.loss.loss}};
  options.epochs = 2;
  options.batch_sampler = c.sampler;
  options.micro_batch_size = c.micro_batch_size;
  options.texts_per_class = 3;
  options.checkpoint_steps = 1000;
  return options;
}

// Every loss with every sampler that may be asked for, at once and in pieces.
std::vector<ResumeCase> AllCases() {
  std::vector<ResumeCase> cases;
  for (const NamedLoss& loss : EveryLoss()) {
    for (const BatchSampler sampler : {BatchSampler::kNoDuplicates, BatchSampler::kPlain, BatchSampler::kBalanced}) {
      for (const std::optional<int> micro_batch_size : {std::optional<int>(), std::optional<int>(5)}) {
        const ResumeCase c{loss, sampler, micro_batch_size};
        const TrainerOptions options = OptionsOf(c);
        if (options.Validate().ok() && options.ValidateFor(loss.form).ok()) cases.push_back(c);
      }
    }
  }
  return cases;
}

TrainerOutcome RunHere(const Job& job, const std::atomic<bool>& stop = false) {
  const auto outcome = RunTrainer(job.directory, stop);
  EXPECT_TRUE(outcome.ok()) << outcome.status();
  return outcome.value_or(TrainerOutcome::kStopped);
}

// Asks the trainer to stop once it has done `step`, which it may pass by a few.
TrainerOutcome RunHereUntil(const Job& job, int64_t step) {
  std::atomic<bool> stop = false, over = false;
  std::thread watcher([&] {
    while (!over && job.EventsOf("step").size() < static_cast<size_t>(step)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    stop = true;
  });
  const TrainerOutcome outcome = RunHere(job, stop);
  over = true;
  watcher.join();
  return outcome;
}

void ExpectSameRun(const Job& resumed, const Job& whole) {
  EXPECT_EQ(resumed.Losses(), whole.Losses());
  EXPECT_EQ(resumed.Result(), whole.Result());
  ASSERT_FALSE(whole.ResultWeights().empty());
  EXPECT_TRUE(resumed.ResultWeights() == whole.ResultWeights());
}

class ResumeTest : public testing::TestWithParam<ResumeCase> {};

TEST_P(ResumeTest, StoppedRunGoesOnAsIfNothingHadHappened) {
  const ResumeCase& c = GetParam();
  const Job whole("resume_whole_" + NameOf(c), OptionsOf(c));
  whole.WriteExamples(0, ExampleLines(c.loss, 64));
  ASSERT_EQ(RunHere(whole), TrainerOutcome::kDone);
  const int64_t steps = static_cast<int64_t>(whole.Losses().size());
  ASSERT_GE(steps, 10);
  SplitMix64 random(std::hash<std::string>()(NameOf(c)));
  std::optional<Job> stopped;
  // On a busy machine the watcher may come so late that the run is over: then once more.
  for (int attempt = 0; attempt < 10; ++attempt) {
    stopped.emplace("resume_stopped_" + NameOf(c), OptionsOf(c));
    stopped->WriteExamples(0, ExampleLines(c.loss, 64));
    const int64_t step = 1 + static_cast<int64_t>(random.Below(static_cast<uint64_t>(steps) - 4));
    if (RunHereUntil(*stopped, step) == TrainerOutcome::kStopped) break;
  }
  ASSERT_EQ(stopped->EventsOf("checkpoint").size(), 1u);
  ASSERT_EQ(RunHere(*stopped), TrainerOutcome::kDone);
  ExpectSameRun(*stopped, whole);
}

INSTANTIATE_TEST_SUITE_P(EveryLoss, ResumeTest, testing::ValuesIn(AllCases()),
                         [](const auto& info) { return NameOf(info.param); });

NamedLoss Named(const std::string& name) {
  for (const NamedLoss& loss : EveryLoss()) {
    if (loss.name == name) return loss;
  }
  ADD_FAILURE() << "no loss " << name;
  return {};
}

// Three objectives on examples of three forms.
class MixedJob : public Job {
 public:
  MixedJob(const std::string& name, const TrainerOptions& options) : Job(name, options) {
    for (int i = 0; i < 3; ++i) WriteExamples(i, ExampleLines(Losses()[i], 24 + 16 * i));
  }
  static std::vector<NamedLoss> Losses() { return {Named("InfoNce"), Named("SupCon"), Named("Cosent")}; }
  static TrainerOptions Options(Mixing mixing, std::optional<int> micro_batch_size) {
    TrainerOptions options = QuickOptions();
    options.objectives = {{Losses()[0].loss, 2}, {Losses()[1].loss, 0.5}, {Losses()[2].loss, 1}};
    options.mixing = mixing;
    options.micro_batch_size = micro_batch_size;
    options.epochs = 3;
    options.checkpoint_steps = 3;
    options.freeze_embeddings = mixing == Mixing::kSum;
    options.layer_decay = 0.8;
    options.validation_fraction = 0.2;
    return options;
  }
};

TEST(ResumeMixedTest, StoppedRunOfSeveralObjectivesGoesOnAsIfNothingHadHappened) {
  for (const Mixing mixing : {Mixing::kProportional, Mixing::kSum}) {
    for (const std::optional<int> micro_batch_size : {std::optional<int>(), std::optional<int>(9)}) {
      const TrainerOptions options = MixedJob::Options(mixing, micro_batch_size);
      const MixedJob whole("mixed_whole", options), stopped("mixed_stopped", options);
      ASSERT_EQ(RunHere(whole), TrainerOutcome::kDone);
      const int64_t steps = static_cast<int64_t>(whole.EventsOf("step").size());
      for (const int64_t step : {steps / 4, steps / 2}) RunHereUntil(stopped, step);
      ASSERT_EQ(RunHere(stopped), TrainerOutcome::kDone);
      ExpectSameRun(stopped, whole);
      for (const nlohmann::json& event : whole.EventsOf("step")) {
        EXPECT_EQ(event.contains("objective"), mixing == Mixing::kProportional);
      }
    }
  }
}

TEST(ResumeLoraTest, StoppedRunOfAdaptersGoesOnAsIfNothingHadHappened) {
  const LoraOptions principal = {.rank = 4, .initialization = LoraInitialization::kPrincipal};
  const LoraOptions dropping = {.rank = 4, .alpha = 8, .dropout = 0.1};
  for (const LoraOptions& lora : {principal, dropping}) {
    for (const std::optional<int> micro_batch_size : {std::optional<int>(), std::optional<int>(9)}) {
      TrainerOptions options = QuickOptions();
      options.lora = lora;
      options.learning_rate = 1e-2;
      options.micro_batch_size = micro_batch_size;
      const Job whole("lora_whole", options), stopped("lora_stopped", options);
      ASSERT_EQ(RunHere(whole), TrainerOutcome::kDone);
      for (const int64_t step : {5, 20}) ASSERT_EQ(RunHereUntil(stopped, step), TrainerOutcome::kStopped);
      ASSERT_EQ(RunHere(stopped), TrainerOutcome::kDone);
      ExpectSameRun(stopped, whole);
    }
  }
}

// Mining before each epoch of 8 steps.
TrainerOptions MiningOptions(const LossOptions& loss) {
  TrainerOptions options = QuickOptions();
  options.objectives = {{loss}};
  options.epochs = 4;
  options.checkpoint_steps = 3;
  options.mining = {.options = {.negatives = 3, .max_rank = 20, .sampling = NegativeMiningOptions::Sampling::kRandom}};
  return options;
}

TEST(ResumeMiningTest, StoppedRunGoesOnAsIfNothingHadHappened) {
  for (const char* const name : {"InfoNce", "NtXent", "TripletExplicit"}) {
    for (const bool lora : {false, true}) {
      TrainerOptions options = MiningOptions(Named(name).loss);
      if (lora) options.lora = {.rank = 4};
      const Job whole("mining_whole", options), stopped("mining_stopped", options);
      ASSERT_EQ(RunHere(whole), TrainerOutcome::kDone);
      for (const int64_t step : {4, 15}) RunHereUntil(stopped, step);
      ASSERT_EQ(RunHere(stopped), TrainerOutcome::kDone);
      ExpectSameRun(stopped, whole);
    }
  }
}

// Kills the program as soon as the file of an epoch's negatives is there. Whether it was before the epoch's first step.
bool KillAfterMining(const Job& job, int64_t epoch, int64_t steps_before) {
  const auto file = job.directory / (kNegativesPrefix + std::to_string(epoch));
  const pid_t pid = job.Start();
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!std::filesystem::exists(file) && std::chrono::steady_clock::now() < give_up) {
  }
  kill(pid, SIGKILL);
  Job::Wait(pid);
  return std::filesystem::exists(file) && job.EventsOf("step").size() == static_cast<size_t>(steps_before);
}

TEST(ResumeMiningTest, ProgramKilledBetweenMiningAndTheFirstStepGoesOnAsIfNothingHadHappened) {
  const TrainerOptions options = MiningOptions(Named("InfoNce").loss);
  const Job whole("mining_undisturbed", options);
  ASSERT_EQ(whole.Run(), kTrainerDone);
  for (const int64_t epoch : {0, 2}) {
    std::optional<Job> killed;
    // A step takes less than a hundredth of a second: on a busy machine the kill may come too late, then once more.
    for (int attempt = 0; attempt < 30; ++attempt) {
      killed.emplace("mining_killed", options);
      if (KillAfterMining(*killed, epoch, 8 * epoch)) break;
    }
    ASSERT_EQ(killed->EventsOf("step").size(), static_cast<size_t>(8 * epoch));
    const auto file = killed->directory / (kNegativesPrefix + std::to_string(epoch));
    ASSERT_TRUE(std::filesystem::exists(file));
    ASSERT_EQ(killed->Run(), kTrainerDone);
    ExpectSameRun(*killed, whole);
    for (const nlohmann::json& event : killed->EventsOf("message")) {
      EXPECT_EQ(event["text"].get<std::string>().find("mined again"), std::string::npos) << event;
    }
  }
}

TEST(ResumeMiningTest, TheNegativesOfTheFileAreThoseThatAreTrainedOn) {
  const TrainerOptions options = MiningOptions(Named("InfoNce").loss);
  const Job whole("mining_own", options), other("mining_other", options);
  ASSERT_EQ(RunHere(whole), TrainerOutcome::kDone);
  const auto examples = ReadJobExamples(other.directory, options);
  ASSERT_TRUE(examples.ok()) << examples.status();
  MinedNegatives none(1);
  for (int64_t i = 0; i < examples->training[0].size(); ++i) none[0].Add({});
  const auto file = MinedNegativesFile(other.directory, 0);
  ASSERT_TRUE(SaveMinedNegatives(file, 0, ChecksumOf(examples->texts), none).ok());
  ASSERT_EQ(RunHere(other), TrainerOutcome::kDone);
  EXPECT_NE(other.Losses().at(1), whole.Losses().at(1));
}

TEST(ResumeMixedTest, KilledProgramGoesOnAsIfNothingHadHappened) {
  for (const Mixing mixing : {Mixing::kProportional, Mixing::kSum}) {
    const TrainerOptions options = MixedJob::Options(mixing, 9);
    const MixedJob whole("mixed_undisturbed", options), killed("mixed_killed", options);
    ASSERT_EQ(whole.Run(), kTrainerDone);
    for (const int64_t step : {4, 8}) {
      const pid_t pid = killed.Start();
      killed.WaitForStep(step);
      kill(pid, SIGKILL);
      Job::Wait(pid);
    }
    ASSERT_EQ(killed.Run(), kTrainerDone);
    ExpectSameRun(killed, whole);
    EXPECT_GT(killed.Events().back()["attempt"].get<int>(), 1);
  }
}

}  // namespace
}  // namespace tandem
