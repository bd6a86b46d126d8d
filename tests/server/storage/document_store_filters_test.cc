// Counting, listing and deleting by filter, and what the filters find after updates, deletions and restarts. That the
// filters themselves are right: tests/server/search/filter_oracle_test.cc.
#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/storage/document_store_rep.h"
#include "tests/server/storage/storage_fixture.h"

namespace tandem {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Filter Must(Condition condition) {
  Filter filter;
  filter.must.push_back(std::move(condition));
  return filter;
}
Filter MustNot(Condition condition) {
  Filter filter;
  filter.must_not.push_back(std::move(condition));
  return filter;
}
Condition Tag(const std::string& tag) { return {FieldCondition{"tag", EqualsTest{tag}}}; }
Condition AtLeast(double least) {
  NumberRangeTest range;
  range.at_least = least;
  return {FieldCondition{"n", range}};
}

class DocumentFiltersTest : public StorageFixture {
 protected:
  void SetUp() override {
    StorageFixture::SetUp();
    Reopen();
  }
  void TearDown() override {
    store_.reset();
    StorageFixture::TearDown();
  }
  void Reopen() {
    store_.reset();
    store_ = DocumentStore::Open(File("documents.db"),
                                 {{{"tag", FieldType::kKeyword}, {"n", FieldType::kInteger}}, /*keyword_index=*/true})
                 .value();
  }
  void Put(const std::string& id, const std::string& tag, int n) {
    ASSERT_TRUE(store_->Upsert({{id, "text", Concat("{\"tag\":\"", tag, "\",\"n\":", n, "}")}}).ok());
  }
  int64_t Count(const Filter& filter) { return store_->Count(filter)->count; }
  std::vector<std::string> List(const Filter& filter, int size = 1000, const std::string& after = "") {
    std::vector<std::string> ids;
    const std::vector<DocumentVersion> documents = store_->List({size, after}, 1 << 20, filter).value();
    for (const DocumentVersion& document : documents) ids.push_back(document.id);
    return ids;
  }

