#include "tests/support/disk_steps/step_name.h"

#include <gtest/gtest.h>

namespace tandem::test {
namespace {

TEST(StepNameTest, LeavesOutIdsAndNumbers) {
  EXPECT_EQ(RoleOf(""), ".");
  EXPECT_EQ(RoleOf("meta.db-wal"), "meta.db-wal");
  EXPECT_EQ(RoleOf("collections/default/help/documents.db-wal"), "collections/documents.db-wal");
  EXPECT_EQ(RoleOf("collections/default/help/releases/r1/sealed-300/index.faiss"),
            "collections/releases/sealed/index.faiss");
  EXPECT_EQ(RoleOf("models/default/m/0c2x/model.safetensors"), "models/model.safetensors");
  EXPECT_EQ(RoleOf("jobs/default/j1/checkpoint-20/optimizer.bin"), "jobs/checkpoint/optimizer.bin");
  EXPECT_EQ(RoleOf("jobs/default/j1/events"), "jobs/events");
  EXPECT_EQ(RoleOf("jobs/default/j1/best-5/.tmpQYP0l"), "jobs/best/.tmp");
}

TEST(StepNameTest, AnIdThatEndsThePathAppearsAsItsNoun) {
  EXPECT_EQ(RoleOf("collections"), "collections");
  EXPECT_EQ(RoleOf("collections/default"), "collections/tenant");
  EXPECT_EQ(RoleOf("collections/default/help"), "collections/collection");
  EXPECT_EQ(RoleOf("collections/default/help/releases"), "collections/releases");
  EXPECT_EQ(RoleOf("collections/default/help/releases/r1"), "collections/releases/release");
  EXPECT_EQ(RoleOf("models/default/m/r"), "models/revision");
  EXPECT_EQ(RoleOf("jobs/default/j1"), "jobs/job");
}

// A client may give its things names that look like ours.
TEST(StepNameTest, AnIdIsNeverTakenForAFolder) {
  EXPECT_EQ(RoleOf("collections/releases/releases/releases/releases-1/sealed-2"), "collections/releases/sealed");
  EXPECT_EQ(RoleOf("models/default/checkpoint-3"), "models/model");
}

TEST(StepNameTest, StagingNamesKeepTheirFinalRole) {
  EXPECT_EQ(RoleOf("jobs/default/j/.staging-checkpoint-20-06d5k2h8a1b2c3d4e5f/model/a"),
            "jobs/.staging-checkpoint/model/a");
  EXPECT_EQ(RoleOf("collections/default/c/releases/r/.staging-sealed-300-06d5k2h8/vectors.f32"),
            "collections/releases/.staging-sealed/vectors.f32");
  EXPECT_EQ(RoleOf("models/default/m/.staging-my-model-06d5k2h8"), "models/.staging-revision");
}

TEST(StepNameTest, SmallFilesOfAModelShareARole) {
  EXPECT_EQ(RoleOf("models/default/m/r/config.json"), "models/settings");
  EXPECT_EQ(RoleOf("models/default/m/r/1_Pooling/config.json"), "models/1_Pooling/settings");
  EXPECT_EQ(RoleOf("models/default/m/.staging-r-06d5k2h8/vocab.txt"), "models/.staging-revision/settings");
  EXPECT_EQ(RoleOf("jobs/t/j/.staging-checkpoint-5-06d5k2h8/model/config.json"),
            "jobs/.staging-checkpoint/model/settings");
  EXPECT_EQ(RoleOf("jobs/t/j/.staging-checkpoint-5-06d5k2h8/checkpoint.json"),
            "jobs/.staging-checkpoint/checkpoint.json");
  EXPECT_EQ(RoleOf("jobs/t/j/result.json"), "jobs/result.json");
}

TEST(StepNameTest, NamesSayVerbAndRole) {
  EXPECT_EQ(StepName(StepKind::kSync, "meta.db-wal"), "sync meta.db-wal");
  EXPECT_EQ(StepName(StepKind::kRename, "jobs/t/j/checkpoint-5"), "rename jobs/checkpoint");
  EXPECT_EQ(StepName(StepKind::kMakeDirectory, "jobs/t"), "make jobs/tenant");
  EXPECT_EQ(StepName(StepKind::kSync, ""), "sync .");
  EXPECT_EQ(StepName(Step{
                .kind = StepKind::kRename, .path = "jobs/t/j/.staging-best-5-06d5k2h8", .new_path = "jobs/t/j/best-5"}),
            "rename jobs/best");
}

}  // namespace
}  // namespace tandem::test
