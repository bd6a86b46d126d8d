// Mining jobs as the API shows them.

#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <string>

#include "server/jobs/mining_job.h"
#include "server/rpc/convert.h"
#include "tandem/v1/job.pb.h"
#include "tandem/v1/training.pb.h"

namespace tandem {
namespace {

using google::protobuf::util::MessageDifferencer;

template <class T>
T Parse(const std::string& text) {
  T message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

JobRecord MiningJob(JobState state) {
  const MiningResult result = {.pairs = 9,
                               .first_commit = 3,
                               .last_commit = 11,
                               .pairs_without_negatives = 2,
                               .negatives = 40,
                               .release = "r",
                               .release_commit = 70,
                               .mean_positive_score = 0.75,
                               .mean_negative_score = 0.5};
  JobRecord job;
  job.id = "j";
  job.kind = JobKind::kMineNegatives;
  job.state = state;
  job.dataset = "d";
  job.datasets = {"d"};
  job.collection = "c";
  job.target_dataset = "mined";
  job.result_json = ToJson(result).dump();
  return job;
}

v1::Job Shown(const JobRecord& record) {
  v1::Job job;
  ToProto(record, JobProgress{}, &job);
  return job;
}

TEST(ConvertMiningTest, ASucceededJobShowsItsResultAndWhatItUsed) {
  const v1::Job job = Shown(MiningJob(JobState::kSucceeded));
  EXPECT_EQ(job.kind(), v1::Job::MINE_NEGATIVES);
  EXPECT_EQ(job.dataset(), "datasets/d");
  EXPECT_EQ(job.collection(), "collections/c");
  EXPECT_EQ(job.target_dataset(), "datasets/mined");
  EXPECT_EQ(job.base_revision(), "");
  EXPECT_TRUE(MessageDifferencer::Equals(job.mining(), Parse<v1::MiningResult>(R"(
      dataset: 'datasets/mined' first_commit: 3 last_commit: 11 pairs: 9 pairs_without_negatives: 2 negatives: 40
      release: 'collections/c/releases/r' release_commit: 70 mean_positive_score: 0.75 mean_negative_score: 0.5)")))
      << job.DebugString();
}

TEST(ConvertMiningTest, AJobThatIsNotDoneShowsNoResultThoughItHasBegunToAppend) {
  EXPECT_EQ(Shown(MiningJob(JobState::kRunning)).result_case(), v1::Job::RESULT_NOT_SET);
}

TEST(ConvertMiningTest, ADamagedResultIsLeftOut) {
  JobRecord record = MiningJob(JobState::kSucceeded);
  for (const char* damaged : {"", "{", "[]", R"({"pairs":"nine"})"}) {
    record.result_json = damaged;
    EXPECT_EQ(Shown(record).result_case(), v1::Job::RESULT_NOT_SET) << damaged;
  }
}

TEST(ConvertMiningTest, ATrainingUsesNoCollection) {
  JobRecord record;
  record.id = "j";
  record.dataset = "d";
  const v1::Job job = Shown(record);
  EXPECT_EQ(job.collection(), "");
  EXPECT_EQ(job.target_dataset(), "");
}

TEST(ConvertMiningTest, OptionsThatAreNotSetKeepTheirDefaultsAndAllOthersComeOver) {
  EXPECT_EQ(ToJson(FromProto(v1::NegativeMining())), ToJson(NegativeMiningOptions()));
  const NegativeMiningOptions options = FromProto(Parse<v1::NegativeMining>(R"(
      negatives: 3 min_rank: 4 max_rank: 50 margin: 0 relative_margin: 0.25 min_score: -0.5 max_score: 0 sampling: RANDOM
      seed: 0)"));
  EXPECT_EQ(ToJson(options), ToJson(NegativeMiningOptions{.negatives = 3,
                                                          .min_rank = 4,
                                                          .max_rank = 50,
                                                          .margin = 0,
                                                          .relative_margin = 0.25,
                                                          .min_score = -0.5,
                                                          .max_score = 0,
                                                          .sampling = NegativeMiningOptions::Sampling::kRandom,
                                                          .seed = 0}));
}

TEST(ConvertMiningTest, AProgressEventComesOver) {
  v1::JobEvent event;
  ToProto({{"type", "progress"}, {"sequence", 4}, {"step", 32}, {"total_steps", 60}}, 0, &event);
  EXPECT_EQ(event.sequence(), 4);
  EXPECT_EQ(event.progress().step(), 32);
  EXPECT_EQ(event.progress().total_steps(), 60);
}

}  // namespace
}  // namespace tandem
