// Followers of an EXTERNAL collection: the vectors are in the store, with the versions.
#include "server/base/strings.h"
#include "tests/server/release/follower_fixture.h"

namespace tandem {
namespace {

using testing::IsEmpty;

// An EXTERNAL collection: there is no encoder and no queue.
class ExternalFollowerTest : public FollowerTest {
 protected:
  static constexpr int kDimensions = 4;

  ExternalFollowerTest() {
    record_.model.clear();
    record_.revision.clear();
    record_.contract = {.dimensions = kDimensions, .metric = MetricKind::kInnerProduct};
    encoder_ = nullptr;
  }
  std::unique_ptr<Follower> OpenExternal(bool building = false) {
    auto follower =
        Follower::Open(options_, record_, collection_directory_, nullptr, documents_, nullptr, nullptr, building);
    EXPECT_TRUE(follower.ok()) << follower.status();
    return *std::move(follower);
  }
  // Documents "d<i>" with vectors that begin with `value` and i.
  void PutVectors(int first, int count, float value) {
    std::vector<DocumentInput> documents;
    for (int i = first; i < first + count; ++i) {
      documents.push_back({Concat("d", i), "", "", {value, static_cast<float>(i), 0, 1}});
    }
    ASSERT_TRUE(documents_->Upsert(documents).ok());
  }
  // The index has the current documents' vectors and no others.
  void ExpectCurrent(const Follower& follower) {
    const auto snapshot = follower.release()->index->snapshot();
    const std::vector<DocumentVersion> current = documents_->List({100000, ""}, 1 << 30).value();
    EXPECT_EQ(snapshot->size(), static_cast<int64_t>(current.size()));
    for (const DocumentVersion& version : current) {
      const auto vector = snapshot->Vector(version.commit);
      ASSERT_TRUE(vector.has_value()) << version.id;
      const auto brought = documents_->ReadClientVectors(std::vector<int64_t>{version.commit}, kDimensions);
      EXPECT_THAT(*vector, testing::ElementsAreArray(*brought));
    }
  }
};

TEST_F(ExternalFollowerTest, FollowsTheVectorsThatClientsBring) {
  PutVectors(0, 5000, 1);
  auto follower = OpenExternal(/*building=*/true);
  EXPECT_FALSE(follower->caught_up());
  Follow(*follower);
  EXPECT_EQ(follower->Progress().documents_done, 5000);
  ExpectCurrent(*follower);
  EXPECT_THAT(documents_->ReadVectors("r", 0, 10, kDimensions)->commits, IsEmpty()) << "they are stored once";
  PutVectors(100, 50, 2);
  world_.Delete({"d0", "d120"});
  ASSERT_TRUE(documents_->UpdatePayloads({{"d7", "{\"k\":1}"}}, PayloadChange::kReplace, 100).ok());
  Follow(*follower);
  ExpectCurrent(*follower);
}

TEST_F(ExternalFollowerTest, OpensAtItsCursorFromWhatClientsBrought) {
  PutVectors(0, 300, 1);
  auto follower = OpenExternal(/*building=*/true);
  Follow(*follower);
  Seal(*follower);
  PutVectors(50, 100, 2);
  PutVectors(60, 10, 3);
  world_.Delete({"d1", "d61", "d149"});
  PutVectors(61, 1, 4);
  Follow(*follower);
  const std::vector<int64_t> labels = Labels(*follower);
  for (int i = 0; i < 2; ++i) {
    follower = OpenExternal();
    EXPECT_EQ(follower->cursor(), documents_->head());
    EXPECT_EQ(Labels(*follower), labels);
    ExpectCurrent(*follower);
  }
}

TEST_F(ExternalFollowerTest, ABuildThatWasInterruptedGoesOn) {
  PutVectors(0, 5000, 1);
  auto follower = OpenExternal(/*building=*/true);
  ASSERT_TRUE(follower->Step(documents_->head(), StepSize::kLong).ok());
  ASSERT_LT(follower->cursor(), 5000);
  follower.reset();
  PutVectors(0, 1, 2);
  PutVectors(0, 1, 3);
  world_.Delete({"d1"});
  follower = OpenExternal(/*building=*/true);
  Follow(*follower);
  EXPECT_EQ(follower->release()->index->snapshot()->size(), 4999);
  ExpectCurrent(*follower);
}

// What was replaced before the sealed commit may be gone from the log; what came after it is followed all the same.
TEST_F(ExternalFollowerTest, OpensAfterPruningUpToItsSealedCommit) {
  PutVectors(0, 100, 1);
  PutVectors(0, 50, 2);
  world_.Delete({"d99"});
  auto follower = OpenExternal(/*building=*/true);
  Follow(*follower);
  Seal(*follower);
  PutVectors(0, 20, 3);
  Follow(*follower);
  EXPECT_EQ(documents_->Prune(documents_->GetCursor("r")->sealed_commit, 1000).value(), 52);
  follower = OpenExternal();
  ExpectCurrent(*follower);
  record_.id = "new";
  auto built = OpenExternal(/*building=*/true);
  Follow(*built);
  ExpectCurrent(*built);
}

}  // namespace
}  // namespace tandem
