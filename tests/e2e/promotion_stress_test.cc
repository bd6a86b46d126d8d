// Promotions and rollbacks while eight clients search and two write: no call fails, each answer is exact for
// the release and commit that it names, a rollback within the window loses nothing and is timed. After the window a
// release catches up first, for all to see.

#include <algorithm>
#include <atomic>
#include <iostream>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "tests/e2e/ledger_check.h"
#include "tests/e2e/life_cycle.h"
#include "tests/e2e/search_load.h"
#include "tests/e2e/tandemd_process.h"

namespace tandem::test {
namespace {

using testing::IsEmpty;

constexpr char kCollection[] = "collections/docs";
constexpr size_t kRollbacks = 50;  // And as many promotions that come before, and some more.
constexpr int kSearchers = 8;
constexpr int kWriters = 2;
constexpr int kDocumentsOfAWriter = 400;

template <class T>
T Value(absl::StatusOr<T> value, const std::string& what) {
  if (!value.ok()) throw std::runtime_error(absl::StrCat(what, ": ", value.status().ToString()));
  return *std::move(value);
}

// Clients that upsert and delete without a pause worth mentioning, each the documents of its own.
class Writers {
 public:
  Writers(const std::string& address, Ledger* ledger) : address_(address), ledger_(ledger) {
    for (int i = 0; i < kWriters; ++i) threads_.emplace_back([this, i] { Run(i); });
  }
  ~Writers() { Stop(); }

  void Stop() {
    stopping_ = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  int64_t calls() const { return calls_; }
  int64_t documents() const { return documents_; }
  std::vector<std::string> failures() {
    absl::MutexLock lock(&mutex_);
    return failures_;
  }

 private:
  void Run(int number) {
    const Client client = ConnectWithoutPatience(address_);
    std::mt19937_64 random(static_cast<uint64_t>(number) + 1);
    for (int64_t call = 0; !stopping_; ++call) {
      const bool deletes = random() % 4 == 0;
      const uint64_t first = random();
      std::vector<Ledger::Write> writes;
      for (uint64_t i = 0; i <= first % 16; ++i) {
        const uint64_t document = (first + i) % kDocumentsOfAWriter;
        writes.push_back({absl::StrCat("writer", number, ".", document),
                          deletes ? "" : TextOf(static_cast<uint64_t>(number), random() % 100'000'000)});
      }
      ledger_->AttemptWrites(writes);
      const absl::StatusOr<int64_t> commit = Write(client, writes);
      if (commit.ok()) {
        ledger_->AcknowledgeWrites(writes, *commit);
        ++calls_;
        documents_ += static_cast<int64_t>(writes.size());
      } else {
        absl::MutexLock lock(&mutex_);
        failures_.push_back(absl::StrCat("write ", call, " of client ", number, ": ", commit.status().ToString()));
      }
      absl::SleepFor(absl::Milliseconds(5));
    }
  }

  static absl::StatusOr<int64_t> Write(const Client& client, const std::vector<Ledger::Write>& writes) {
    if (!writes.front().text.empty()) {
      std::vector<v1::Document> documents(writes.size());
      for (size_t i = 0; i < writes.size(); ++i) {
        documents[i].set_id(writes[i].id);
        documents[i].set_text(writes[i].text);
      }
      return client.collections.Upsert(kCollection, std::move(documents));
    }
    std::vector<std::string> ids;
    for (const Ledger::Write& write : writes) ids.push_back(write.id);
    const auto deleted = client.collections.DeleteDocuments(kCollection, ids);
    if (!deleted.ok()) return deleted.status();
    return deleted->commit();
  }

  const std::string address_;
  Ledger* const ledger_;
  std::atomic<bool> stopping_ = false;
  std::atomic<int64_t> calls_ = 0, documents_ = 0;
  absl::Mutex mutex_;
  std::vector<std::string> failures_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_;
};

struct Times {
  std::vector<absl::Duration> all;
  absl::Duration Median() {
    if (all.empty()) return absl::ZeroDuration();
    std::nth_element(all.begin(), all.begin() + static_cast<ptrdiff_t>(all.size() / 2), all.end());
    return all[all.size() / 2];
  }
  absl::Duration Greatest() const {
    return all.empty() ? absl::ZeroDuration() : *std::max_element(all.begin(), all.end());
  }
};

class PromotionStressTest : public testing::Test {
 protected:
  PromotionStressTest() { WriteLifeCycleModels(imports_.path()); }

  void SetUp() override {
    server_ = std::make_unique<TandemdProcess>(Flags());
    LifeCycle life({.import_directory = imports_.path(), .rollback_window = absl::Hours(1)}, &ledger_);
    for (const Phase phase : {Phase::kModels, Phase::kUpload}) {
      const absl::Status status = life.Run(server_->address(), phase);
      ASSERT_TRUE(status.ok()) << status;
    }
    client_ = std::make_unique<Client>(ConnectWithoutPatience(server_->address()));
    Build("r0", "models/m/revisions/a", /*hnsw=*/false);
    Promote("r0");
  }

