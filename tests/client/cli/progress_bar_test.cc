#include "client/cli/progress_bar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "client/cli/display_width.h"
#include "client/cli/format.h"
#include "client/cli/outage.h"

namespace tandem::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

ProgressView Half() {
  ProgressView view;
  view.label = "training";
  view.unit = "steps";
  view.done = 40;
  view.total = 80;
  view.left = absl::Seconds(75);
  view.note = "loss 0.4120";
  return view;
}

TEST(RenderBarTest, ShowsShareCountsTimeLeftAndNote) {
  const std::string line = RenderBar(Half(), 120);
  EXPECT_THAT(line, StartsWith("training  ███████████████░░░░░░░░░░░░░░░   50%  40/80 steps"));
  EXPECT_THAT(line, HasSubstr("1:15 left  loss 0.4120"));
}

TEST(RenderBarTest, FitsEveryWidth) {
  for (int width = 1; width < 150; ++width) EXPECT_LE(DisplayWidth(RenderBar(Half(), width)), width) << width;
}

TEST(RenderBarTest, ANarrowTerminalLosesTheBarFirst) {
  const std::string line = RenderBar(Half(), 60);
  EXPECT_THAT(line, Not(HasSubstr("░")));
  EXPECT_THAT(line, HasSubstr("loss 0.4120"));
}

TEST(RenderBarTest, WithoutTotalThereIsNoShare) {
  ProgressView view = Half();
  view.total = 0;
  view.left.reset();
  EXPECT_EQ(RenderBar(view, 100), "training  40 steps  loss 0.4120");
}

TEST(RenderBarTest, MoreThanAllIsAll) {
  ProgressView view = Half();
  view.done = 200;
  EXPECT_THAT(RenderBar(view, 120), HasSubstr("100%"));
}

// A bar that writes into a file, with a clock that the test moves.
class ProgressBarTest : public ::testing::Test {
 protected:
  ~ProgressBarTest() override { std::fclose(file_); }

  ProgressOutput Output(bool interactive) {
    return {.file = file_, .interactive = interactive, .width = [] { return 80; }, .now = [this] { return now_; }};
  }
  std::string Written() {
    std::fflush(file_);
    std::rewind(file_);
    std::string content;
    for (int c; (c = std::fgetc(file_)) != EOF;) content.push_back(static_cast<char>(c));
    return content;
  }
  static ProgressView Done(double done) {
    ProgressView view;
    view.done = done;
    view.total = 100;
    return view;
  }

  std::FILE* file_ = std::tmpfile();
  absl::Time now_ = absl::UnixEpoch();
};

TEST_F(ProgressBarTest, ElsewhereThanOnATerminalThereIsALineEveryFewSeconds) {
  {
    ProgressBar bar(Output(false), "uploading", "documents");
    for (int second = 0; second <= 12; ++second) {
      bar.Update(Done(second));
      now_ += absl::Seconds(1);
    }
  }
  EXPECT_EQ(Written(),
            "uploading: 5%, 5/100 documents, 1.0/s, 1:35 left\n"
            "uploading: 10%, 10/100 documents, 1.0/s, 1:30 left\n"
            "uploading: 12%, 12/100 documents, 0.9/s\n");  // Of all, 13 seconds.
}

TEST_F(ProgressBarTest, ElsewhereThanOnATerminalShortWorkIsSilent) {
  {
    ProgressBar bar(Output(false), "uploading", "documents");
    bar.Update(Done(1));
    now_ += absl::Seconds(4);
    bar.Update(Done(100));
  }
  EXPECT_EQ(Written(), "");
}

TEST_F(ProgressBarTest, OnATerminalTheLineIsRewrittenAndSayStandsAboveIt) {
  {
    ProgressBar bar(Output(true), "uploading", "documents");
    bar.Update(Done(1));
    bar.Update(Done(2));  // Too soon to be drawn.
    bar.Say("hello");
  }
  const std::string written = Written();
  EXPECT_THAT(written, StartsWith("\ruploading"));
  EXPECT_THAT(written, HasSubstr("\r\x1b[Khello\n\r"));
  EXPECT_EQ(written.back(), '\n');
}

TEST_F(ProgressBarTest, TheRateFollowsWhatHappenedLately) {
  {
    ProgressBar bar(Output(false), "uploading", "documents");
    for (int second = 0; second <= 40; ++second) {
      bar.Update(Done(second <= 10 ? 5 * second : 50 + (second - 10)));
      now_ += absl::Seconds(1);
    }
  }
  const std::string written = Written();
  EXPECT_THAT(written, HasSubstr("50/100 documents, 5.0/s"));
  EXPECT_THAT(written, HasSubstr("80/100 documents, 1.0/s"));
  EXPECT_THAT(written, HasSubstr("80/100 documents, 2.0/s\n"));  // In the end, of all: 80 in 41 seconds.
}

TEST_F(ProgressBarTest, AnOutageIsSaidOnceUntilItIsOver) {
  {
    ProgressBar bar(Output(false), "uploading", "documents");
    Outage outage(&bar);
    const absl::Status error = absl::UnavailableError("gone\n  advice");
    outage.Broken(error);
    outage.Broken(error);
    outage.Over();
    outage.Broken(error);
  }
  const std::string line = "the connection broke (gone); going on as soon as the server answers\n";
  EXPECT_EQ(Written(), line + line);
}

TEST_F(ProgressBarTest, WithoutUpdatesNothingIsWritten) {
  { ProgressBar bar(Output(true), "uploading", "documents"); }
  EXPECT_EQ(Written(), "");
}

TEST(FormatTest, CountsBytesAndTimesReadWell) {
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(-1234567), "-1,234,567");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1572864), "1.5 MiB");
  EXPECT_EQ(FormatClock(absl::Seconds(75)), "1:15");
  EXPECT_EQ(FormatClock(absl::Seconds(3723)), "1:02:03");
}

}  // namespace
}  // namespace tandem::cli
