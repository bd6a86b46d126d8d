// The keyword index: what counts as a word, ranking against the formula, and which versions are found.
#include <SQLiteCpp/SQLiteCpp.h>

#include <cmath>
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
using testing::UnorderedElementsAre;

class KeywordTest : public StorageFixture {
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
    store_ = DocumentStore::Open(File("documents.db"), {{}, /*keyword_index=*/true}).value();
  }
  void Put(const std::vector<std::string>& texts) {
    std::vector<DocumentInput> documents;
    for (size_t i = 0; i < texts.size(); ++i) documents.push_back({Concat("d", i), texts[i], ""});
    ASSERT_TRUE(store_->Upsert(documents).ok());
  }
  DocumentStore::KeywordHits Search(const std::string& query, size_t k = 100) {
    return store_
        ->SearchWords(
            query, k, [](int64_t) { return true; }, absl::InfiniteFuture())
        .value();
  }
  std::vector<int64_t> Find(const std::string& query, size_t k = 100) {
    std::vector<int64_t> commits;
    for (const DocumentStore::KeywordHit& hit : Search(query, k).hits) commits.push_back(hit.commit);
    return commits;
  }

  std::unique_ptr<DocumentStore> store_;
};

TEST_F(KeywordTest, WordsAreFoundInAnyCaseWithoutAccentsAndByTheirStem) {
  Put({"The Café's running dogs", "ÜBUNG macht den Meister", "Ｆｕｌｌ　ｗｉｄｔｈ １２３", "привет МИР",
       "nothing of it"});
  EXPECT_THAT(Find("cafe"), ElementsAre(1));
  EXPECT_THAT(Find("RUN dog"), ElementsAre(1));
  EXPECT_THAT(Find("ubung"), ElementsAre(2));
  EXPECT_THAT(Find("full 123"), ElementsAre(3));
  EXPECT_THAT(Find("Мир"), ElementsAre(4));
  EXPECT_THAT(Find("absent"), IsEmpty());
  EXPECT_THAT(Find(""), IsEmpty());
  EXPECT_THAT(Find("... !?"), IsEmpty());
}

TEST_F(KeywordTest, TextsWithoutSpacesAreFoundByAnyPartOfThem) {
  Put({"我喜欢黑猫和狗", "東京は日本の首都です", "대한민국의 수도는 서울이다", "ภาษาไทย", "the 猫 alone",
       "北京是中国的首都"});
  EXPECT_THAT(Find("黑猫"), ElementsAre(1));
  EXPECT_THAT(Find("喜欢黑猫"), ElementsAre(1));
  EXPECT_THAT(Find("首都"), UnorderedElementsAre(2, 6));
  EXPECT_THAT(Find("中国"), ElementsAre(6));
  EXPECT_THAT(Find("서울"), ElementsAre(3));
  EXPECT_THAT(Find("ไทย"), ElementsAre(4));
  // One character: wherever it stands in a run.
  EXPECT_THAT(Find("猫"), UnorderedElementsAre(1, 5));
  EXPECT_THAT(Find("狗"), ElementsAre(1));
  EXPECT_THAT(Find("我"), ElementsAre(1));
  EXPECT_THAT(Find("alone猫"), ElementsAre(5, 1));
}

