#include "server/base/thread_priority.h"

#include <sys/resource.h>

#include <thread>

#include <gtest/gtest.h>

namespace tandem {
namespace {

int Niceness() { return getpriority(PRIO_PROCESS, 0); }  // Of the calling thread, on Linux.

TEST(ThreadPriorityTest, AThreadThatGivesWayTakesOnlyThoseItStartsAlong) {
  const int before = Niceness();
  int own = 0, of_started = 0;
  std::thread([&] {
    GiveWay();
    own = Niceness();
    std::thread([&] { of_started = Niceness(); }).join();
  }).join();
  EXPECT_GE(own, 10);
  EXPECT_EQ(of_started, own);
  EXPECT_EQ(Niceness(), before) << "the others keep theirs";
}

}  // namespace
}  // namespace tandem
