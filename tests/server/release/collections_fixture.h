#pragma once
// One collection of a release world, and an oracle for what it answers.

#include <memory>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/release/collections.h"
#include "server/release/release_directory.h"
#include "tests/support/release_world.h"
#include "tests/support/temporary_directory.h"

namespace tandem {

class CollectionsFixture : public testing::Test {
 protected:
  CollectionsFixture() { world_.CreateCollection(); }

  void ExpectExactAtHead() {
    const auto live = world_.LiveAtHead();
    ASSERT_NE(live, nullptr);
    for (const char* query : {"w0", "w3", "w7 w8"}) EXPECT_EQ(oracle_.Check(test::Ask(world_, *live, query)), "");
  }
  ReleaseDirectory Directory(const char* release) {
    return ReleaseDirectory(CollectionDirectory(data_.path(), test::kTenant, test::kCollection), release);
  }
  absl::StatusOr<std::shared_ptr<const ActiveRelease>> Live() {
    return world_.collections().Live(test::kTenant, test::kCollection);
  }

  test::TemporaryDirectory data_;
  test::ReleaseWorld world_{data_.path(), {}};
  test::Oracle oracle_{&world_};
};

}  // namespace tandem
