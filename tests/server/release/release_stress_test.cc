// Searches, writes, promotions and rollbacks at once: every answer is exact for the (release, commit) that it names, no
// search fails, and what a client has read is never taken back.
#include <atomic>
#include <random>
#include <set>
#include <thread>

#include <gtest/gtest.h>

#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "server/base/strings.h"
#include "tests/support/release_world.h"
#include "tests/support/temporary_directory.h"

namespace tandem {
namespace {

using test::kCollection;
using test::kTenant;

constexpr absl::Duration kTime = absl::Seconds(6);
constexpr int kPromotions = 6;  // A machine that has no time for so many in kTime gets more,
constexpr absl::Duration kLongestTime = absl::Minutes(2);  // but not more than this.
constexpr int kDocuments = 400;
constexpr uint64_t kKeptAnswers = 500;  // A searcher's; checking one takes about a millisecond.

class Stress {
 public:
  explicit Stress(test::ReleaseWorld* world) : world_(world) {}

  void Write(uint64_t seed) {
    std::mt19937_64 random(seed);
    while (!stop_) {
      if (random() % 4 == 0) {
        world_->Delete({Concat("d", random() % kDocuments), Concat("d", random() % kDocuments)});
      } else {
        std::vector<std::pair<std::string, std::string>> documents;
        for (uint64_t n = 1 + random() % 8; n > 0; --n) {
          documents.emplace_back(Concat("d", random() % kDocuments), Concat("w", random() % 200, " w", random() % 200));
        }
        world_->Put(documents);
      }
      absl::SleepFor(absl::Milliseconds(2));
    }
  }

  void Search(uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<test::Answer> answers;
    int64_t last_commit = 0;
    uint64_t seen = 0;
    while (!stop_) {
      const int64_t min_commit = random() % 4 == 0 ? world_->documents()->head() : 0;
      const auto live =
          world_->collections().LiveAt(kTenant, kCollection, min_commit, {.deadline = absl::Now() + absl::Seconds(30)});
      ASSERT_TRUE(live.ok()) << live.status();
      test::Answer answer = test::Ask(*world_, **live, Concat("w", random() % 200));
      ASSERT_GE(answer.commit, min_commit);
      ASSERT_GE(answer.commit, last_commit) << "an answer went back in time";
      last_commit = answer.commit;
      ++searches_;
      // A sample of the whole run, each answer as likely as any other (reservoir).
      if (const uint64_t slot = random() % ++seen; answers.size() < kKeptAnswers) {
        answers.push_back(std::move(answer));
      } else if (slot < kKeptAnswers) {
        answers[slot] = std::move(answer);
      }
    }
    absl::MutexLock lock(&mutex_);
    std::move(answers.begin(), answers.end(), std::back_inserter(answers_));
  }

  // Builds, promotes, rolls back, deletes: r<n> of a or b.
  void Promote() {
    std::string previous = "r0";
    for (int n = 1; !stop_; ++n) {
      const std::string id = Concat("r", n);
      const auto created = world_->CreateRelease(id, n % 2 == 0 ? "a" : "b");
      ASSERT_TRUE(created.ok()) << created.status();
      ASSERT_EQ(world_->WaitBuilt(id).state, ReleaseState::kReady);
      const auto promoted = world_->Promote(id, "stress");
      ASSERT_TRUE(promoted.ok()) << promoted.status();
      const auto back = world_->Promote(previous);
      ASSERT_TRUE(back.ok()) << back.status();
      const auto again = world_->Promote(id);
      ASSERT_TRUE(again.ok()) << again.status();
      const absl::Status deleted = world_->collections().DeleteRelease(kTenant, kCollection, previous);
      ASSERT_TRUE(deleted.ok()) << deleted;
      previous = id;
      promotions_ += 3;
    }
  }

  void Run() {
    std::vector<std::thread> threads;
    for (uint64_t i = 0; i < 2; ++i) threads.emplace_back([this, i] { Write(i + 1); });
    for (uint64_t i = 0; i < 4; ++i) threads.emplace_back([this, i] { Search(i + 11); });
    threads.emplace_back([this] { Promote(); });
    absl::SleepFor(kTime);
    const absl::Time end = absl::Now() + kLongestTime;
    while (promotions_ < kPromotions && absl::Now() < end) absl::SleepFor(absl::Milliseconds(100));
    stop_ = true;
    for (std::thread& thread : threads) thread.join();
  }

  std::vector<test::Answer> TakeAnswers() {
    absl::MutexLock lock(&mutex_);
    return std::move(answers_);
  }
  int searches() const { return searches_; }
  int promotions() const { return promotions_; }

 private:
  test::ReleaseWorld* const world_;
  std::atomic<bool> stop_{false};
  std::atomic<int> searches_{0}, promotions_{0};
  absl::Mutex mutex_;
  std::vector<test::Answer> answers_ ABSL_GUARDED_BY(mutex_);
};

TEST(ReleaseStressTest, EveryAnswerIsExactForItsReleaseAndCommit) {
  test::TemporaryDirectory data;
  ReleaseOptions options;
  options.seal_fresh = 100;  // Sealing happens all the time, too.
  test::ReleaseWorld world(data.path(), options);
  world.CreateCollection();
  world.PutMany(0, kDocuments / 2);
  world.GoLive("r0", "a");

  Stress stress(&world);
  stress.Run();
  const std::vector<test::Answer> answers = stress.TakeAnswers();
  EXPECT_GT(stress.promotions(), 2);
  EXPECT_GT(answers.size(), 100U);
  test::Oracle oracle(&world);
  int wrong = 0;
  std::set<std::string> releases;
  for (const test::Answer& answer : answers) {
    releases.insert(answer.release);
    const std::string what = oracle.Check(answer);
    if (!what.empty() && ++wrong <= 5) ADD_FAILURE() << what;
  }
  EXPECT_EQ(wrong, 0) << "of " << answers.size();
  EXPECT_GT(releases.size(), 2U) << "the answers come from before and after promotions";
  RecordProperty("searches", stress.searches());
  RecordProperty("promotions", stress.promotions());
  // The same after a restart, from what is on disk.
  world.Restart();
  EXPECT_EQ(oracle.Check(test::Ask(world, *world.LiveAtHead(), "w3")), "");
}

}  // namespace
}  // namespace tandem
