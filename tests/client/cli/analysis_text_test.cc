#include "client/cli/analysis_text.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <string>

#include "client/cli/display_width.h"
#include "client/cli/job_view.h"

namespace tandem::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

template <class T>
T Parse(const std::string& text) {
  T message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

TEST(AnalysisTextTest, CountsLengthsAndFindingsAreSaidGravestLastOfAll) {
  const std::string text = DescribeAnalysis(Parse<v1::DatasetAnalysis>(R"(
      dataset: 'datasets/faq' dataset_commit: 1234 validation_dataset: 'datasets/held' validation_commit: 50
      base_revision: 'models/mini/revisions/r1' max_length: 64 batch_size: 32 examples: 1234 rows: 1300 texts: 2600
      distinct_texts: 2500 forms { pairs: 1234 } exact_duplicates { count: 2 commits: 7 commits: 1009 }
      shared_anchors { count: 3 commits: 4 } false_negatives: 0.25 validation_examples: 50
      first_lengths { texts: 1300 mean: 12.5 median: 12 percentile_90: 20 percentile_99: 40 longest: 70
                      truncated { count: 1 commits: 8 } histogram: 0 histogram: 0 histogram: 100 histogram: 200 }
      findings { severity: ERROR kind: 'shared_anchors' count: 3 commits: 4 advice: '3 first texts are in both.' }
      findings { severity: NOTE kind: 'first_lengths' count: 1 advice: 'One text is cut.' })"));
  for (const char* said :
       {"faq up to commit 1,234", "held up to commit 50", "in tokens of mini/r1, cut at 64", "1,234 pairs",
        "2,600, 2,500 distinct", "commits 7, 1,009", "in a batch of 32 drawn at random: 0.25", "half up to 12",
        "longer than 64: 1 of 1,300", "findings: 1 error, 1 note",
        "error    3 first texts are in both.\n         commit 4\n", "note     One text is cut.\n"}) {
    EXPECT_THAT(text, HasSubstr(said));
  }
  EXPECT_THAT(text, HasSubstr("3 to 4    100  ████████████████████\n")) << "half of the longest bar";
  EXPECT_THAT(text, Not(HasSubstr("\n   0 to 1"))) << "bins before the shortest text";
  EXPECT_THAT(text, Not(HasSubstr("several labels"))) << "what is not there";
  EXPECT_LT(text.find("error    3"), text.find("note     One"));
}

TEST(AnalysisTextTest, ADatasetWithoutFaultsHasNoFindings) {
  v1::DatasetAnalysis analysis;
  analysis.set_dataset("datasets/d");
  EXPECT_EQ(CountFindings(analysis), "no findings");
  const std::string text = DescribeAnalysis(analysis);
  EXPECT_THAT(text, HasSubstr("no findings: nothing has to change"));
  EXPECT_THAT(text, HasSubstr("left out: no model was named"));
}

TEST(AnalysisTextTest, LabelsScoresAndKindsOfPairsAreSaid) {
  const std::string text = DescribeAnalysis(Parse<v1::DatasetAnalysis>(R"(
      labels { classes: 4 largest: 'big' largest_size: 90 smallest: 'small' smallest_size: 1 single_texts: 1 entropy: 1.5 }
      scores { lowest: 0 highest: 1 mean: 0.25 histogram: 8 histogram: 0 } similar: 5 dissimilar: 1)"));
  for (const char* said : {"big, 90 texts", "small, 1 texts", "1.50 bits of at most 2.00", "scores: mean 0.250",
                           "0.50 to 1.00", "labelled pairs: 5 similar, 1 dissimilar"}) {
    EXPECT_THAT(text, HasSubstr(said));
  }
}

TEST(AnalysisTextTest, LongAdviceIsWrappedAndChangesNoTerminal) {
  v1::DatasetAnalysis analysis;
  v1::DatasetAnalysis::Finding* finding = analysis.add_findings();
  finding->set_severity(v1::DatasetAnalysis::Finding::WARNING);
  for (int i = 0; i < 100; ++i) *finding->mutable_advice() += "advice ";
  *finding->mutable_advice() += "\x1b[31m";
  const std::string text = DescribeAnalysis(analysis);
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  EXPECT_THAT(text, HasSubstr("\n         advice"));
  for (size_t begin = 0; begin < text.size(); begin = text.find('\n', begin) + 1) {
    EXPECT_LE(DisplayWidth(text.substr(begin, text.find('\n', begin) - begin)), 100);
  }
}

TEST(AnalysisTextTest, AJobIsShownWithItsResult) {
  v1::Job job = Parse<v1::Job>(R"(name: 'jobs/j1' kind: ANALYZE_DATASET state: SUCCEEDED dataset: 'datasets/d'
                                  analysis { findings { severity: WARNING advice: 'Look.' } })");
  EXPECT_EQ(SummarizeResult(job), "1 warning");
  EXPECT_THAT(DescribeJob(job), HasSubstr("warning  Look."));
  job = Parse<v1::Job>(R"(name: 'jobs/j2' kind: MINE_NEGATIVES state: SUCCEEDED dataset: 'datasets/d'
                          collection: 'collections/c' target_dataset: 'datasets/hard'
                          mining { dataset: 'datasets/hard' first_commit: 1 last_commit: 20 pairs: 20 negatives: 50
                                   release: 'collections/c/releases/r' release_commit: 7 })");
  EXPECT_EQ(SummarizeResult(job), "20 pairs in hard");
  for (const char* said : {"50, 2.50 a pair", "1 to 20", "c/r at commit 7", "20 in hard"}) {
    EXPECT_THAT(DescribeJob(job), HasSubstr(said));
  }
}

}  // namespace
}  // namespace tandem::cli
