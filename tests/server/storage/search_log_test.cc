#include "server/storage/search_log.h"

#include <fstream>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/strings.h"
#include "tests/support/temporary_directory.h"

namespace tandem {
namespace {

LoggedSearch Search(const std::string& id, absl::Time time = absl::Now()) {
  return {.tenant = "t",
          .collection = "c",
          .search_id = id,
          .time = time,
          .query = "what \"is\" it",
          .hits = {{7, "first"}, {3, "the \"second\""}}};
}

class SearchLogTest : public testing::Test {
 protected:
  void Open(const SearchLogOptions& options = {}) {
    log_.reset();
    log_ = SearchLog::Open(path(), options).value();
  }
  std::filesystem::path path() const { return data_.path() / "search_log.db"; }
  bool Comes(const std::function<bool()>& condition) {
    for (int i = 0; i < 1000 && !condition(); ++i) absl::SleepFor(absl::Milliseconds(10));
    return condition();
  }
  bool Has(const std::string& id) { return log_->Find("t", id).ok(); }

  test::TemporaryDirectory data_;
  std::unique_ptr<SearchLog> log_;
};

TEST_F(SearchLogTest, ASearchIsFoundAtOnceAndAfterARestart) {
  Open();
  const LoggedSearch search = Search("s1");
  log_->Add(search);
  for (int i = 0; i < 2; ++i) {
    const LoggedSearch found = log_->Find("t", "s1").value();
    EXPECT_EQ(found.collection, "c");
    EXPECT_EQ(found.query, search.query);
    EXPECT_EQ(absl::ToUnixMicros(found.time), absl::ToUnixMicros(search.time));
    ASSERT_EQ(found.hits.size(), 2u);
    EXPECT_EQ(found.hits[0].commit, 7);
    EXPECT_EQ(found.hits[1].document, "the \"second\"");
    Open();
  }
  EXPECT_TRUE(absl::IsNotFound(log_->Find("t", "s2").status()));
  EXPECT_TRUE(absl::IsNotFound(log_->Find("other", "s1").status()));
}

TEST_F(SearchLogTest, TheOldestGoByNumber) {
  Open({.max_searches = 10, .flush_every = absl::Milliseconds(5)});
  for (int i = 0; i < 50; ++i) log_->Add(Search(Concat("s", i)));
  EXPECT_TRUE(Comes([&] { return !Has("s39"); }));
  EXPECT_TRUE(Has("s40"));
  EXPECT_TRUE(Has("s49"));
  EXPECT_FALSE(Has("s0"));
}

TEST_F(SearchLogTest, TheOldestGoByAge) {
  Open({.max_age = absl::Hours(1), .flush_every = absl::Milliseconds(5)});
  log_->Add(Search("old", absl::Now() - absl::Hours(2)));
  log_->Add(Search("new"));
  EXPECT_TRUE(Comes([&] { return !Has("old"); }));
  EXPECT_TRUE(Has("new"));
}

TEST_F(SearchLogTest, ManyAtOnceAreAllThere) {
  Open();
  for (int i = 0; i < 1000; ++i) log_->Add(Search(Concat("s", i)));
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(Has(Concat("s", i))) << i;
  Open();
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(Has(Concat("s", i))) << i;
}

TEST_F(SearchLogTest, ACollectionIsForgotten) {
  Open();
  log_->Add(Search("s1"));
  Open();
  log_->Add(Search("s2"));
  LoggedSearch other = Search("s3");
  other.collection = "d";
  log_->Add(other);
  ASSERT_TRUE(log_->Forget("t", "c").ok());
  EXPECT_FALSE(Has("s1"));
  EXPECT_FALSE(Has("s2"));
  EXPECT_TRUE(Has("s3"));
}

TEST_F(SearchLogTest, AFileThatCannotBeUsedIsMadeAnew) {
  std::ofstream(path()) << "this is no database, and it is long enough for SQLite to look at its first bytes";
  Open();
  log_->Add(Search("s1"));
  Open();
  EXPECT_TRUE(Has("s1"));
}

}  // namespace
}  // namespace tandem
