#include "server/training/mined_negatives.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/files.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<TextId> Listed(std::span<const TextId> texts) { return {texts.begin(), texts.end()}; }

fs::path FreshDirectory() {
  const fs::path path = fs::path(testing::TempDir()) / "mined_negatives";
  fs::remove_all(path);
  fs::create_directories(path);
  return path;
}

// Two objectives, the second without mining.
MinedNegatives SomeNegatives() {
  MinedNegatives mined(2);
  mined[0].Add(std::vector<TextId>{3, 1});
  mined[0].Add({});
  mined[0].Add(std::vector<TextId>{2});
  return mined;
}

TEST(MinedNegativesTest, TheFileKeepsEveryList) {
  const fs::path file = MinedNegativesFile(FreshDirectory(), 7);
  EXPECT_EQ(file.filename(), "negatives-7");
  ASSERT_TRUE(SaveMinedNegatives(file, 7, 0xfedcba98, SomeNegatives()).ok());
  const absl::StatusOr<MinedNegatives> read = LoadMinedNegatives(file, 7, 0xfedcba98);
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->size(), 2);
  ASSERT_EQ((*read)[0].size(), 3);
  EXPECT_THAT(Listed((*read)[0].of(0)), ElementsAre(3, 1));
  EXPECT_THAT(Listed((*read)[0].of(1)), IsEmpty());
  EXPECT_THAT(Listed((*read)[0].of(2)), ElementsAre(2));
  EXPECT_EQ((*read)[1].size(), 0);
}

TEST(MinedNegativesTest, AFileOfAnotherEpochOrOtherTextsOrDamagedIsDataLoss) {
  const fs::path file = MinedNegativesFile(FreshDirectory(), 7);
  EXPECT_TRUE(absl::IsNotFound(LoadMinedNegatives(file, 7, 1).status()));
  ASSERT_TRUE(SaveMinedNegatives(file, 7, 1, SomeNegatives()).ok());
  EXPECT_TRUE(absl::IsDataLoss(LoadMinedNegatives(file, 8, 1).status()));
  EXPECT_TRUE(absl::IsDataLoss(LoadMinedNegatives(file, 7, 2).status()));
  const std::string bytes = ReadFile(file).value();
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] ^= 4;
    ASSERT_TRUE(WriteFileDurably(file, damaged).ok());
    EXPECT_TRUE(absl::IsDataLoss(LoadMinedNegatives(file, 7, 1).status())) << "byte " << i;
    ASSERT_TRUE(WriteFileDurably(file, bytes.substr(0, i)).ok());
    EXPECT_TRUE(absl::IsDataLoss(LoadMinedNegatives(file, 7, 1).status())) << "cut at " << i;
  }
}

TEST(MinedNegativesTest, CountsThatLieAreDataLossEvenWithAChecksumThatFits) {
  const fs::path file = MinedNegativesFile(FreshDirectory(), 0);
  ASSERT_TRUE(SaveMinedNegatives(file, 0, 1, SomeNegatives()).ok());
  const std::string bytes = ReadFile(file).value();
  const size_t head = std::string("tandem mined negatives 1\n").size();
  for (size_t i = head; i + 4 < bytes.size(); ++i) {
    std::string lying = bytes.substr(0, bytes.size() - 4);
    lying[i] = '\x7f';
    const uint32_t checksum = Crc32c(lying);
    lying.append(reinterpret_cast<const char*>(&checksum), sizeof(checksum));
    ASSERT_TRUE(WriteFileDurably(file, lying).ok());
    const absl::StatusOr<MinedNegatives> read = LoadMinedNegatives(file, 0, 1);
    // A number of a text may be any; then the lists are as long as before.
    if (read.ok()) {
      EXPECT_EQ((*read)[0].texts.size(), 3) << "byte " << i;
    } else {
      EXPECT_TRUE(absl::IsDataLoss(read.status())) << "byte " << i;
    }
  }
}

TEST(MinedNegativesTest, ChecksumsDifferWhereTextsEndElsewhere) {
  TextTable one, other;
  for (const char* text : {"ab", "c"}) one.Intern(text);
  for (const char* text : {"a", "bc"}) other.Intern(text);
  EXPECT_NE(ChecksumOf(one), ChecksumOf(other));
}

TEST(MinedNegativesTest, OnlyFilesOfEarlierEpochsAreRemoved) {
  const fs::path directory = FreshDirectory();
  for (const char* name : {"negatives-2", "negatives-9", "negatives-10", "negatives-x", "checkpoint-1"}) {
    ASSERT_TRUE(WriteFileDurably(directory / name, "").ok());
  }
  ASSERT_TRUE(RemoveMinedNegativesBefore(directory, 10).ok());
  EXPECT_EQ(*ListFiles(directory), (std::vector<std::string>{"checkpoint-1", "negatives-10", "negatives-x"}));
}

TEST(KnownPositivesTest, AreThoseOfAllExamplesOfAnAnchor) {
  ExampleSet set;
  set.examples = {{.anchor = 4, .positives = {6}}, {.anchor = 2, .positives = {5}}, {.anchor = 4, .positives = {1, 6}}};
  const KnownPositives positives(set);
  EXPECT_THAT(Listed(positives.of(4)), ElementsAre(1, 6));
  EXPECT_THAT(Listed(positives.of(2)), ElementsAre(5));
  for (const TextId other : {0, 1, 3, 5, 100}) EXPECT_THAT(Listed(positives.of(other)), IsEmpty()) << other;
  EXPECT_THAT(Listed(KnownPositives(ExampleSet()).of(0)), IsEmpty());
}

TEST(NegativesForBatchTest, ABatchHasATextOnceAndNoPositiveOfItsAnchors) {
  ExampleSet set;
  set.examples = {{.anchor = 0, .positives = {10}, .negatives = {20}},
                  {.anchor = 1, .positives = {11}},
                  {.anchor = 2, .positives = {12}},
                  {.anchor = 1, .positives = {13}}};
  const KnownPositives positives(set);
  NegativeLists mined;
  mined.Add(std::vector<TextId>{11, 30, 13, 31});  // 11 is in the batch, 13 is another positive of anchor 1.
  mined.Add(std::vector<TextId>{30, 20, 12});      // 30 and 20 are there by then.
  mined.Add(std::vector<TextId>{32, 1});
  mined.Add(std::vector<TextId>{10});
  EXPECT_THAT(NegativesForBatch(std::vector<int32_t>{0, 1}, set, positives, mined),
              ElementsAre(ElementsAre(30, 31), ElementsAre(12)));
  // A text that is an anchor of the batch is no negative either.
  EXPECT_THAT(NegativesForBatch(std::vector<int32_t>{2, 1}, set, positives, mined),
              ElementsAre(ElementsAre(32), ElementsAre(30, 20)));
  EXPECT_THAT(NegativesForBatch(std::vector<int32_t>{3}, set, positives, mined), ElementsAre(ElementsAre(10)));
}

}  // namespace
}  // namespace tandem