  std::vector<std::string> Flags() const {
    return {"--model-import-dir=" + imports_.path().string(), "--threads=2", "--seal-fresh=256"};
  }

  void Build(const std::string& id, const std::string& revision, bool hnsw) {
    v1::CreateReleaseRequest request;
    request.set_collection(kCollection);
    request.set_release_id(id);
    request.set_model_revision(revision);
    if (hnsw) request.mutable_index()->mutable_hnsw()->set_ef_search(10'000);  // At these sizes as exact as FLAT.
    ledger_.AttemptRelease(NameOf(id), revision);
    Value(client_->releases.Create(request), id);
    ledger_.Acknowledge(NameOf(id));
    const v1::Release built = Value(client_->releases.Watch(NameOf(id), nullptr), id);
    ASSERT_EQ(built.state(), v1::Release::READY) << built.ShortDebugString();
  }

  absl::Duration Promote(const std::string& id) {
    v1::PromoteReleaseRequest request;
    request.set_name(NameOf(id));
    ledger_.AttemptPromotion(id);
    const absl::Time start = absl::Now();
    const v1::PromoteReleaseResponse response = Value(client_->releases.Promote(request), "promoting " + id);
    const absl::Duration took = absl::Now() - start;
    ledger_.AcknowledgePromotion(id);
    EXPECT_EQ(response.release().state(), v1::Release::LIVE) << id;
    SearchForEverything(id);
    return took;
  }

  void Delete(const std::string& id) {
    ledger_.Attempt(NameOf(id), /*there=*/false);
    const absl::Status status = client_->releases.Delete(NameOf(id));
    ASSERT_TRUE(status.ok()) << status;
    ledger_.Acknowledge(NameOf(id), /*there=*/false);
  }

  // All documents, as ranked for one text: the oracle will hold the whole of it against the log.
  void SearchForEverything(const std::string& live) {
    v1::SearchRequest request;
    request.set_collection(kCollection);
    request.set_text(TextOf(7, answers_.size()));
    request.set_top_k(1000);
    request.set_min_commit(ledger_.head_commit());
    const v1::SearchResponse response = Value(client_->search.Query(request), "search");
    EXPECT_EQ(response.release(), NameOf(live));
    EXPECT_GE(response.commit(), request.min_commit());
    answers_.push_back(AnswerOf(request, response));
  }

  // Builds releases by turns of both revisions and kinds and promotes each. Of three, two are rolled back and deleted;
  // the third stays, and what it replaced is deleted.
  void PromoteAndRollBack() {
    std::string base = "r0";
    for (int i = 1; rollbacks_.all.size() < kRollbacks; ++i) {
      const std::string next = absl::StrCat("r", i);
      Build(next, i % 2 == 1 ? "models/m/revisions/b" : "models/m/revisions/a", /*hnsw=*/i % 4 >= 2);
      promotions_.all.push_back(Promote(next));
      if (i % 3 == 0) {
        Delete(std::exchange(base, next));
      } else {
        rollbacks_.all.push_back(Promote(base));
        Delete(next);
      }
      if (HasFatalFailure()) return;
    }
  }

  void CheckEverything(std::vector<SearchAnswer> answers) {
    answers.insert(answers.end(), answers_.begin(), answers_.end());
    EXPECT_THAT(CheckLedger(*client_, ledger_), IsEmpty());
    client_.reset();  // Its connection would end with the server.
    ASSERT_EQ(server_->Stop(), 0);
    const absl::StatusOr<std::vector<LoggedVersion>> log = ReadCommitLog(DocumentsDatabase(server_->data_directory()));
    ASSERT_TRUE(log.ok()) << log.status();
    EXPECT_THAT(CheckCommitLog(*log, ledger_), IsEmpty());
    ASSERT_TRUE(server_->Start().ok());
    AnswerOracle oracle(*log, ledger_.facts().release_revision, EmbedBy(server_->address()));
    const size_t count = answers.size();
    const absl::StatusOr<std::vector<std::string>> wrong = oracle.Check(std::move(answers));
    ASSERT_TRUE(wrong.ok()) << wrong.status();
    EXPECT_THAT(*wrong, IsEmpty()) << absl::StrJoin(*wrong, "\n");
    std::cout << count << " answers checked against " << log->size() << " commits\n";
  }

  static std::string NameOf(const std::string& id) { return absl::StrCat(kCollection, "/releases/", id); }

  const TemporaryDirectory imports_;
  Ledger ledger_;
  std::unique_ptr<TandemdProcess> server_;
  std::unique_ptr<Client> client_;
  std::vector<SearchAnswer> answers_;  // Of SearchForEverything.
  Times promotions_, rollbacks_;
};

TEST_F(PromotionStressTest, NoCallFailsAndEachAnswerIsExactWhileReleasesChange) {
  SearchLoad searchers(server_->address(),
                       {.clients = kSearchers, .newest_commit = [&] { return ledger_.head_commit(); }});
  Writers writers(server_->address(), &ledger_);
  const absl::Time start = absl::Now();
  PromoteAndRollBack();
  const absl::Duration took = absl::Now() - start;
  writers.Stop();
  searchers.Stop();
  EXPECT_THAT(searchers.failures(), IsEmpty());
  EXPECT_THAT(writers.failures(), IsEmpty());
  std::cout << took << ": " << searchers.searches() << " searches, " << writers.calls() << " writes of "
            << writers.documents() << " documents\n"
            << promotions_.all.size() << " promotions: median " << promotions_.Median() << ", greatest "
            << promotions_.Greatest() << "\n"
            << rollbacks_.all.size() << " rollbacks: median " << rollbacks_.Median() << ", greatest "
            << rollbacks_.Greatest() << "\n";
  EXPECT_GT(searchers.searches(), 1000);
  CheckEverything(searchers.answers());
}

// Follows a release; the cursors that it was seen at while RETIRED.
class Watcher {
 public:
  Watcher(const std::string& address, std::string release)
      : thread_([this, address, release = std::move(release)] {
          const Client client = ConnectWithoutPatience(address);
          while (!stopping_ && last_state_ != v1::Release::LIVE) {
            const auto status = client.releases.Watch(release, [this](const v1::Release& seen) {
              last_state_ = seen.state();
              if (seen.state() == v1::Release::RETIRED) cursors_.emplace_back(seen.cursor(), seen.target_commit());
            });
            if (!status.ok()) error_ = status.status();
            absl::SleepFor(absl::Milliseconds(1));  // It was not on its way yet.
          }
        }) {}
  // Waits for the state LIVE; what was seen before it: cursor and target.
  std::vector<std::pair<int64_t, int64_t>> Finish() {
    const absl::Time limit = absl::Now() + absl::Seconds(10);
    while (last_state_ != v1::Release::LIVE && absl::Now() < limit) absl::SleepFor(absl::Milliseconds(5));
    stopping_ = true;
    thread_.join();
    EXPECT_EQ(last_state_, v1::Release::LIVE);
    EXPECT_TRUE(error_.ok()) << error_;
    return cursors_;
  }

