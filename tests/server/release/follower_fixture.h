#pragma once
// A follower that the test drives by hand, and what its index must show.

#include <memory>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/release/follower.h"
#include "tests/support/release_world.h"
#include "tests/support/temporary_directory.h"

namespace tandem {

// Documents and an encoder of a world that is closed to the room: nothing follows but what the test opens.
class FollowerTest : public testing::Test {
 protected:
  FollowerTest() {
    world_.CreateCollection();
    options_.data_directory = data_.path();
    record_.tenant = test::kTenant;
    record_.collection = test::kCollection;
    record_.id = "r";
    record_.model = "m";
    record_.revision = "a";
    record_.contract = world_.meta().GetModelRevision(test::kTenant, "m", "a")->contract;
    encoder_ = *world_.models().Get(ModelRevisionDirectory(data_.path(), test::kTenant, "m", "a"));
    documents_ = world_.documents();
  }

  absl::StatusOr<std::unique_ptr<Follower>> TryOpen(bool building = false) {
    return Follower::Open(options_, record_, collection_directory_, encoder_, documents_, &world_.queue(), others_,
                          building);
  }
  std::unique_ptr<Follower> Open(bool building = false) {
    auto follower = TryOpen(building);
    EXPECT_TRUE(follower.ok()) << follower.status();
    return *std::move(follower);
  }
  void Follow(Follower& follower) {
    while (follower.cursor() < documents_->head() || !follower.caught_up()) {
      const absl::Status status = follower.Step(documents_->head(), StepSize::kLong);
      ASSERT_TRUE(status.ok()) << status;
    }
  }
  void Seal(Follower& follower) {
    ASSERT_TRUE(follower.WriteSealed().ok());
    ASSERT_TRUE(follower.AdoptSealed().ok());
  }
  // The labels that the index can find.
  std::vector<int64_t> Labels(const Follower& follower) {
    const auto snapshot = follower.release()->index->snapshot();
    std::vector<int64_t> labels;
    for (int64_t label = 0; label <= documents_->head(); ++label) {
      if (snapshot->Vector(label)) labels.push_back(label);
    }
    EXPECT_EQ(snapshot->size(), static_cast<int64_t>(labels.size()));
    return labels;
  }
  void ExpectExact(const Follower& follower) {
    for (const char* query : {"w0", "w3", "w1 w2"}) {
      EXPECT_EQ(oracle_.Check(test::Ask(world_, *follower.release(), query)), "");
    }
  }
  ReleaseDirectory Directory() const { return ReleaseDirectory(collection_directory_, "r"); }

  test::TemporaryDirectory data_;
  const std::filesystem::path collection_directory_ =
      CollectionDirectory(data_.path(), test::kTenant, test::kCollection);
  test::ReleaseWorld world_{data_.path(), {}};
  test::Oracle oracle_{&world_};
  ReleaseOptions options_;
  ReleaseRecord record_;
  std::shared_ptr<const Encoder> encoder_;
  OtherIndexes others_;
  std::shared_ptr<DocumentStore> documents_;
};

}  // namespace tandem