TEST_F(KeywordTest, NothingInAQueryIsSyntax) {
  Put({"red apple", "green pear", "text NEAR apple AND pear"});
  EXPECT_THAT(Find("red AND NOT"), UnorderedElementsAre(1, 3));
  for (const char* query : {"\"", "\"red", "red\" OR \"pear", "text:red", "red*", "^red", "NEAR(red apple, 2)", "(red",
                            "-red", "{text}:red", "red + pear", "'; DROP TABLE words; --", "\xff\xfe red", "猫*\""}) {
    Search(query);  // Does not fail.
  }
  EXPECT_THAT(Find(std::string("red\0pear", 8)), UnorderedElementsAre(1, 2, 3));
  EXPECT_THAT(Find(std::string(200'000, '"') + "red"), ElementsAre(1));
  std::string many;
  for (int i = 0; i < 5000; ++i) many += Concat("w", i, " ");
  EXPECT_THAT(Find("red " + many), ElementsAre(1));
  EXPECT_THAT(Find(many + "red"), IsEmpty());  // The 256 first.
}

// Scores against the formula, over texts of words that no stemmer changes.
TEST_F(KeywordTest, ScoresAreThoseOfBm25) {
  std::mt19937 random(20261130);
  const auto below = [&](int n) { return std::uniform_int_distribution<>(0, n - 1)(random); };
  std::vector<std::vector<std::string>> documents(300);
  std::vector<std::string> texts;
  for (auto& words : documents) {
    for (int i = 1 + below(30); i > 0; --i) words.push_back(Concat("x", below(2) == 0 ? below(3) : below(60)));
    std::string text;
    for (const std::string& word : words) text += word + (below(5) == 0 ? ", " : " ");
    texts.push_back(text);
  }
  Put(texts);
  double total = 0;
  std::map<std::string, int> having;
  for (const auto& words : documents) {
    total += static_cast<double>(words.size());
    for (const std::string& word : std::set<std::string>(words.begin(), words.end())) ++having[word];
  }
  const double count = static_cast<double>(documents.size()), mean = total / count;
  for (int i = 0; i < 50; ++i) {
    std::set<std::string> query;
    while (std::ssize(query) < 1 + i % 4) query.insert(Concat("x", below(2) == 0 ? below(3) : below(60)));
    std::string text;
    double bound = 0;
    for (const std::string& word : query) text += word + " ";
    std::vector<DocumentStore::KeywordHit> expected;
    for (size_t d = 0; d < documents.size(); ++d) {
      double score = 0;
      for (const std::string& word : query) {
        const double times = static_cast<double>(std::count(documents[d].begin(), documents[d].end(), word));
        const double idf = std::log(1 + (count - having[word] + 0.5) / (having[word] + 0.5));
        score += idf * times * 2.2 / (times + 1.2 * (0.25 + 0.75 * static_cast<double>(documents[d].size()) / mean));
      }
      if (score > 0) expected.push_back({static_cast<int64_t>(d) + 1, score});
    }
    for (const std::string& word : query) {
      bound += 2.2 * std::log(1 + (count - having[word] + 0.5) / (having[word] + 0.5));
    }
    std::stable_sort(expected.begin(), expected.end(), [](const auto& a, const auto& b) { return a.score > b.score; });
    expected.resize(std::min<size_t>(expected.size(), 20));
    const DocumentStore::KeywordHits found = Search(text, 20);
    EXPECT_NEAR(found.bound, bound, 1e-9);
    ASSERT_EQ(found.hits.size(), expected.size()) << text;
    for (size_t j = 0; j < expected.size(); ++j) {
      EXPECT_NEAR(found.hits[j].score, expected[j].score, 1e-9) << text << j;
      EXPECT_LT(found.hits[j].score, found.bound);
    }
  }
}

// Every version is there until it is erased, so that an index that is behind finds what it shows.
TEST_F(KeywordTest, OnlyWhatIsShownIsFoundAndErasedVersionsAreForgotten) {
  Put({"old apple", "old pear"});
  ASSERT_TRUE(store_->Upsert({{"d0", "new apple", ""}}).ok());
  ASSERT_TRUE(store_->Delete(std::vector<std::string>{"d1"}).ok());
  EXPECT_THAT(Find("old apple"), UnorderedElementsAre(1, 2, 3));
  const auto now = store_->SearchWords(
      "old apple pear", 10, [](int64_t commit) { return commit == 3; }, absl::InfiniteFuture());
  ASSERT_EQ(now->hits.size(), 1u);
  EXPECT_EQ(now->hits[0].commit, 3);
  EXPECT_EQ(Find("old", 1).size(), 1u);
  EXPECT_THAT(Find("old", 0), IsEmpty());
  Reopen();
  EXPECT_THAT(Find("pear"), ElementsAre(2));
}

TEST_F(KeywordTest, ADeadlineEndsIt) {
  Put({"a b", "b c"});
  const auto late = store_->SearchWords(
      "b", 10, [](int64_t) { return true; }, absl::InfinitePast());
  EXPECT_TRUE(absl::IsDeadlineExceeded(late.status()));
}

TEST_F(KeywordTest, WithoutAnIndexNothingIsKeptAndItIsMadeWhenItIsWanted) {
  store_.reset();
  const auto path = File("later.db");
  {
    const auto store = DocumentStore::Open(path, {{}, /*keyword_index=*/false}).value();
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(store->Upsert({{Concat("x", i), "first word", ""}}).ok());
    std::vector<DocumentInput> many;
    for (int i = 0; i < 2300; ++i) many.push_back({Concat("d", i), Concat("word number", i), ""});
    ASSERT_TRUE(store->Upsert(many).ok());
    ASSERT_TRUE(store->Delete(std::vector<std::string>{"d7"}).ok());
    EXPECT_THAT(store
                    ->SearchWords(
                        "word", 10, [](int64_t) { return true; }, absl::InfiniteFuture())
                    ->hits,
                IsEmpty());
  }
  for (int i = 0; i < 2; ++i) {  // The second time there is nothing to do.
    store_ = DocumentStore::Open(path, {{}, /*keyword_index=*/true}).value();
    EXPECT_EQ(Search("word", 5000).hits.size(), 2305u);
    EXPECT_THAT(Find("number2299"), ElementsAre(2305));
    EXPECT_THAT(Find("first", 3), ElementsAre(1, 2, 3));
    store_.reset();
  }
}

}  // namespace
}  // namespace tandem
