#include "server/training/trainer_events.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "server/base/job_directory.h"

namespace tandem {
namespace {

class TrainerEventsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
  }
  nlohmann::json Last() {
    const auto events = EventReader(directory_ / kEventsFile).ReadNew();
    EXPECT_TRUE(events.ok() && !events->empty());
    return events.ok() && !events->empty() ? events->back() : nlohmann::json();
  }
  void Append(int attempt, const nlohmann::json& event) {
    auto writer = EventWriter::Open(directory_ / kEventsFile, attempt);
    ASSERT_TRUE(writer.ok()) << writer.status();
    ASSERT_TRUE((*writer)->Append(event).ok());
  }

  const std::filesystem::path directory_ = std::filesystem::path(testing::TempDir()) / "trainer_events";
};

TEST_F(TrainerEventsTest, EachTrainerHasAnAttemptOfItsOwn) {
  for (int attempt = 1; attempt <= 3; ++attempt) {
    auto events = TrainerEvents::Open(directory_);
    ASSERT_TRUE(events.ok()) << events.status();
    ASSERT_TRUE(events->Message("hello").ok());
    EXPECT_EQ(Last()["attempt"], attempt);
    EXPECT_EQ(Last()["sequence"], attempt);
  }
}

TEST_F(TrainerEventsTest, AttemptIsTheOneThatTheSupervisorAnnounced) {
  Append(1, {{"type", "state"}, {"state", 2}});
  ASSERT_TRUE(TrainerEvents::Open(directory_)->Message("first").ok());
  EXPECT_EQ(Last()["attempt"], 1);
  Append(4, {{"type", "state"}, {"state", 2}});
  ASSERT_TRUE(TrainerEvents::Open(directory_)->Message("fourth").ok());
  EXPECT_EQ(Last()["attempt"], 4);
}

TEST_F(TrainerEventsTest, FailedEventHasCodeAndMessage) {
  ASSERT_TRUE(TrainerEvents::Open(directory_)->Failed(absl::DataLossError("torn")).ok());
  EXPECT_EQ(Last()["type"], "failed");
  EXPECT_EQ(Last()["code"], static_cast<int>(absl::StatusCode::kDataLoss));
  EXPECT_EQ(Last()["message"], "torn");
}

TEST_F(TrainerEventsTest, StepNamesItsObjectiveOnlyWhenThereIsOne) {
  auto events = TrainerEvents::Open(directory_);
  ASSERT_TRUE(events.ok()) << events.status();
  ASSERT_TRUE(events->Step({.step = 3, .loss = 0.5}).ok());
  EXPECT_EQ(Last()["step"], 3);
  EXPECT_FALSE(Last().contains("objective"));
  ASSERT_TRUE(events->Step({.step = 4, .objective = 1}).ok());
  EXPECT_EQ(Last()["objective"], 1);
}

}  // namespace
}  // namespace tandem
