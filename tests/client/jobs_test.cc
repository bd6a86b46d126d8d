#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/client/fake_services.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;

TEST(JobsTest, WatchResumesAfterTheLastSequenceAndShowsEachEventOnce) {
  FakeJobs service(/*steps=*/7, /*events_per_stream=*/3);
  ServedBy server(&service);
  std::vector<int64_t> steps;
  int heartbeats = 0;
  absl::StatusOr<v1::Job> job = server.client().jobs.Watch("j1", 0, [&](const v1::JobEvent& event) {
    if (event.has_step()) steps.push_back(event.step().step());
    heartbeats += event.has_heartbeat() ? 1 : 0;
  });
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->state(), v1::Job::SUCCEEDED);
  EXPECT_EQ(job->name(), "jobs/j1");
  EXPECT_THAT(steps, ElementsAre(1, 2, 3, 4, 5, 6, 7));
  EXPECT_THAT(service.asked_after(), ElementsAre(0, 3, 6));
  EXPECT_EQ(heartbeats, 3);
}

TEST(JobsTest, WatchBeginsAfterTheGivenSequence) {
  FakeJobs service(/*steps=*/5, /*events_per_stream=*/100);
  ServedBy server(&service);
  std::vector<int64_t> steps;
  ASSERT_TRUE(server.client()
                  .jobs
                  .Watch("j1", 3,
                         [&](const v1::JobEvent& event) {
                           if (event.has_step()) steps.push_back(event.step().step());
                         })
                  .ok());
  EXPECT_THAT(steps, ElementsAre(4, 5));
}

TEST(JobsTest, EventsEndWithTheLastThatThereIs) {
  FakeJobs service(/*steps=*/7, /*events_per_stream=*/3);
  ServedBy server(&service);
  const absl::StatusOr<std::vector<v1::JobEvent>> events = server.client().jobs.Events("j1");
  ASSERT_TRUE(events.ok()) << events.status();
  ASSERT_EQ(events->size(), 7u);
  for (int i = 0; i < 7; ++i) EXPECT_EQ((*events)[static_cast<size_t>(i)].step().step(), i + 1);
}

TEST(JobsTest, WatchGivesUpWhenNoEventComes) {
  FakeJobs service(/*steps=*/5, /*events_per_stream=*/0);
  ServedBy server(&service);
  absl::StatusOr<v1::Job> job = server.client().jobs.Watch("j1", 0, {});
  EXPECT_EQ(job.status().code(), absl::StatusCode::kUnavailable);
}

TEST(JobsTest, ACallToAServerThatIsNotThereSaysWhatToDo) {
  ConnectionOptions options;
  options.retry.call_patience = absl::Milliseconds(50);
  absl::StatusOr<Client> client = Client::Connect("127.0.0.1:1", options);
  ASSERT_TRUE(client.ok());
  absl::StatusOr<v1::Job> job = client->jobs.Get("j1");
  EXPECT_EQ(job.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(job.status().message()), ::testing::HasSubstr("is tandemd running at 127.0.0.1:1?"));
}

TEST(ClientTest, ConnectRefusesAnAddressOrDeadlineThatCannotWork) {
  EXPECT_EQ(Client::Connect("").status().code(), absl::StatusCode::kInvalidArgument);
  ConnectionOptions options;
  options.deadline = absl::ZeroDuration();
  EXPECT_EQ(Client::Connect("127.0.0.1:1", options).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tandem
