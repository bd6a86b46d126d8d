#include "server/base/query_changes.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tandem {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

std::vector<std::string> Texts(const std::vector<QueryChange>& changes) {
  std::vector<std::string> texts;
  for (const QueryChange& change : changes) texts.push_back(change.text);
  return texts;
}

QueryChanges Changes(const std::vector<double>& before, const std::vector<double>& after,
                     const std::vector<std::string>& texts) {
  return LargestChanges(before, after, [&](size_t i) { return std::string_view(texts[i]); });
}

TEST(QueryChangesTest, LargestChangeComesFirstAndEqualOnesInOrder) {
  const QueryChanges changes =
      Changes({1, 0.5, 0.5, 0.25, 0, 0.5}, {0, 0.25, 0.5, 0, 1, 1}, {"a", "b", "c", "d", "e", "f"});
  EXPECT_THAT(Texts(changes.fell), ElementsAre("a", "b", "d"));
  EXPECT_THAT(Texts(changes.rose), ElementsAre("e", "f"));
  EXPECT_EQ(changes.fell[0].before, 1);
  EXPECT_EQ(changes.fell[0].after, 0);
}

TEST(QueryChangesTest, NothingChangedIsInNeitherList) {
  const QueryChanges changes = Changes({0.5, 0.5}, {0.5, 0.5}, {"a", "b"});
  EXPECT_THAT(changes.fell, IsEmpty());
  EXPECT_THAT(changes.rose, IsEmpty());
  EXPECT_THAT(Changes({}, {}, {}).fell, IsEmpty());
}

TEST(QueryChangesTest, NoMoreThanTheLimitAreNamed) {
  const std::vector<double> before(25, 1), after(25, 0);
  const std::vector<std::string> texts(25, "q");
  EXPECT_THAT(Changes(before, after, texts).fell, SizeIs(kMostQueryChanges));
  EXPECT_THAT(Changes(after, before, texts).rose, SizeIs(kMostQueryChanges));
}

TEST(QueryChangesTest, LongTextsAreCutBetweenCharacters) {
  std::string text = "a";
  while (text.size() < 1000) text += "界";  // Three bytes each.
  const std::string cut = Changes({1}, {0}, {text}).fell[0].text;
  EXPECT_LE(cut.size(), kMostQueryChangeBytes);
  EXPECT_EQ((cut.size() - 1) % 3, 0u);
  EXPECT_TRUE(cut.ends_with("界…"));
  EXPECT_EQ(Changes({1}, {0}, {std::string(kMostQueryChangeBytes, 'x')}).fell[0].text,
            std::string(kMostQueryChangeBytes, 'x'));
}

TEST(QueryChangesTest, JsonIsReadBackAndDamagedOneRefused) {
  const QueryChanges changes = Changes({1, 0}, {0, 0.5}, {"a", "b"});
  const auto read = QueryChangesFromJson(ToJson(changes));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_THAT(Texts(read->fell), ElementsAre("a"));
  EXPECT_THAT(Texts(read->rose), ElementsAre("b"));
  EXPECT_EQ(read->rose[0].after, 0.5);
  for (const char* text : {"[]", "{}", R"({"fell":[],"rose":[["a",1]]})", R"({"fell":[[1,1,1]],"rose":[]})"}) {
    EXPECT_TRUE(absl::IsDataLoss(QueryChangesFromJson(nlohmann::json::parse(text)).status())) << text;
  }
}

}  // namespace
}  // namespace tandem