 private:
  std::atomic<bool> stopping_ = false;
  std::atomic<int> last_state_ = v1::Release::STATE_UNSPECIFIED;
  absl::Status error_;
  std::vector<std::pair<int64_t, int64_t>> cursors_;
  std::thread thread_;
};

TEST_F(PromotionStressTest, ARetiredReleaseCatchesUpInPublicAndThenHasEveryWrite) {
  Build("r1", "models/m/revisions/b", /*hnsw=*/false);
  v1::UpdateCollectionRequest update;
  update.set_name(kCollection);
  update.mutable_update_mask()->add_paths("rollback_window");
  update.mutable_rollback_window()->set_seconds(1);
  Value(client_->collections.Update(update), "rollback window");
  Promote("r1");
  SearchLoad searchers(server_->address(),
                       {.clients = kSearchers, .newest_commit = [&] { return ledger_.head_commit(); }});
  Writers writers(server_->address(), &ledger_);
  const absl::Time limit = absl::Now() + absl::Seconds(20);
  while (Value(client_->releases.Get(NameOf("r0")), "r0").state() != v1::Release::RETIRED) {
    ASSERT_LT(absl::Now(), limit) << "r0 does not retire";
    absl::SleepFor(absl::Milliseconds(50));
  }
  const int64_t retired_at = ledger_.head_commit();
  while (ledger_.head_commit() < retired_at + 4000 && absl::Now() < limit + absl::Seconds(60)) {
    absl::SleepFor(absl::Milliseconds(50));
  }
  const v1::Release retired = Value(client_->releases.Get(NameOf("r0")), "r0");
  Watcher watcher(server_->address(), NameOf("r0"));
  const absl::Duration took = Promote("r0");
  const std::vector<std::pair<int64_t, int64_t>> seen = watcher.Finish();
  writers.Stop();
  searchers.Stop();
  EXPECT_THAT(searchers.failures(), IsEmpty());
  EXPECT_THAT(writers.failures(), IsEmpty());
  int growing = 0;
  for (size_t i = 1; i < seen.size(); ++i) {
    EXPECT_GE(seen[i].first, seen[i - 1].first) << "the cursor goes back";
    growing += seen[i].first > seen[i - 1].first ? 1 : 0;
  }
  std::cout << "retired at commit " << retired.cursor() << " of " << retired.target_commit() << ", promoted in " << took
            << ", its cursor was seen to grow " << growing << " times\n";
  EXPECT_GE(growing, 2);
  SearchForEverything("r0");
  CheckEverything(searchers.answers());
}

}  // namespace
}  // namespace tandem::test
