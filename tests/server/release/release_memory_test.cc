// Releases and the memory budget.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/release/collections_fixture.h"

namespace tandem {
namespace {

using test::kCollection;
using test::kTenant;
using testing::HasSubstr;

class ReleaseMemoryTest : public CollectionsFixture {};

TEST_F(ReleaseMemoryTest, AReleaseThatDoesNotFitTheMemoryBudgetIsRefusedWithTheNumbers) {
  world_.PutMany(0, 200);
  world_.GoLive("r1", "a");
  const int64_t used = world_.budget().used();
  EXPECT_GT(world_.collections().Progress(kTenant, kCollection, "r1")->index_bytes, 200 * 16 * 4);
  {
    const auto rest = world_.budget().Reserve("something else", world_.budget().total() - used - 1000);
    ASSERT_TRUE(rest.ok()) << rest.status();
    const absl::Status refused = world_.CreateRelease("r2", "a").status();
    EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
    EXPECT_THAT(std::string(refused.message()), HasSubstr("collections/faq/releases/r2 needs"));
    EXPECT_THAT(std::string(refused.message()), HasSubstr("something else"));
    EXPECT_TRUE(absl::IsNotFound(world_.meta().GetRelease(kTenant, kCollection, "r2").status()));
    ExpectExactAtHead();
  }
  world_.GoLive("r2", "a");
  EXPECT_GT(world_.budget().used(), used);
}

TEST_F(ReleaseMemoryTest, WhatAnsweredBeforeARestartAnswersAfterItWhateverTheMemoryBudgetSays) {
  world_.PutMany(0, 50);
  world_.GoLive("r1", "a");
  world_.GoLive("r2", "b");
  world_.Close();
  {
    const auto all = world_.budget().Reserve("something else", world_.budget().total());
    ASSERT_TRUE(all.ok()) << all.status();
    world_.Open();
    ASSERT_TRUE(Live().ok()) << Live().status();
    EXPECT_EQ((*Live())->id, "r2");
    EXPECT_TRUE(world_.budget().over());
    EXPECT_TRUE(world_.Promote("r1").ok()) << "the way back is there, too";
  }
  ExpectExactAtHead();
}

TEST_F(ReleaseMemoryTest, WritersThatAddArePushedBackWhenTheMemoryBudgetIsExceeded) {
  world_.PutMany(0, 50);
  world_.GoLive("r1", "a");
  {
    const auto rest = world_.budget().Reserve("something else", world_.budget().total() - world_.budget().used());
    ASSERT_TRUE(rest.ok()) << rest.status();
    world_.PutMany(50, 500);
    world_.LiveAtHead();  // What was acknowledged is indexed all the same.
    const absl::Status status = world_.collections().AdmitWrite(kTenant, kCollection, WriteKind::kUpsert);
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("--memory-budget"));
    EXPECT_TRUE(world_.collections().AdmitWrite(kTenant, kCollection, WriteKind::kDelete).ok());
    ExpectExactAtHead();
  }
  EXPECT_TRUE(world_.collections().AdmitWrite(kTenant, kCollection, WriteKind::kUpsert).ok());
}

}  // namespace
}  // namespace tandem
