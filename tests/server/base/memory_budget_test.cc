#include "server/base/memory_budget.h"

#include <atomic>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tandem {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr int64_t kMiB = int64_t{1} << 20;

MATCHER_P2(UseIs, what, bytes, "") { return arg.what == what && arg.bytes == bytes; }

MemoryReservation Reserved(MemoryBudget* budget, const std::string& what, int64_t bytes) {
  absl::StatusOr<MemoryReservation> reservation = budget->Reserve(what, bytes);
  EXPECT_TRUE(reservation.ok()) << reservation.status();
  return reservation.ok() ? *std::move(reservation) : MemoryReservation();
}

// Idle things that are dropped one by one, each 10 MiB.
class IdleThings {
 public:
  IdleThings(MemoryBudget* budget, int count) : budget_(budget) {
    for (int i = 0; i < count; ++i) idle_.push_back(Reserved(budget, "idle/" + std::to_string(i), 10 * kMiB));
    id_ = budget->AddEvictor([this] {
      const absl::MutexLock lock(&mutex_);
      if (idle_.empty()) return false;
      idle_.pop_back();
      return true;
    });
  }
  ~IdleThings() { budget_->RemoveEvictor(id_); }

  size_t left() {
    const absl::MutexLock lock(&mutex_);
    return idle_.size();
  }

 private:
  MemoryBudget* const budget_;
  absl::Mutex mutex_;
  std::vector<MemoryReservation> idle_;
  int64_t id_ = 0;
};

TEST(MemoryBudgetTest, AReservationIsGivenBackByItsEnd) {
  MemoryBudget budget(100 * kMiB);
  {
    MemoryReservation a = Reserved(&budget, "a", 30 * kMiB);
    MemoryReservation b = std::move(a);
    EXPECT_EQ(budget.used(), 30 * kMiB);
    EXPECT_EQ(b.bytes(), 30 * kMiB);
    b = Reserved(&budget, "b", 20 * kMiB);
    EXPECT_THAT(budget.List(), testing::ElementsAre(UseIs("b", 20 * kMiB)));
  }
  EXPECT_EQ(budget.used(), 0);
  EXPECT_THAT(budget.List(), testing::IsEmpty());
}

TEST(MemoryBudgetTest, TheRefusalHasTheNumbersAndNamesTheLargestUsers) {
  MemoryBudget budget(100 * kMiB);
  const MemoryReservation a = Reserved(&budget, "models/a", 10 * kMiB);
  const MemoryReservation b = Reserved(&budget, "models/b", 40 * kMiB);
  const MemoryReservation c = Reserved(&budget, "models/c", 20 * kMiB + kMiB / 2);
  const MemoryReservation d = Reserved(&budget, "models/d", 4000);
  const absl::Status refused = budget.Reserve("collections/c/releases/r", 30 * kMiB).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(refused.message(),
            "collections/c/releases/r needs 30.0 MiB of memory, but 70.5 MiB of the budget of 100.0 MiB are in use "
            "(models/b 40.0 MiB, models/c 20.5 MiB, models/a 10.0 MiB and 1 more): free some or raise --memory-budget");
  EXPECT_THAT(budget.List(), testing::SizeIs(4));
  EXPECT_TRUE(budget.Reserve("exactly what is left", budget.total() - budget.used()).ok());
}

TEST(MemoryBudgetTest, GrowingIsRefusedLikeReservingAndShrinkingIsNot) {
  MemoryBudget budget(100 * kMiB);
  MemoryReservation a = Reserved(&budget, "a", 60 * kMiB);
  MemoryReservation b = Reserved(&budget, "b", 30 * kMiB);
  EXPECT_THAT(b.Resize(50 * kMiB).ToString(), AllOf(HasSubstr("b needs 20.0 MiB"), HasSubstr("a 60.0 MiB")));
  EXPECT_EQ(b.bytes(), 30 * kMiB);
  EXPECT_TRUE(a.Resize(50 * kMiB).ok());
  EXPECT_TRUE(b.Resize(50 * kMiB).ok());
  EXPECT_EQ(budget.used(), 100 * kMiB);
}

TEST(MemoryBudgetTest, WhatIsForcedMayExceedTheBudgetAndThenDemandsAreRefused) {
  MemoryBudget budget(100 * kMiB);
  MemoryReservation a = Reserved(&budget, "a", 60 * kMiB);
  MemoryReservation b = Reserved(&budget, "b", 40 * kMiB);
  EXPECT_FALSE(budget.over());
  a.Force(90 * kMiB);
  EXPECT_TRUE(budget.over());
  EXPECT_EQ(budget.used(), 130 * kMiB);
  EXPECT_EQ(budget.Reserve("c", 1).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(b.Resize(20 * kMiB).ok()) << "shrinking always works";
  EXPECT_FALSE(b.Resize(21 * kMiB).ok());
  a.Force(10 * kMiB);
  EXPECT_FALSE(budget.over());
  EXPECT_TRUE(budget.Reserve("c", 70 * kMiB).ok());
}

TEST(MemoryBudgetTest, WhatServedBeforeIsAdmittedAlwaysAndDropsWhatIsIdle) {
  MemoryBudget budget(100 * kMiB);
  const MemoryReservation a = Reserved(&budget, "a", 80 * kMiB);
  IdleThings idle(&budget, 2);
  const absl::StatusOr<MemoryReservation> live = budget.Reserve("live", 30 * kMiB, Admission::kAlways);
  ASSERT_TRUE(live.ok()) << live.status();
  EXPECT_EQ(idle.left(), 0);
  EXPECT_EQ(budget.used(), 110 * kMiB);
  EXPECT_TRUE(budget.over());
}

TEST(MemoryBudgetTest, IdleThingsLeaveOnlyUntilTheDemandFits) {
  MemoryBudget budget(100 * kMiB);
  IdleThings idle(&budget, 5);
  MemoryReservation a = Reserved(&budget, "a", 70 * kMiB);
  EXPECT_EQ(idle.left(), 3);
  a.Force(85 * kMiB);
  EXPECT_EQ(idle.left(), 1);
  EXPECT_FALSE(budget.over());
  EXPECT_EQ(budget.Reserve("more than the budget", 101 * kMiB).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(idle.left(), 1) << "dropped for a demand that can never fit";
  EXPECT_FALSE(budget.Reserve("b", 16 * kMiB).ok());
  EXPECT_EQ(idle.left(), 0);
}

TEST(MemoryBudgetTest, ARemovedEvictorIsNotAskedAgain) {
  MemoryBudget budget(10 * kMiB);
  std::optional<IdleThings> idle(std::in_place, &budget, 1);
  idle.reset();
  const MemoryReservation a = Reserved(&budget, "a", 10 * kMiB);
  EXPECT_FALSE(budget.Reserve("b", 1).ok());
}

TEST(MemoryBudgetTest, ManyThreadsNeverExceedTheBudgetAndLeaveNothing) {
  MemoryBudget budget(20);
  std::atomic<int> refused = 0;
  std::atomic<bool> exceeded = false;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 2000; ++i) {
        absl::StatusOr<MemoryReservation> mine = budget.Reserve("t", 1 + (i + t) % 7);
        if (!mine.ok() || !mine->Resize(1 + (i + t) % 11).ok()) ++refused;
        if (budget.over()) exceeded = true;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(exceeded);
  EXPECT_EQ(budget.used(), 0);
}

}  // namespace
}  // namespace tandem
