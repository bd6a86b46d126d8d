#include "client/names.h"

#include <gtest/gtest.h>

namespace tandem {
namespace {

TEST(NamesTest, ShortNamesBecomeFullAndFullOnesStay) {
  EXPECT_EQ(DatasetName("pairs"), "datasets/pairs");
  EXPECT_EQ(DatasetName("datasets/pairs"), "datasets/pairs");
  EXPECT_EQ(ModelOrRevisionName("mini"), "models/mini");
  EXPECT_EQ(ModelOrRevisionName("mini/r1"), "models/mini/revisions/r1");
  EXPECT_EQ(ModelOrRevisionName("models/mini/revisions/r1"), "models/mini/revisions/r1");
  EXPECT_EQ(*ReleaseName("docs/r1"), "collections/docs/releases/r1");
  EXPECT_EQ(*ReleaseName("collections/docs/releases/r1"), "collections/docs/releases/r1");
  EXPECT_EQ(*EvaluationSetName("docs/heldout"), "collections/docs/evaluationSets/heldout");
}

TEST(NamesTest, WhatCannotBeAReleaseIsRefused) {
  for (const char* name : {"", "r1", "docs/", "/r1", "docs/releases/r1"}) {
    EXPECT_EQ(ReleaseName(name).status().code(), absl::StatusCode::kInvalidArgument) << name;
  }
}

TEST(NamesTest, ShortNameIsTheInverse) {
  EXPECT_EQ(ShortName("collections/docs/releases/r1"), "docs/r1");
  EXPECT_EQ(ShortName("jobs/j1"), "j1");
  EXPECT_EQ(ShortName(""), "");
  EXPECT_EQ(ShortId("models/mini/revisions/r1"), "r1");
}

}  // namespace
}  // namespace tandem
