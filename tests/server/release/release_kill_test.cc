// kill -9 at random moments of a process that writes, seals, builds, promotes and rolls back all the time: what it
// acknowledged is there afterwards, and the live release answers exactly from what is on disk.
//
// The program starts itself with TANDEM_KILL_TEST_DIRECTORY set to be that process.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <random>
#include <thread>

#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "server/base/strings.h"
#include "tests/support/release_world.h"
#include "tests/support/temporary_directory.h"

namespace tandem {
namespace {

using test::kCollection;
using test::kTenant;

constexpr char kDirectoryVariable[] = "TANDEM_KILL_TEST_DIRECTORY";
constexpr int kRounds = 12;
constexpr int kDocuments = 300;

ReleaseOptions Options() {
  ReleaseOptions options;
  options.seal_fresh = 40;
  return options;
}

// One line a fact that was acknowledged: "commit <n>" or "live <release>".
class Acknowledgements {
 public:
  explicit Acknowledgements(const std::filesystem::path& data) : file_(data / "acknowledged", std::ios::app) {}
  template <typename T>
  void Note(const char* what, const T& value) {
    const std::string line = Concat(what, " ", value, "\n");
    absl::MutexLock lock(&mutex_);
    file_ << line << std::flush;
  }

 private:
  absl::Mutex mutex_;
  std::ofstream file_;
};

void WriteForEver(test::ReleaseWorld& world, Acknowledgements& acknowledged, uint64_t seed) {
  std::mt19937_64 random(seed);
  while (true) {
    if (random() % 4 == 0) {
      acknowledged.Note("commit", world.Delete({Concat("d", random() % kDocuments)}));
    } else {
      std::vector<std::pair<std::string, std::string>> documents;
      for (uint64_t n = 1 + random() % 16; n > 0; --n) {
        documents.emplace_back(Concat("d", random() % kDocuments), Concat("w", random() % 200, " w", random() % 200));
      }
      acknowledged.Note("commit", world.Put(documents));
    }
  }
}

// Each turn builds a release, promotes it, goes back, and goes forth again.
void PromoteForEver(test::ReleaseWorld& world, Acknowledgements& acknowledged, uint64_t seed) {
  const auto promote = [&](const std::string& id) {
    acknowledged.Note("trying", id);
    if (world.Promote(id, "kill test").ok()) acknowledged.Note("live", id);
  };
  for (uint64_t n = 1;; ++n) {
    const std::string before = world.meta().GetCollection(kTenant, kCollection)->live_release;
    const std::string id = Concat("r", seed, "-", n);
    if (!world.CreateRelease(id, n % 2 == 0 ? "a" : "b").ok()) std::_Exit(9);
    world.WaitBuilt(id);
    promote(id);
    promote(before);
    promote(id);
    world.collections().DeleteRelease(kTenant, kCollection, before).IgnoreError();
  }
}

[[noreturn]] void BeTheServer(const std::filesystem::path& data, uint64_t seed) {
  test::ReleaseWorld world(data, Options());
  Acknowledgements acknowledged(data);
  acknowledged.Note("started", seed);
  std::thread writer([&] { WriteForEver(world, acknowledged, seed); });
  PromoteForEver(world, acknowledged, seed);
  std::abort();
}

struct Promised {
  int64_t commit = 0;
  std::string live, trying;  // `trying`: the promotion that was under way, done or not.
  int promotions = 0;
  bool started = false;
};

Promised ReadPromised(const std::filesystem::path& data) {
  Promised promised;
  std::ifstream file(data / "acknowledged");
  for (std::string what, value; file >> what >> value;) {
    if (what == "commit") promised.commit = std::max<int64_t>(promised.commit, std::stoll(value));
    if (what == "trying") promised.trying = value;
    if (what == "started") promised.started = true;
    if (what == "live") {
      promised.live = value;
      ++promised.promotions;
    }
  }
  return promised;
}

pid_t StartServer(const std::filesystem::path& data, uint64_t seed) {
  setenv(kDirectoryVariable, data.c_str(), 1);
  setenv("TANDEM_KILL_TEST_SEED", std::to_string(seed).c_str(), 1);
  const pid_t pid = fork();
  if (pid == 0) {
    execl("/proc/self/exe", "release_kill_test", static_cast<char*>(nullptr));
    _exit(127);
  }
  return pid;
}

TEST(ReleaseKillTest, NothingAcknowledgedIsLostAndNothingHalfIsServed) {
  test::TemporaryDirectory data;
  {
    test::ReleaseWorld world(data.path(), Options());
    world.CreateCollection();
    world.PutMany(0, kDocuments);
    world.GoLive("r0", "a");
  }
  std::mt19937_64 random(7);
  for (int round = 1; round <= kRounds; ++round) {
    const pid_t pid = StartServer(data.path(), static_cast<uint64_t>(round));
    ASSERT_GT(pid, 0);
    absl::SleepFor(absl::Milliseconds(150 + static_cast<int64_t>(random() % 1200)));
    ASSERT_EQ(kill(pid, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the server ended by itself: " << status;

    const Promised promised = ReadPromised(data.path());
    test::ReleaseWorld world(data.path(), Options());
    ASSERT_GE(world.documents()->head(), promised.commit);
    const std::string live = world.meta().GetCollection(kTenant, kCollection)->live_release;
    if (!promised.live.empty()) {
      EXPECT_TRUE(live == promised.live || live == promised.trying) << live << ", promised " << promised.live;
    }
    const auto at_once = world.collections().Live(kTenant, kCollection);
    ASSERT_TRUE(at_once.ok()) << "a whole release is on disk, so it serves without being built again: "
                              << at_once.status();
    EXPECT_EQ((*at_once)->id, live);
    test::Oracle oracle(&world);
    for (const char* query : {"w1", "w50 w51", "w199"}) {
      EXPECT_EQ(oracle.Check(test::Ask(world, **at_once, query)), "") << "round " << round;
      EXPECT_EQ(oracle.Check(test::Ask(world, *world.LiveAtHead(), query)), "") << "round " << round;
    }
  }
  const Promised promised = ReadPromised(data.path());
  EXPECT_TRUE(promised.started);
  EXPECT_GT(promised.commit, kDocuments);
  EXPECT_GT(promised.promotions, 0);
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) {
  if (const char* directory = std::getenv(tandem::kDirectoryVariable); directory != nullptr) {
    tandem::BeTheServer(directory, std::strtoull(std::getenv("TANDEM_KILL_TEST_SEED"), nullptr, 10));
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
