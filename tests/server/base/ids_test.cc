#include "server/base/ids.h"

#include <algorithm>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace tandem {
namespace {

TEST(IdsTest, NewIdsAreValidUniqueAndAscend) {
  std::vector<std::string> ids(10000);
  for (std::string& id : ids) id = NewId();
  EXPECT_TRUE(std::all_of(ids.begin(), ids.end(), [](const std::string& id) { return ValidId(id); }));
  EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));
  EXPECT_EQ(std::set<std::string>(ids.begin(), ids.end()).size(), ids.size());
  EXPECT_EQ(ids[0].size(), 19u);
}

TEST(IdsTest, ThreadsNeverGetTheSameId) {
  std::vector<std::vector<std::string>> ids(4, std::vector<std::string>(2000));
  std::vector<std::thread> threads;
  for (auto& mine : ids)
    threads.emplace_back([&mine] {
      for (std::string& id : mine) id = NewId();
    });
  for (std::thread& thread : threads) thread.join();
  std::set<std::string> all;
  for (const auto& mine : ids) all.insert(mine.begin(), mine.end());
  EXPECT_EQ(all.size(), 8000u);
}

TEST(IdsTest, ValidIdAcceptsTheDocumentedFormOnly) {
  for (const std::string& id : {std::string("a"), std::string("0"), std::string("faq-2.en_v1"), std::string(63, 'x')}) {
    EXPECT_TRUE(ValidId(id)) << id;
  }
  for (const std::string& id :
       {std::string(), std::string("-a"), std::string(".a"), std::string("_a"), std::string("A"), std::string("a/b"),
        std::string("a b"), std::string("a\0b", 3), std::string(64, 'x'), std::string("caf\xc3\xa9")}) {
    EXPECT_FALSE(ValidId(id)) << id;
  }
}

}  // namespace
}  // namespace tandem
