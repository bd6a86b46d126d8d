// What answers when files of the live or of the previous release are damaged.
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "server/base/strings.h"
#include "tests/server/release/collections_fixture.h"

namespace tandem {
namespace {

using test::kCollection;
using test::kTenant;
using testing::HasSubstr;

class StandInTest : public CollectionsFixture {};

TEST_F(StandInTest, ADamagedLiveReleaseIsUnavailableUntilItIsBuiltAgain) {
  world_.PutMany(0, 100);
  world_.GoLive("r1", "a");
  world_.Close();
  std::ofstream(Directory("r1").SealedPath(100) / "vectors.f32", std::ios::trunc) << "damage";
  world_.Open();
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (!Live().ok() && absl::Now() < deadline) {
    const absl::Status status = Live().status();
    if (status.ok()) break;
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("is built again"));
    absl::SleepFor(absl::Milliseconds(1));
  }
  ExpectExactAtHead();
}

TEST_F(StandInTest, ALiveReleaseWithoutItsModelIsUnavailableAndSaysWhy) {
  world_.PutMany(0, 5);
  world_.GoLive("r1", "a");
  world_.Close();
  const std::filesystem::path model = ModelRevisionDirectory(data_.path(), kTenant, "m", "a");
  std::filesystem::rename(model, data_.path() / "elsewhere");
  world_.Open();
  EXPECT_TRUE(absl::IsUnavailable(Live().status())) << Live().status();
  EXPECT_THAT(std::string(Live().status().message()), HasSubstr("could not be opened"));
  world_.PutMany(5, 5);  // Writes are still taken.
  world_.Close();
  std::filesystem::rename(data_.path() / "elsewhere", model);
  world_.Open();
  ExpectExactAtHead();
}

TEST_F(StandInTest, ThePreviousReleaseAnswersWhileADamagedLiveOneIsBuiltAgain) {
  world_.PutMany(0, 3000);
  world_.GoLive("r1", "a");
  world_.GoLive("r2", "b");
  world_.Close();
  std::ofstream(Directory("r2").SealedPath(3000) / "vectors.f32", std::ios::trunc) << "damage";
  world_.Open();
  const auto at_once = Live();
  ASSERT_TRUE(at_once.ok()) << at_once.status();
  EXPECT_EQ((*at_once)->id, "r1") << "building 3,000 documents again takes longer than asking";
  EXPECT_TRUE(world_.collections().Progress(kTenant, kCollection, "r2")->rebuilding);
  EXPECT_TRUE(absl::IsFailedPrecondition(world_.collections().DeleteRelease(kTenant, kCollection, "r1")));
  EXPECT_EQ(world_.meta().GetCollection(kTenant, kCollection)->live_release, "r2") << "no promotion has been made";
  // Writes go on meanwhile, are found, and are not taken back when r2 takes over.
  int64_t shown = 0;
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  for (int i = 0; (*Live())->id == "r1" && absl::Now() < deadline; ++i) {
    const auto live = world_.LiveAtHead();
    const test::Answer answer = test::Ask(world_, *live, Concat("w", i % 100));
    EXPECT_GE(answer.commit, shown);
    shown = answer.commit;
    if (i % 50 == 0) {
      EXPECT_EQ(oracle_.Check(answer), "");
    }
    if (i < 20) world_.PutMany(i, 1);
  }
  ASSERT_EQ((*Live())->id, "r2");
  EXPECT_GE((*Live())->index->snapshot()->commit(), shown);
  ExpectExactAtHead();
}

TEST_F(StandInTest, ThePreviousReleaseAnswersWhenTheLiveOnesModelIsDamaged) {
  world_.PutMany(0, 20);
  world_.GoLive("r1", "a");
  world_.GoLive("r2", "b");
  world_.Close();
  const std::filesystem::path model = ModelRevisionDirectory(data_.path(), kTenant, "m", "b");
  std::filesystem::resize_file(model / "model.safetensors", 100);
  world_.Open();
  ASSERT_TRUE(Live().ok()) << Live().status();
  EXPECT_EQ((*Live())->id, "r1");
  world_.PutMany(20, 5);
  ExpectExactAtHead();
  // Going back makes it the live one for good.
  const auto back = world_.Promote("r1");
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(world_.meta().GetCollection(kTenant, kCollection)->live_release, "r1");
  EXPECT_EQ((*Live())->id, "r1");
  world_.PutMany(25, 5);
  ExpectExactAtHead();
}

TEST_F(StandInTest, APreviousReleaseThatIsBuiltAgainDoesNotKeepTheLiveOneWaiting) {
  world_.PutMany(0, 3000);
  world_.GoLive("r1", "a");
  world_.GoLive("r2", "b");
  world_.Close();
  std::ofstream(Directory("r1").SealedPath(3000) / "vectors.f32", std::ios::trunc) << "damage";
  world_.Open();
  world_.PutMany(0, 1);
  EXPECT_EQ(world_.LiveAtHead()->id, "r2");
  EXPECT_TRUE(world_.collections().Progress(kTenant, kCollection, "r1")->rebuilding);
  EXPECT_TRUE(world_.Promote("r1").ok()) << "once it is whole";
  ExpectExactAtHead();
}

TEST_F(StandInTest, APromotionWhileThePreviousReleaseStandsInTakesNobodyBackInTime) {
  world_.PutMany(0, 20);
  world_.GoLive("r1", "a");
  world_.GoLive("r2", "b");
  ASSERT_TRUE(world_.CreateRelease("r3", "a").ok());
  ASSERT_EQ(world_.WaitBuilt("r3").state, ReleaseState::kReady);
  world_.Close();
  std::filesystem::resize_file(ModelRevisionDirectory(data_.path(), kTenant, "m", "b") / "model.safetensors", 100);
  world_.Open();
  for (int i = 0; i < 30; ++i) world_.PutMany(i * 100, 100);
  int64_t shown = 0;
  while (shown < 500) shown = (*Live())->index->snapshot()->commit();
  EXPECT_EQ((*Live())->id, "r1");
  const auto promoted = world_.Promote("r3", "r2 is lost");
  ASSERT_TRUE(promoted.ok()) << promoted.status();
  EXPECT_EQ((*Live())->id, "r3");
  EXPECT_GE((*Live())->index->snapshot()->commit(), shown);
  ExpectExactAtHead();
}

}  // namespace
}  // namespace tandem