  std::unique_ptr<DocumentStore> store_;
};

TEST_F(DocumentFiltersTest, CurrentDocumentsAreCountedListedAndDeleted) {
  Put("a", "red", 1);
  Put("b", "red", 2);
  Put("c", "blue", 3);
  EXPECT_EQ(Count(Must(Tag("red"))), 2);
  Put("a", "blue", 1);  // The red one is superseded.
  EXPECT_EQ(Count(Must(Tag("red"))), 1);
  EXPECT_EQ(store_->Count(Filter())->commit, 4);
  EXPECT_EQ(Count(Filter()), 3);
  EXPECT_THAT(List(Must(Tag("blue"))), ElementsAre("a", "c"));
  EXPECT_THAT(List(Must(Tag("blue")), 1), ElementsAre("a"));
  EXPECT_THAT(List(Must(Tag("blue")), 1, "a"), ElementsAre("c"));
  EXPECT_THAT(List(MustNot(Tag("blue"))), ElementsAre("b"));
  EXPECT_THAT(List(MustNot({HasIdCondition{{"b", "x"}}})), ElementsAre("a", "c"));
  EXPECT_THAT(List(Must(AtLeast(2))), ElementsAre("b", "c"));

  const auto deleted = store_->Delete(Must(Tag("blue"))).value();
  EXPECT_EQ(deleted.accepted, 2);
  EXPECT_EQ(deleted.commit, 6);
  EXPECT_EQ(store_->head(), 6);
  EXPECT_EQ(store_->Count().value(), 1);
  EXPECT_TRUE(absl::IsNotFound(store_->Get("c").status()));
  EXPECT_THAT(List(Filter()), ElementsAre("b"));
  EXPECT_EQ(store_->Delete(Must(Tag("blue")))->accepted, 0);
  Reopen();
  EXPECT_THAT(List(Filter()), ElementsAre("b"));
  EXPECT_THAT(List(Must(Tag("blue"))), IsEmpty());
}

TEST_F(DocumentFiltersTest, WithoutDeclaredFieldsIdsCanStillBeAskedFor) {
  store_.reset();
  store_ = DocumentStore::Open(File("plain.db")).value();
  ASSERT_TRUE(store_->Upsert({{"a", "x", ""}, {"b", "y", ""}, {"c", "z", "{\"tag\":5}"}}).ok());
  EXPECT_THAT(List(Must({HasIdCondition{{"c", "a", "nothing"}}})), ElementsAre("a", "c"));
  EXPECT_EQ(store_->Delete(MustNot({HasIdCondition{{"c"}}}))->accepted, 2);
  EXPECT_THAT(List(Filter()), ElementsAre("c"));
}

TEST_F(DocumentFiltersTest, AWrongTypeIsRefusedWithItsPathAndNothingChanges) {
  const auto refused = store_->Upsert({{"a", "x", "{\"n\":1}"}, {"b", "x", "{\"n\":\"1\"}"}});
  EXPECT_EQ(FieldPath(refused.status()), "documents[1].payload.n");
  EXPECT_EQ(store_->head(), 0);
  EXPECT_EQ(Count(Filter()), 0);
  EXPECT_EQ(FieldPath(store_->CheckPayload("{\"n\":true}")), "payload.n");
  EXPECT_TRUE(store_->CheckPayload("{\"n\":null}").ok());
}

// At an older commit the versions of then are found, by value and by id, also after what replaced them.
TEST_F(DocumentFiltersTest, MatchesAreThoseOfTheVersionsOfACommit) {
  Put("a", "red", 1);
  Put("b", "blue", 2);
  Put("a", "blue", 3);
  ASSERT_TRUE(store_->Delete(std::vector<std::string>{"b"}).ok());
  const auto labels = [&](const Filter& filter, int64_t commit) {
    std::vector<int64_t> all;
    const Roaring64Map found = store_->Match(filter, commit).value();
    for (const uint64_t label : found) {
      if (static_cast<int64_t>(label) <= commit) all.push_back(static_cast<int64_t>(label));
    }
    return all;
  };
  EXPECT_THAT(labels(Must(Tag("red")), 2), ElementsAre(1));
  EXPECT_THAT(labels(Must({HasIdCondition{{"a", "b"}}}), 2), ElementsAre(1, 2));
  EXPECT_THAT(labels(Must({HasIdCondition{{"a", "b"}}}), 3), ElementsAre(2, 3));
  EXPECT_THAT(labels(MustNot(Tag("blue")), 2), ElementsAre(1));
  Reopen();
  EXPECT_THAT(labels(Must(Tag("red")), 2), ElementsAre(1));
  EXPECT_THAT(labels(Must({HasIdCondition{{"a", "b"}}}), 2), ElementsAre(1, 2));
}

TEST_F(DocumentFiltersTest, FirstValuesTellGroupsApart) {
  ASSERT_TRUE(store_
                  ->Upsert({{"a", "x", R"({"tag":["p","q"],"n":1})"},
                            {"b", "x", R"({"tag":"p"})"},
                            {"c", "x", "{}"},
                            {"d", "x", R"({"tag":""})"}})
                  .ok());
  const int64_t commits[] = {3, 1, 2, 4};
  const std::vector<std::string> tags = store_->FirstValues(commits, 0).value();
  EXPECT_EQ(tags[0], "");
  EXPECT_EQ(tags[1], tags[2]);
  EXPECT_NE(tags[3], "");  // An empty keyword is a value.
  EXPECT_NE(tags[3], tags[1]);
  EXPECT_THAT(store_->FirstValues(commits, 1).value(), ElementsAre("", testing::Ne(""), "", ""));
}

// A model of the state beside the store, through random writes and restarts.
TEST_F(DocumentFiltersTest, RandomWritesAndRestartsKeepMemoryAndDiskAlike) {
  std::mt19937 random(20261130);
  const auto below = [&](int n) { return std::uniform_int_distribution<>(0, n - 1)(random); };
  std::map<std::string, std::pair<std::string, int>> model;
  for (int step = 0; step < 400; ++step) {
    const int what = below(20);
    if (what < 12) {
      const std::string id = Concat("d", below(60)), tag = Concat("t", below(4));
      const int n = below(10);
      Put(id, tag, n);
      model[id] = {tag, n};
    } else if (what < 16) {
      const std::string id = Concat("d", below(60));
      ASSERT_TRUE(store_->Delete(std::vector<std::string>{id}).ok());
      model.erase(id);
    } else if (what == 16) {
      Filter filter = Must(AtLeast(8));
      filter.must_not.push_back(Tag("t1"));
      const int64_t deleted = store_->Delete(filter)->accepted;
      EXPECT_EQ(deleted, static_cast<int64_t>(std::erase_if(model, [](const auto& entry) {
                  return entry.second.second >= 8 && entry.second.first != "t1";
                })));
    } else if (what == 17) {
      Reopen();
    }
    std::vector<std::string> expected;
    for (const auto& [id, values] : model) {
      if (values.first == "t2" || values.second < 3) expected.push_back(id);
    }
    Filter filter;
    filter.should.push_back(Tag("t2"));
    filter.should.push_back({MustNot(AtLeast(3))});
    ASSERT_EQ(List(filter), expected) << step;
    ASSERT_EQ(Count(filter), std::ssize(expected));
    ASSERT_EQ(Count(Filter()), std::ssize(model));
  }
}

}  // namespace
}  // namespace tandem
