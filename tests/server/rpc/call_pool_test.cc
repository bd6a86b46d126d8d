#include "server/rpc/call_pool.h"

#include <atomic>

#include <gtest/gtest.h>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"

namespace tandem {
namespace {

TEST(CallPoolTest, WhatDoesNotFitTheQueueIsRefused) {
  absl::Notification started, go_on;
  std::atomic<int> done = 0;
  {
    CallPool pool(1, 2, 1);
    ASSERT_TRUE(pool.Run([&] {
      started.Notify();
      go_on.WaitForNotification();
      ++done;
    }));
    started.WaitForNotification();
    EXPECT_TRUE(pool.Run([&] { ++done; }));
    EXPECT_TRUE(pool.Run([&] { ++done; }));
    EXPECT_FALSE(pool.Run([&] { ++done; }));
    go_on.Notify();
  }
  EXPECT_EQ(done, 3) << "what was queued is run before the pool ends";
}

TEST(CallPoolTest, StreamsHaveALimitAndTheirEndMakesRoom) {
  CallPool pool(1, 1, 1);
  absl::Notification go_on, second;
  ASSERT_TRUE(pool.RunStream([&] { go_on.WaitForNotification(); }));
  EXPECT_FALSE(pool.RunStream([] {}));
  go_on.Notify();
  while (!pool.RunStream([&] { second.Notify(); })) {
  }
  second.WaitForNotification();
}

TEST(CallPoolTest, ADrainingPoolTakesNothingAndWaitsForWhatRuns) {
  CallPool pool(1, 1, 1);
  std::atomic<bool> done = false;
  absl::Notification started;
  ASSERT_TRUE(pool.RunStream([&] {
    started.Notify();
    while (!pool.draining()) absl::SleepFor(absl::Milliseconds(1));
    done = true;
  }));
  started.WaitForNotification();
  pool.Drain(absl::Seconds(30));
  EXPECT_TRUE(done);
  EXPECT_FALSE(pool.Run([] {}));
  EXPECT_FALSE(pool.RunStream([] {}));
}

}  // namespace
}  // namespace tandem
