// kill -9 in the middle of writes: nothing that was acknowledged is lost, nothing is half there.

#include <signal.h>
#include <sys/wait.h>

#include "tests/server/storage/storage_fixture.h"

namespace tandem {
namespace {

constexpr int kBatch = 50;

class StorageCrashTest : public StorageFixture {
 protected:
  // Runs `write(n)` for n = 1, 2, ... in a child, which reports each n through a pipe after it returned, until at least
  // `least` are reported; then kills the child. Returns the last n that was acknowledged.
  int WriteUntilKilled(const std::function<std::function<void(int)>()>& open, int least) {
    int pipe_ends[2];
    EXPECT_EQ(pipe(pipe_ends), 0);
    const pid_t child = fork();
    if (child == 0) {
      const std::function<void(int)> write = open();
      for (int n = 1;; ++n) {
        write(n);
        if (::write(pipe_ends[1], &n, sizeof(n)) != sizeof(n)) _exit(1);
      }
    }
    close(pipe_ends[1]);
    int acknowledged = 0;
    while (acknowledged < least && read(pipe_ends[0], &acknowledged, sizeof(int)) == sizeof(int)) continue;
    kill(child, SIGKILL);
    while (read(pipe_ends[0], &acknowledged, sizeof(int)) == sizeof(int)) continue;
    close(pipe_ends[0]);
    waitpid(child, nullptr, 0);
    return acknowledged;
  }
};

TEST_F(StorageCrashTest, DocumentsSurviveAKillAtAnyMoment) {
  int64_t before = 0;
  for (int round = 0; round < 5; ++round) {
    const int acknowledged = WriteUntilKilled(
        [&]() -> std::function<void(int)> {
          auto store = std::shared_ptr<DocumentStore>(DocumentStore::Open(File("documents.db")).value());
          return [store, round](int n) {
            std::vector<DocumentInput> documents;
            for (int i = 0; i < kBatch; ++i) {
              documents.push_back({std::to_string(round) + "/" + std::to_string(n) + "/" + std::to_string(i), "t", ""});
            }
            if (!store->Upsert(documents).ok()) _exit(1);
          };
        },
        3 + 2 * round);
    const auto store = DocumentStore::Open(File("documents.db")).value();
    EXPECT_GE(acknowledged, 3 + 2 * round);
    EXPECT_GE(store->head(), before + acknowledged * kBatch);
    EXPECT_EQ((store->head() - before) % kBatch, 0);
    EXPECT_EQ(store->Count().value(), store->head());
    EXPECT_EQ(static_cast<int64_t>(store->ReadLog(0, 1 << 30, 1 << 30)->size()), store->head());
    before = store->head();
  }
}

TEST_F(StorageCrashTest, ExamplesSurviveAndARepeatedSequenceTellsWhatWasStored) {
  const int acknowledged = WriteUntilKilled(
      [&]() -> std::function<void(int)> {
        auto store = std::shared_ptr<MetaStore>(MetaStore::Open(File("meta.db")).value());
        if (!store->CreateDataset("t", "d", "", nullptr).ok()) _exit(1);
        return [store](int n) {
          const std::vector<Example> examples(kBatch, Example{.anchor = std::to_string(n), .positives = {"p"}});
          if (!store->AppendExamples("t", "d", {"s", n, "f"}, examples, "").ok()) _exit(1);
        };
      },
      10);
  const auto store = MetaStore::Open(File("meta.db")).value();
  ASSERT_GE(acknowledged, 10);
  EXPECT_GE(store->GetDataset("t", "d")->commit, acknowledged * kBatch);
  for (int n = 1; n <= acknowledged; ++n) {
    const absl::StatusOr<AppendResult> again = store->AppendExamples("t", "d", {"s", n, "f"}, {}, "");
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_TRUE(again->repeated);
    EXPECT_EQ(again->commit, n * kBatch);
  }
  EXPECT_EQ(store->ReadExamples("t", "d", 0, 1 << 20, 1 << 20, 1 << 30)->size() % kBatch, 0u);
}

}  // namespace
}  // namespace tandem
